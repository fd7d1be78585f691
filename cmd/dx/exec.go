package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/docker/cli/pkg/kvfile"
	"github.com/moby/term"
	"github.com/spf13/cobra"

	"dx/dockerx"
	"dx/dockerx/execspec"
	"dx/nsops/callerfile"
	"dx/nsops/launch"
	"dx/nsops/session"
	"dx/nsops/tty"
)

// execOptions are the flags of docker exec (docker/cli,
// cli/command/container/exec.go) and dx's own.
type execOptions struct {
	detach, interactive, tty, privileged bool
	env                                  envFlag
	envFiles                             []string
	user, workdir, detachKeys            string

	debug, explain, ignorePaused, ignoreFilter, ignoreCaller, sigProxy bool

	part  partOptions
	tools *launch.Tools // what dx debug gives the command
}

func (a *app) execCommand() *cobra.Command {
	o, many := execOptions{}, manyOptions{filters: psFilters{}}
	cmd := &cobra.Command{
		Use:   "exec [OPTIONS] CONTAINER COMMAND [ARG...]",
		Short: "Execute a command in a running container, without its engine",

		DisableFlagsInUseLine: true,

		Long: "Execute a command in a running container as docker exec does, by joining its\n" +
			"namespaces directly: no daemon has to answer. CONTAINER is a name, an ID or a\n" +
			"unique prefix of one, or pid:N for any process. On a terminal, -it without a command\n" +
			"opens the shell that dx shell would, and without a container those that run are\n" +
			"offered." + bareHelp + manyHelp + partHelp,
		Args: func(cmd *cobra.Command, args []string) error {
			if many.asked() {
				return nil // see manyOptions.check
			}
			if len(args) == 1 && o.opensShell() && a.picks() {
				return nil
			}
			return a.orPick(atLeast(2))(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := errors.Join(o.part.check(cmd), many.check(cmd)); err != nil {
				return conflict(cmd, err)
			}
			if many.asked() {
				return a.runMany(cmd.Context(), o, many, args)
			}
			if len(args) == 0 {
				a.followTerminal(cmd, &o, true)
			}
			args, err := a.picked(cmd.Context(), args)
			if err != nil {
				return err
			}
			if len(args) == 1 {
				return a.runShell(cmd.Context(), o, args[0], nil)
			}
			return a.runExec(cmd.Context(), o, args[0], args[1:])
		},
	}
	f := cmd.Flags()
	o.processFlags(f)
	f.BoolVarP(&o.detach, "detach", "d", false, "Detached mode: run command in the background")
	o.part.flags(f)
	many.flags(f)
	return cmd
}

// opensShell reports whether an exec without a command is dx shell.
func (o *execOptions) opensShell() bool {
	return o.tty && o.interactive && !o.detach && len(o.part.namespaces) == 0
}

func (a *app) runExec(ctx context.Context, o execOptions, ref string, args []string) error {
	return a.enter(ctx, o, ref, func(e *execRequest) error { return a.runIn(ctx, e, args) })
}

// runIn runs a command in a container that may be entered.
func (a *app) runIn(ctx context.Context, e *execRequest, args []string) error {
	if len(e.options.part.namespaces) > 0 {
		return a.runInNamespaces(ctx, e, args)
	}
	spec, err := a.spec(ctx, e, args)
	if err != nil {
		return err
	}
	return a.execute(ctx, e, spec)
}

// execute compiles what was found out, and prints or runs it.
func (a *app) execute(ctx context.Context, e *execRequest, spec *execspec.Spec) error {
	e.crun = spec.Crun
	plan, err := execspec.NewPlan(e.container, spec)
	if err != nil {
		return err
	}
	defer plan.Close()
	o := e.options
	plan.Tools = o.tools
	if err := plan.CheckCaller(o.ignoreCaller || o.explain); err != nil {
		return err
	}
	prog, err := launch.Compile(plan.Plan)
	if err != nil {
		return e.compileError(err)
	}
	s := session.Session{Program: prog, Root: plan.Root}
	if !o.explain {
		if s.UID, s.GID, err = plan.StreamOwner(); err != nil {
			return err
		}
	}
	return a.runProgram(ctx, e, plan.Plan, s)
}

// mayExec makes docker's checks before anything is started, in its order.
func (a *app) mayExec(o execOptions, c *dockerx.Container) error {
	if err := c.Believed(); err != nil {
		return err
	}
	if o.explain {
		return nil
	}
	if o.tty && o.interactive && !o.detach && !term.IsTerminal(a.in.Fd()) {
		return &clientError{code: exitFailure, err: errors.New("cannot attach stdin to a TTY-enabled container because stdin is not a terminal")}
	}
	if c.Paused() && !o.ignorePaused && !o.part.outsideCgroup() {
		err := &dockerx.StateError{State: dockerx.Paused, ID: c.ID, Ref: c.Ref}
		if c.Source == dockerx.SourceEngine {
			err.Engine = c.Engine // as it would say
		}
		return err
	}
	return nil
}

// read reads what the flags name, in docker's order.
func (o *execOptions) read() (env []string, detachKeys []byte, err error) {
	if env, err = o.environment(); err != nil {
		return nil, nil, err
	}
	detachKeys, err = tty.DetachKeys(o.detachKeys)
	return env, detachKeys, err
}

// configuredKeys takes the detach keys of docker's config file, unless there is a flag.
// Docker's client does not look at those: the engine does, once it has the container
// (moby, daemon/exec.go, ContainerExecCreate).
func (e *execRequest) configuredKeys(keys string) (err error) {
	if keys == "" || e.options.detachKeys != "" {
		return nil
	}
	if e.detachKeys, err = tty.DetachKeys(keys); err != nil {
		return &escapeKeysError{keys}
	}
	return nil
}

// maxEnvFile bounds an --env-file: execve(2) takes a quarter of it at most.
const maxEnvFile = 8 << 20

// environment is what docker exec sends: the files' variables, then those of -e.
func (o *execOptions) environment() ([]string, error) {
	var env []string
	for _, name := range o.envFiles {
		content, err := callerfile.ReadStream(name, maxEnvFile)
		if err != nil {
			return nil, err
		}
		vars, err := kvfile.ParseFromReader(bytes.NewReader(content), os.LookupEnv)
		if err != nil {
			return nil, fmt.Errorf("invalid env file (%s): %w", name, err)
		}
		env = append(env, vars...)
	}
	return append(env, o.env...), nil
}

// envFlag is -e: NAME=VALUE, or NAME for the caller's value; a NAME that the
// caller does not have is sent bare and removes the variable.
type envFlag []string

func (e *envFlag) String() string { return "" }
func (e *envFlag) Type() string   { return "list" }

func (e *envFlag) Set(s string) error {
	name, _, given := strings.Cut(s, "=")
	if name == "" {
		return errors.New("invalid environment variable: " + s)
	}
	if v, ok := os.LookupEnv(name); ok && !given {
		s = name + "=" + v
	}
	*e = append(*e, s)
	return nil
}
