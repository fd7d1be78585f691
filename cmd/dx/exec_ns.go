package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dx/dockerx/hostexec"
	"dx/nsops"
	"dx/nsops/launch"
	"dx/nsops/session"
)

// partOptions are the flags of an exec that joins a part of a container.
type partOptions struct {
	namespaces nsFlag
	noCgroup   bool
	exposeHost bool
}

const partHelp = "\n\n" +
	"With --ns, COMMAND is a program of the host with your own user, capabilities,\n" +
	"environment and directory, in the named namespaces of the container only, as with\n" +
	"nsenter. No other namespace is joined, nor the container's root, cgroups, limits,\n" +
	"seccomp filter and security labels. With net but not mnt, COMMAND sees copies of\n" +
	"the container's /etc/resolv.conf and /etc/hosts; nsswitch.conf and /sys stay the\n" +
	"host's. With pid, its /proc is the container's.\n\n" +
	"--ns is refused where the container could take over the host through COMMAND, unless\n" +
	"--expose-host is given: with mnt, because COMMAND is then the container's own program\n" +
	"with your rights; with pid, if a process of the container could use /proc/PID/root of\n" +
	"COMMAND; with user, if somebody else made that namespace, who then controls COMMAND,\n" +
	"as does root of a container that has the host's PIDs."

func (o *partOptions) flags(f *pflag.FlagSet) {
	f.Var(&o.namespaces, "ns", "Join only these namespaces, comma separated, with a program of the host: cgroup, ipc, mnt, net, pid, time, user, uts")
	f.BoolVar(&o.noCgroup, "no-cgroup", false, "Do not enter the container's cgroups: gets in when its limits are reached, and is not bound by them")
	f.BoolVar(&o.exposeHost, "expose-host", false, "With --ns: go on although the container could take over the host through the command")
}

// check refuses flags that would have no effect beside --ns, or without it.
func (o *partOptions) check(cmd *cobra.Command) error {
	given := cmd.Flags().Changed
	if len(o.namespaces) == 0 {
		if given("expose-host") {
			return errors.New("--expose-host requires --ns")
		}
		return nil
	}
	for _, name := range []string{"user", "privileged", "ignore-paused", "ignore-unknown-filter", "ignore-caller-limits", "no-cgroup"} {
		if given(name) {
			return fmt.Errorf("--%s has no meaning with --ns: the command has your own user and rights, and is in no cgroup of the container", name)
		}
	}
	return nil
}

// outsideCgroup reports whether a paused container does not hold the command up.
func (o *partOptions) outsideCgroup() bool { return o.noCgroup || len(o.namespaces) > 0 }

// nsFlag is a list of kinds; mount and network are understood as well.
type nsFlag []nsops.Type

func (n *nsFlag) String() string { return "" }
func (n *nsFlag) Type() string   { return "types" }

func (n *nsFlag) Set(s string) error {
	for _, name := range strings.Split(s, ",") {
		t := nsops.Type(strings.TrimSpace(name))
		switch t {
		case "mount":
			t = nsops.Mnt
		case "network":
			t = nsops.Net
		}
		if !slices.Contains(nsops.Types, t) {
			return fmt.Errorf("%q is not a namespace type: cgroup, ipc, mnt, net, pid, time, user, uts", name)
		}
		if !slices.Contains(*n, t) {
			*n = append(*n, t)
		}
	}
	return nil
}

// runInNamespaces is exec --ns.
func (a *app) runInNamespaces(ctx context.Context, e *execRequest, args []string) error {
	o := e.options
	e.ofHost = true
	v, err := hostexec.NewVisit(e.container, hostexec.Options{
		Args: args, Env: e.env, Cwd: o.workdir, Tty: o.tty, Namespaces: o.part.namespaces, ExposeHost: o.part.exposeHost || o.explain,
	})
	if err != nil {
		return err
	}
	defer v.Close()
	if o.debug {
		a.printOrigins(e.container, v.Origins)
	}
	prog, err := launch.CompileVisit(v.Visit)
	if err != nil {
		return err
	}
	return a.runProgram(ctx, e, v.Plan, session.Session{Program: prog, Root: v.Root, UID: v.UID, GID: v.GID})
}
