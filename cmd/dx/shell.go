package main

import (
	"context"

	"dx/dockerx/execspec"

	"github.com/spf13/cobra"
)

func (a *app) shellCommand() *cobra.Command {
	o := execOptions{}
	cmd := &cobra.Command{
		Use:     "shell [OPTIONS] CONTAINER [ARG...]",
		Aliases: []string{"sh"},
		Short:   "Run the best shell that a container has",

		DisableFlagsInUseLine: true,

		Long: "Run the best shell there is in a running container: the login shell of the user,\n" +
			"else bash, zsh, ash or sh of its PATH. In a container that has none it is dx debug.\n" +
			"Further words are the shell's: dx shell web -c 'echo $0'.",
		Args: a.orPick(atLeast(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			args, err := a.picked(cmd.Context(), args)
			if err != nil {
				return err
			}
			a.followTerminal(cmd, &o, true)
			return a.runShell(cmd.Context(), o, args[0], args[1:])
		},
	}
	o.processFlags(cmd.Flags())
	terminalFlags(cmd.Flags())
	return cmd
}

func (a *app) runShell(ctx context.Context, o execOptions, ref string, args []string) error {
	return a.enter(ctx, o, ref, func(e *execRequest) error {
		spec, err := a.spec(ctx, e, append([]string{"sh"}, args...))
		if err != nil {
			return err
		}
		shell, err := execspec.FindShell(e.container, spec.Process)
		if err != nil {
			return err
		}
		if shell == "" {
			return a.shellOfTools(ctx, e, args)
		}
		spec.Process.Args[0] = shell
		spec.Origins["Args"] = "the best shell of " + e.container.String()
		return a.execute(ctx, e, spec)
	})
}

// shellOfTools is dx debug for a container without a shell.
func (a *app) shellOfTools(ctx context.Context, e *execRequest, args []string) error {
	a.say("%s has no shell: this is one of dx debug", e.container.String())
	o := debugOptions{execOptions: e.options}
	o.debug = false // said already
	e.options = o.execOptions
	if len(args) > 0 {
		args = append([]string{"sh"}, args...)
	}
	return a.debug(ctx, o, e, args)
}
