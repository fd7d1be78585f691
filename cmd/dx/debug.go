package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"dx/dockerx"
	"dx/dockerx/hostexec"
	"dx/nsops/launch"
)

// debugOptions are the flags of dx debug.
type debugOptions struct {
	execOptions
	tools      string
	toolsFirst bool

	hostTools, sharePID, exposeHost bool
}

func (a *app) debugCommand() *cobra.Command {
	o := debugOptions{}
	cmd := &cobra.Command{
		Use:   "debug [OPTIONS] CONTAINER [COMMAND] [ARG...]",
		Short: "Run a shell with tools in a container that has none",

		DisableFlagsInUseLine: true,

		Long: "Run a shell, or a command, in a running container as dx exec does, with programs\n" +
			"that the container does not have: the host's static busybox, or --tools. They are\n" +
			"a read-only directory that only the command gets, as /proc/self/fd/99 in its PATH:\n" +
			"nothing is mounted or written in the container, and its limits and rights hold.\n" +
			"A program that closes its descriptors loses them.\n\n" +
			"With --host-tools it is the other way round: the host's root and all its programs,\n" +
			"as the caller, in the container's pid, net, ipc and uts namespaces; the container's\n" +
			"root is at /container, and the command starts in /. The container's cgroups, user,\n" +
			"capabilities and seccomp filter do NOT hold then. Refused where a process of the\n" +
			"container could reach the host through it. A program that runs as another user\n" +
			"there can be reached by the container's processes of that user.",
		Args: a.orPick(atLeast(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.check(cmd); err != nil {
				return conflict(cmd, err)
			}
			args, err := a.picked(cmd.Context(), args)
			if err != nil {
				return err
			}
			a.followTerminal(cmd, &o.execOptions, len(args) == 1)
			if o.hostTools {
				return a.runHostTools(cmd.Context(), o, args[0], args[1:])
			}
			return a.runDebug(cmd.Context(), o, args[0], args[1:])
		},
	}
	f := cmd.Flags()
	o.processFlags(f)
	terminalFlags(f)
	f.StringVar(&o.tools, "tools", "", "Tools to bring: a directory, a static program, a tar archive, or an image of the container's engine (default: the host's static busybox)")
	f.BoolVar(&o.toolsFirst, "tools-first", false, "Prefer the tools to the container's own programs (the tools are last in PATH otherwise)")
	f.BoolVar(&o.hostTools, "host-tools", false, "Bring the host's own root, and the container's at /container")
	f.BoolVar(&o.sharePID, "share-pid", true, "With --host-tools: join the container's PID namespace, whose processes then see the command")
	f.BoolVar(&o.exposeHost, "expose-host", false, "With --host-tools: go on although a process of the container could take over the host through the command")
	return cmd
}

// check refuses flags that do not go together.
func (o *debugOptions) check(cmd *cobra.Command) error {
	flags, text := []string{"share-pid", "expose-host"}, "--%s works with --host-tools only"
	if o.hostTools {
		flags = []string{"tools", "tools-first", "user", "privileged", "ignore-paused", "ignore-unknown-filter", "ignore-caller-limits"}
		text = "--%s and --host-tools exclude each other: the command runs as the caller, with the host's programs"
	}
	for _, name := range flags {
		if cmd.Flags().Changed(name) {
			return fmt.Errorf(text, name)
		}
	}
	if o.tools == "" && cmd.Flags().Changed("tools") {
		return errors.New("--tools is empty: name a directory, a file or an image")
	}
	return nil
}

func (a *app) runDebug(ctx context.Context, o debugOptions, ref string, args []string) error {
	return a.enter(ctx, o.execOptions, ref, func(e *execRequest) error { return a.debug(ctx, o, e, args) })
}

// debug runs a command, by default the tools' shell, with the tools.
func (a *app) debug(ctx context.Context, o debugOptions, e *execRequest, args []string) error {
	t, err := hostexec.OpenToolkit(ctx, e.container, o.tools)
	if err != nil {
		return &toolsError{err}
	}
	defer t.Close()
	if len(args) == 0 {
		if args, err = t.Shell(); err != nil {
			return err
		}
	}
	spec, err := a.spec(ctx, e, args)
	if err != nil {
		return err
	}
	t.Environment(spec, e.container.Name, e.env, o.toolsFirst)
	a.warnNoProc(e.container)
	e.options.tools = t.Launch()
	return a.execute(ctx, e, spec)
}

// warnNoProc says what does not work in a container without a /proc.
func (a *app) warnNoProc(c *dockerx.Container) {
	has, err := hostexec.HasProc(c)
	if errors.Is(err, launch.ErrSilent) {
		a.say("%s; the first program starts, others are found by their path in the container only", err)
	}
	if err == nil && !has {
		a.say("%s has no /proc, which leads to the tools: the first program starts, others are found by their path in the container only", c.String())
	}
}
