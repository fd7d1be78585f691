package main

import (
	"context"

	"github.com/moby/term"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dx/dockerx"
	"dx/dockerx/execspec"
)

// processFlags adds the flags of every verb that runs a command in a container.
func (o *execOptions) processFlags(f *pflag.FlagSet) {
	f.SetInterspersed(false)
	f.StringVar(&o.detachKeys, "detach-keys", "", "Override the key sequence for detaching a container")
	f.VarP(&o.env, "env", "e", "Set environment variables")
	f.StringArrayVar(&o.envFiles, "env-file", nil, "Read in a file of environment variables")
	f.BoolVarP(&o.interactive, "interactive", "i", false, "Keep STDIN open even if not attached")
	f.BoolVar(&o.privileged, "privileged", false, "Give extended privileges to the command")
	f.BoolVarP(&o.tty, "tty", "t", false, "Allocate a pseudo-TTY")
	f.StringVarP(&o.user, "user", "u", "", `Username or UID (format: "<name|uid>[:<group|gid>]")`)
	f.StringVarP(&o.workdir, "workdir", "w", "", "Working directory inside the container")

	f.BoolVar(&o.debug, "debug", false, "Print on stderr where each value came from")
	f.BoolVar(&o.explain, "explain", false, "Print the system calls that would be made, and where each value comes from")
	f.BoolVar(&o.ignorePaused, "ignore-paused", false, "Enter a paused container too; the command stays frozen until it is unpaused")
	f.BoolVar(&o.ignoreFilter, "ignore-unknown-filter", false, "Enter even if the container's seccomp filters can neither be found in a bundle nor read from the kernel; the command runs without them")
	f.BoolVar(&o.ignoreCaller, "ignore-caller-limits", false, "Run the command even if dx itself is limited by no_new_privs, a seccomp filter or a smaller bounding set, which then limit the command")
	f.BoolVar(&o.sigProxy, "sig-proxy", true, "Pass the signals that dx receives on to the command")
}

// terminalFlags describes -i and -t where they follow the terminal.
func terminalFlags(f *pflag.FlagSet) {
	f.Lookup("interactive").Usage = "Keep STDIN open (default: on a terminal, and for a shell)"
	f.Lookup("tty").Usage = "Allocate a pseudo-TTY (default: on a terminal)"
}

// followTerminal sets what of -i and -t was not given: both on a terminal, and -i
// for a shell, which reads its commands.
func (a *app) followTerminal(cmd *cobra.Command, o *execOptions, shell bool) {
	onTerminal := term.IsTerminal(a.in.Fd()) && term.IsTerminal(a.out.Fd())
	if !cmd.Flags().Changed("tty") {
		o.tty = onTerminal
	}
	if !cmd.Flags().Changed("interactive") {
		o.interactive = onTerminal || shell
	}
}

// execRequest is a container that is about to be entered, and what the flags name.
type execRequest struct {
	options    execOptions
	crun       bool // see execspec.Spec
	container  *dockerx.Container
	env        []string
	detachKeys []byte
	ofHost     bool         // the command is a program of the host's, of which docker knows nothing
	begin      func() error // see session.Session
}

// enter resolves a reference, makes docker's checks, and lets run go on.
func (a *app) enter(ctx context.Context, o execOptions, ref string, run func(*execRequest) error) error {
	if err := checkRef(ref); err != nil {
		return err
	}
	if !o.explain && !o.part.outsideCgroup() {
		go writeEarly()
	}
	env, keys, err := o.read()
	if err != nil {
		return &clientError{err: err, code: exitFailure}
	}
	// Docker's client has set such a terminal to raw mode when it prints why a start failed.
	a.rawTerminal = o.tty && o.interactive && !o.detach && term.IsTerminal(a.out.Fd())
	return a.withResolver(func(r *dockerx.Resolver) error {
		err := a.enterBy(ctx, r, ref, &execRequest{options: o, env: env, detachKeys: keys}, run)
		return withEngineVersion(ctx, r, o.detach, err)
	})
}

func (a *app) enterBy(ctx context.Context, r *dockerx.Resolver, ref string, e *execRequest, run func(*execRequest) error) error {
	c, err := r.Resolve(ctx, ref)
	if err != nil {
		return err
	}
	defer c.Close()
	return a.enterOpen(r, c, e, run)
}

// enterOpen is enter for a container that has been taken hold of.
func (a *app) enterOpen(r *dockerx.Resolver, c *dockerx.Container, e *execRequest, run func(*execRequest) error) error {
	if err := a.mayExec(e.options, c); err != nil {
		return err
	}
	if err := e.configuredKeys(r.DetachKeys()); err != nil {
		return err
	}
	e.container = c
	return run(e)
}

// spec is what docker exec would run.
func (a *app) spec(ctx context.Context, e *execRequest, args []string) (*execspec.Spec, error) {
	o := e.options
	spec, err := execspec.Of(ctx, e.container, execspec.Options{
		Args: args, Env: e.env, User: o.user, WorkingDir: o.workdir, Tty: o.tty, Privileged: o.privileged,
		IgnoreUnknownFilter: o.ignoreFilter, NoCgroup: o.part.noCgroup,
	})
	if err != nil {
		return nil, err
	}
	if o.debug {
		a.printOrigins(e.container, spec.Origins)
	}
	return spec, nil
}
