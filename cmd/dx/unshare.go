package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"dx/nsops"
	"dx/nsops/callerfile"
	"dx/nsops/launch"
	"dx/nsops/proc"
	"dx/nsops/session"
)

// unshareOptions are flags of unshare(1) where it has them, by its names.
type unshareOptions struct {
	namespaces map[nsops.Type]*bool

	fork, mapRoot, mapCurrent, mapAuto, mountProc, mountDev, init, killChild, explain bool

	propagation, root, workdir, hostname string
}

func (a *app) unshareCommand() *cobra.Command {
	o := &unshareOptions{namespaces: map[nsops.Type]*bool{}}
	cmd := &cobra.Command{
		Use:   "unshare [OPTIONS] [COMMAND [ARG...]]",
		Short: "Run a command in fresh namespaces: the simplest container",

		DisableFlagsInUseLine: true,

		Long: "Run a command (default: your shell) in fresh namespaces, with no engine. The flags\n" +
			"are those of unshare(1); always so are here: the command is a child (--fork), the\n" +
			"loopback interface of a new network namespace is up, and no open file but 0, 1 and\n" +
			"2 is handed down. dx ns pid:N and dx exec pid:N work on the result.\n\n" +
			"What you do not unshare, the command has in common with you: without --root all\n" +
			"files, without --net the network, and always the cgroup, its limits, your\n" +
			"environment and your terminal. Without root, -r makes you root of a user namespace\n" +
			"that has no other user. --explain prints the system calls.",
		RunE: func(cmd *cobra.Command, args []string) error {
			u, err := o.plan(cmd, args)
			if err != nil {
				return conflict(cmd, err)
			}
			return a.runUnshare(cmd.Context(), o, u)
		},
	}
	o.flags(cmd)
	return cmd
}

func (o *unshareOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.SetInterspersed(false)
	f.SortFlags = false
	for _, n := range []struct {
		name, short string
		kind        nsops.Type
		more        string
	}{
		{"mount", "m", nsops.Mnt, ""}, {"uts", "u", nsops.UTS, " (host name)"}, {"ipc", "i", nsops.IPC, ""}, {"net", "n", nsops.Net, ""},
		{"pid", "p", nsops.PID, ""}, {"user", "U", nsops.User, ""}, {"cgroup", "C", nsops.Cgroup, ""}, {"time", "T", nsops.Time, ""},
	} {
		o.namespaces[n.kind] = f.BoolP(n.name, n.short, false, "Make a new "+n.name+" namespace"+n.more)
	}
	f.BoolVarP(&o.fork, "fork", "f", true, "Run the command as a child: always so, --fork=false is refused")
	f.BoolVarP(&o.mapRoot, "map-root-user", "r", false, "Be root in a new user namespace (implies --user)")
	f.BoolVarP(&o.mapCurrent, "map-current-user", "c", false, "Be yourself in a new user namespace (implies --user)")
	f.BoolVar(&o.mapAuto, "map-auto", false, "With -r: also map the subordinate ids that /etc/subuid and /etc/subgid give you, by newuidmap")
	f.BoolVar(&o.mountProc, "mount-proc", false, "Mount a /proc of the PID namespace (implies --mount)")
	f.StringVar(&o.propagation, "propagation", string(launch.Private), "Propagation of the mounts in a new mount namespace: private, slave, shared, unchanged")
	f.StringVarP(&o.root, "root", "R", "", "Make this directory the root and detach the old one (implies --mount)")
	f.BoolVar(&o.mountDev, "mount-dev", true, "With --root: mount a small /dev, if the directory has one")
	f.StringVarP(&o.workdir, "wd", "w", "", "Working directory of the command, in the root")
	f.StringVar(&o.hostname, "hostname", "", "Set the host name (implies --uts)")
	f.BoolVar(&o.init, "init", false, "Let a little init be PID 1: it reaps orphans and passes signals on (needs --pid)")
	f.BoolVar(&o.killChild, "kill-child", false, "Kill the command when dx dies")
	f.BoolVar(&o.explain, "explain", false, "Print the system calls that would be made")
}

