package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dx/dockerx"
	"dx/dockerx/execspec"
	"dx/dockerx/exposure"
	"dx/nsops"
	"dx/nsops/launch"
	"dx/nsops/proc"
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

// outsideCgroup says that a paused container does not hold the command up.
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
	o, c := e.options, e.container
	e.ofHost = true
	target, err := launch.OpenTarget(c.Process, nil, o.part.namespaces)
	if err != nil {
		return fmt.Errorf("cannot open %s: %w", c.String(), err)
	}
	defer target.Close()
	own, err := ownStatus()
	if err != nil {
		return err
	}
	joins := kindsOf(target.Joins)
	if !o.part.exposeHost && !o.explain {
		if err := exposure.OfNamespaces(c, joins, own); err != nil {
			return err
		}
	}
	v := &launch.Visit{Plan: &launch.Plan{
		Process: &specs.Process{Args: args, Env: withVariables(os.Environ(), e.env), Cwd: o.workdir, Terminal: o.tty},
		Joins:   target.Joins,
		Origins: map[string]string{"Args": "the command line", "Namespaces": fmt.Sprintf("--ns, /proc/%d/ns", c.Process.PID), "Env[PATH]": "your PATH"},
	}}
	root, err := a.placeVisit(v, target, c, joins)
	if err != nil {
		return err
	}
	if root != target.Root {
		defer root.Close()
	}
	if o.debug {
		a.printOrigins(c, v.Origins)
	}
	return a.runVisit(ctx, e, v, root, own)
}

func (a *app) runVisit(ctx context.Context, e *execRequest, v *launch.Visit, root *os.File, own proc.Status) error {
	prog, err := launch.CompileVisit(v)
	if err != nil {
		return err
	}
	return a.runProgram(ctx, e, v.Plan, session.Session{Program: prog, Root: root, UID: int(own.UID[1]), GID: int(own.GID[1])})
}

// placeVisit says which files the command sees, and returns its root.
func (a *app) placeVisit(v *launch.Visit, target *launch.Target, c *dockerx.Container, joins []nsops.Type) (*os.File, error) {
	pidHost, err := exposure.HostPIDs(c)
	if err != nil {
		return nil, err
	}
	v.Seen = pidHost || slices.Contains(joins, nsops.PID)
	if v.Kernel, err = launch.ThisKernel(); err != nil {
		return nil, err
	}
	if slices.Contains(joins, nsops.Mnt) {
		v.Root = target.Root
		if v.Process.Cwd == "" {
			v.Process.Cwd = "/"
		}
		return target.Root, nil
	}
	v.Proc = slices.Contains(joins, nsops.PID)
	if slices.Contains(joins, nsops.Net) {
		if err := a.addNameFiles(v, c); err != nil {
			return nil, err
		}
	}
	return launch.HostRoot()
}

// addNameFiles lets the command resolve names as the container does, as far as
// both sides have the files for it.
func (a *app) addNameFiles(v *launch.Visit, c *dockerx.Container) error {
	files, err := execspec.NameFiles(c)
	if err != nil {
		return err
	}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			a.say("the host has no %s over which that of %s could be mounted", path, c.String())
			continue
		}
		v.Files = append(v.Files, launch.Overlay{Path: path, Content: files[path]})
	}
	return nil
}

func kindsOf(joins []launch.Join) (kinds []nsops.Type) {
	for _, j := range joins {
		kinds = append(kinds, j.Type)
	}
	return kinds
}

// withVariables sets variables in an environment; a bare NAME removes one.
func withVariables(env, set []string) []string {
	for _, v := range set {
		name, _, given := strings.Cut(v, "=")
		env = slices.DeleteFunc(env, func(old string) bool { return strings.HasPrefix(old, name+"=") })
		if given {
			env = append(env, v)
		}
	}
	return env
}
