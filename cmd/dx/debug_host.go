package main

import (
	"context"
	"fmt"
	"os"
	"path"

	"github.com/opencontainers/runtime-spec/specs-go"

	"dx/dockerx/execspec"
	"dx/dockerx/exposure"
	"dx/nsops"
	"dx/nsops/caps"
	"dx/nsops/launch"
	"dx/nsops/proc"
	"dx/nsops/session"
	"dx/nsops/tools"
)

func (a *app) runHostTools(ctx context.Context, o debugOptions, ref string, args []string) error {
	o.ignorePaused = true // the command is not in the container's cgroup
	return a.enter(ctx, o.execOptions, ref, func(e *execRequest) error {
		e.ofHost = true
		pids, err := e.sharesPIDs(o)
		if err != nil {
			return err
		}
		own, err := ownStatus()
		if err != nil {
			return err
		}
		if !o.exposeHost {
			if err := exposure.OfHostTools(e.container, own, pids); err != nil {
				return err
			}
		}
		return a.debugWithHostTools(ctx, e, hostSpec(e, args, own), pids)
	})
}

// sharesPIDs reports whether the command is to join a PID namespace.
func (e *execRequest) sharesPIDs(o debugOptions) (bool, error) {
	pidHost, err := exposure.HostPIDs(e.container)
	return o.sharePID && !pidHost, err
}

func ownStatus() (proc.Status, error) {
	self, err := proc.Self()
	if err != nil {
		return proc.Status{}, err
	}
	defer self.Close()
	return self.Status()
}

// hostSpec is the caller's own shell, or a command, with the caller's own rights.
func hostSpec(e *execRequest, args []string, own proc.Status) *execspec.Spec {
	if len(args) == 0 {
		args = []string{hostShell()}
	}
	// Not the container's directory: programs run what they find where they start
	// (a module that python imports, the hooks of a repository), as the host's root here.
	cwd := e.options.workdir
	if cwd == "" {
		cwd = "/"
	}
	held := caps.Names(own.CapPrm)
	return &execspec.Spec{
		Process: &specs.Process{
			Args: args, Env: callerEnvironment(e), Cwd: cwd, Terminal: e.options.tty,
			User:         specs.User{UID: own.UID[1], GID: own.GID[1], AdditionalGids: own.Groups},
			Capabilities: &specs.LinuxCapabilities{Bounding: caps.Names(own.CapBnd), Permitted: held, Effective: held},
		},
		Origins: map[string]string{
			"Args": "the command line", "User": "dx's own", "Capabilities": "dx's own", "Cwd": "-w, else /",
			"Namespaces": fmt.Sprintf("/proc/%d/ns", e.container.Process.PID),
		},
	}
}

// hostShell is the caller's shell, else bash, else sh.
func hostShell() string {
	for _, file := range []string{os.Getenv("SHELL"), "/bin/bash"} {
		if st, err := os.Stat(file); file != "" && err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
			return file
		}
	}
	return "/bin/sh"
}

// sharedKinds are the namespaces of the container in which host tools run.
func sharedKinds(pids bool) []nsops.Type {
	kinds := []nsops.Type{nsops.IPC, nsops.UTS, nsops.Net}
	if pids {
		kinds = append(kinds, nsops.PID)
	}
	return kinds
}

func (a *app) debugWithHostTools(ctx context.Context, e *execRequest, spec *execspec.Spec, pids bool) error {
	if !path.IsAbs(spec.Process.Cwd) {
		return execspec.ErrRelativeCwd
	}
	if e.options.debug {
		a.printOrigins(e.container, spec.Origins)
	}
	spec.Namespaces = sharedKinds(pids)
	plan, err := execspec.NewPlan(e.container, spec)
	if err != nil {
		return err
	}
	defer plan.Close()
	view, err := tools.NewHostView(e.container.Process, pids)
	if err != nil {
		return err
	}
	defer view.Close()
	plan.Joins = append(plan.Joins, launch.Join{Type: nsops.Mnt, File: view.Mnt})
	plan.Root, plan.MountProc, plan.KeepKeyring, plan.Seen = view.Root, pids, true, true
	return a.runPlan(ctx, e, plan)
}

// runPlan compiles a plan, and prints or runs it with streams of the caller.
func (a *app) runPlan(ctx context.Context, e *execRequest, plan *execspec.Plan) error {
	prog, err := launch.Compile(plan.Plan)
	if err != nil {
		return err
	}
	return a.runProgram(ctx, e, plan.Plan, session.Session{
		Program: prog, Root: plan.Root, UID: int(plan.Process.User.UID), GID: int(plan.Process.User.GID),
	})
}

// callerEnvironment is dx's own environment with that of -e over it.
func callerEnvironment(e *execRequest) []string {
	return withPrompt(withVariables(os.Environ(), e.env), e, "dx host-tools")
}