// plan is what the flags ask for.
func (o *unshareOptions) plan(cmd *cobra.Command, args []string) (*launch.Unshare, error) {
	given := cmd.Flags().Changed
	switch {
	case !o.fork:
		return nil, errors.New("--fork=false: the command is always a child of dx, which is not a program that can become another one")
	case o.mapRoot && o.mapCurrent:
		return nil, errors.New("--map-root-user and --map-current-user exclude each other")
	case o.mapAuto && !o.mapRoot:
		return nil, errors.New("--map-auto adds ids to those of --map-root-user (-r), which is missing")
	case given("mount-dev") && o.root == "":
		return nil, errors.New("--mount-dev is for a new root: --root is missing")
	case o.init && !*o.namespaces[nsops.PID]:
		return nil, errors.New("--init is for a new PID namespace: --pid is missing")
	}
	u := &launch.Unshare{
		Args: args, Env: os.Environ(), Hostname: o.hostname, Proc: o.mountProc, Cwd: o.workdir,
		Init: o.init, KillChild: o.killChild,
	}
	if len(args) == 0 {
		u.Args = []string{shell()}
	}
	o.imply(u)
	var err error
	if u.Propagation, err = launch.ParsePropagation(o.propagation); err != nil {
		return nil, fmt.Errorf("--propagation: %w", err)
	}
	if u.Maps, err = o.maps(); err != nil {
		return nil, err
	}
	return u, o.setRoot(u, given("mount-dev"))
}

// imply makes the namespaces that other flags need.
func (o *unshareOptions) imply(u *launch.Unshare) {
	implied := map[nsops.Type]bool{
		nsops.Mnt: o.mountProc || o.root != "", nsops.UTS: o.hostname != "", nsops.User: o.mapRoot || o.mapCurrent,
	}
	for _, t := range nsops.Types {
		if *o.namespaces[t] || implied[t] {
			u.New = append(u.New, t)
		}
	}
}

func (o *unshareOptions) maps() (*launch.IDMaps, error) {
	uid, gid := os.Geteuid(), os.Getegid()
	switch {
	case o.mapCurrent:
		return launch.MapOwn(uid, gid, uid, gid), nil
	case !o.mapRoot:
		return nil, nil
	}
	m := launch.MapOwn(0, 0, uid, gid)
	if o.mapAuto {
		if err := m.AddSubordinate(uid); err != nil {
			return nil, fmt.Errorf("--map-auto: %w", err)
		}
	}
	return m, nil
}

// setRoot finds the directory, and whether it gets a /dev.
func (o *unshareOptions) setRoot(u *launch.Unshare, devAsked bool) error {
	if o.root == "" {
		return nil
	}
	root, dev, err := callerfile.FindRoot(o.root)
	switch {
	case err != nil:
		return err
	case root == "/" && devAsked && o.mountDev:
		return errors.New("--mount-dev is for a new root: / is the one you have")
	case root == "/": // unshare(1) takes it; pivot_root(2) has nothing to change
		if u.Cwd == "" {
			u.Cwd = "/"
		}
		return nil
	}
	u.Root, u.Dev = root, o.mountDev && (dev || devAsked)
	return nil
}

// shell is what unshare(1) runs without a command.
func shell() string {
	if s := os.Getenv("SHELL"); s != "" {
		return s
	}
	return "/bin/sh"
}

func (a *app) runUnshare(ctx context.Context, o *unshareOptions, u *launch.Unshare) error {
	var err error
	if u.Kernel, err = launch.ThisKernel(); err != nil {
		return err
	}
	// Of HUP and INT alone the Go runtime keeps that the caller ignores them.
	own, err := proc.OwnStatus()
	if err != nil {
		return err
	}
	u.IgnoredSignals, u.TimerSlack = launch.IgnoredSignals(own), proc.OwnTimerSlack
	prog, err := launch.CompileUnshare(u)
	if err != nil {
		return &clientError{code: exitDx, err: fmt.Errorf("dx: %w", err)}
	}
	if o.explain {
		return prog.Explain(a.out)
	}
	code, err := session.RunOn(ctx, prog, [3]*os.File{a.in, a.out, a.err})
	var start *session.StartError
	if errors.As(err, &start) {
		return unshareFailed(u, start.Err)
	}
	return errors.Join(err, exitStatus(code))
}
