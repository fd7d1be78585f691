package hostexec

import (
	"fmt"
	"os"
	"path"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"

	"dx/dockerx"
	"dx/dockerx/execspec"
	"dx/dockerx/exposure"
	"dx/nsops"
	"dx/nsops/caps"
	"dx/nsops/launch"
	"dx/nsops/proc"
	"dx/nsops/tools"
)

// Options are what a program of the host's is to be.
type Options struct {
	Args []string // for Spec: empty: the caller's shell
	Env  []string // set over the caller's own; a bare NAME removes one
	Cwd  string
	Tty  bool

	Namespaces []nsops.Type // for NewVisit: which to join
	SharePID   bool         // for Spec: join the container's PID namespace

	// ExposeHost goes on where a process of the container could take over the host
	// through the command: no exposure.Error is returned.
	ExposeHost bool
}

// Spec is a program with the host's root, the container's at /container, and the caller's
// own rights, in the namespaces of a container that are named in it.
func Spec(c *dockerx.Container, o Options) (*execspec.Spec, error) {
	pidHost, err := exposure.HostPIDs(c)
	if err != nil {
		return nil, err
	}
	own, err := proc.OwnStatus()
	if err != nil {
		return nil, err
	}
	joinsPIDs := o.SharePID && !pidHost
	if !o.ExposeHost {
		if err := exposure.OfHostTools(c, own, joinsPIDs); err != nil {
			return nil, err
		}
	}
	spec := ownSpec(c, o, own)
	if !path.IsAbs(spec.Process.Cwd) {
		return nil, execspec.ErrRelativeCwd
	}
	spec.Namespaces = []nsops.Type{nsops.IPC, nsops.UTS, nsops.Net}
	if joinsPIDs {
		spec.Namespaces = append(spec.Namespaces, nsops.PID)
	}
	return spec, nil
}

// ownSpec is the caller's own shell, or a command, with the caller's own rights.
func ownSpec(c *dockerx.Container, o Options, own proc.Status) *execspec.Spec {
	args := o.Args
	if len(args) == 0 {
		args = []string{hostShell()}
	}
	// Not the container's directory: programs run what they find where they start
	// (a module that python imports, the hooks of a repository), as the host's root here.
	cwd := o.Cwd
	if cwd == "" {
		cwd = "/"
	}
	held := caps.Names(own.CapPrm)
	return &execspec.Spec{
		Process: &specs.Process{
			Args: args, Cwd: cwd, Terminal: o.Tty,
			Env:          withPrompt(withVariables(os.Environ(), o.Env), o.Env, "dx host-tools "+plainName(c.Name)),
			User:         specs.User{UID: own.UID[1], GID: own.GID[1], AdditionalGids: own.Groups},
			Capabilities: &specs.LinuxCapabilities{Bounding: caps.Names(own.CapBnd), Permitted: held, Effective: held},
		},
		Origins: map[string]string{
			"Args": "the command line", "User": "dx's own", "Capabilities": "dx's own", "Cwd": "-w, else /",
			"Namespaces": fmt.Sprintf("/proc/%d/ns", c.Process.PID),
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

// Plan is a Spec's plan, with the host's mounts as the command sees them.
type Plan struct {
	*execspec.Plan
	view *tools.HostView
}

// NewPlan opens what a Spec names.
func NewPlan(c *dockerx.Container, spec *execspec.Spec) (*Plan, error) {
	plan, err := execspec.NewPlan(c, spec)
	if err != nil {
		return nil, err
	}
	pids := slices.Contains(spec.Namespaces, nsops.PID)
	view, err := tools.NewHostView(c.Process, pids)
	if err != nil {
		plan.Close()
		return nil, err
	}
	plan.Joins = append(plan.Joins, launch.Join{Type: nsops.Mnt, File: view.Mnt})
	plan.Root, plan.MountProc, plan.KeepKeyring, plan.Seen = view.Root, pids, true, true
	return &Plan{plan, view}, nil
}

// Close closes the plan's files.
func (p *Plan) Close() {
	p.view.Close()
	p.Plan.Close()
}
