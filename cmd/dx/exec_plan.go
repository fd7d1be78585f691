package main

import (
	"fmt"
	"slices"

	"dx/dockerx"
	"dx/dockerx/execspec"
	"dx/nsops"
	"dx/nsops/escape"
	"dx/nsops/launch"
	"dx/nsops/proc"
	"dx/nsops/seccomp"
)

// openPlan is a launch plan with the files that it needs.
type openPlan struct {
	*launch.Plan
	target *launch.Target
}

func (p *openPlan) close() {
	p.target.Close()
	for _, cg := range p.Cgroups {
		cg.Procs.Close()
	}
}

// newPlan opens what spec names and compiles its seccomp profile.
func newPlan(c *dockerx.Container, spec *execspec.Spec) (*openPlan, error) {
	target, err := openTarget(c, spec)
	if err != nil {
		return nil, fmt.Errorf("cannot open %s: %w", describe(c), err)
	}
	p := &openPlan{target: target, Plan: &launch.Plan{
		Process: spec.Process, Keyring: spec.Keyring, Personality: spec.Personality, Origins: spec.Origins,
		Joins: target.Joins, Root: target.Root, SetgroupsDenied: target.SetgroupsDenied,
	}}
	if err := p.fill(spec); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func openTarget(c *dockerx.Container, spec *execspec.Spec) (*launch.Target, error) {
	if spec.Exactly != nil {
		return launch.OpenExactly(c.Process, spec.Exactly)
	}
	return launch.OpenTarget(c.Process, spec.Namespaces)
}

func (p *openPlan) fill(spec *execspec.Spec) error {
	var err error
	if p.Kernel, err = launch.ThisKernel(); err != nil {
		return err
	}
	if p.Shed, err = shed(spec); err != nil {
		return err
	}
	if spec.Seccomp != nil {
		if p.Seccomp, err = seccomp.Compile(spec.Seccomp, seccomp.NativeArch()); err != nil {
			return err
		}
	}
	p.Filters, p.FilterKey = spec.Filters, seccomp.NewKey()
	for _, dir := range spec.Cgroups {
		name := dir.Controller
		if name == "" {
			name = "unified"
		}
		cg, err := launch.OpenCgroup(name, dir.Path)
		if err != nil {
			return err
		}
		p.Cgroups = append(p.Cgroups, cg)
	}
	return nil
}

// streamOwner is who the streams belong to, as the host counts: the user, and
// the group of the container's root, as a shim makes its pipes.
func (p *openPlan) streamOwner(c *dockerx.Container) (hostUID, hostGID int, err error) {
	uid := p.Process.User.UID
	if !slices.Contains(kindsOf(p.Joins), nsops.User) {
		return int(uid), 0, nil // whatever namespace init is in
	}
	if hostUID, err = hostID(c, "uid_map", c.Process.UIDMap, uid); err != nil {
		return 0, 0, err
	}
	hostGID, err = hostID(c, "gid_map", c.Process.GIDMap, 0)
	return hostUID, hostGID, err
}

// hostID is the id by which the host knows one of the container's user namespace
// (user_namespaces(7), uid_map).
func hostID(c *dockerx.Container, file string, read func() (proc.IDMap, error), id uint32) (int, error) {
	m, err := read()
	if err != nil {
		return 0, err
	}
	if host, ok := m.Outer(id); ok {
		return int(host), nil
	}
	return 0, fmt.Errorf("the user namespace of %s has no id %d: its %s does not cover it", describe(c), id, file)
}

// checkCaller refuses to run a command with less, or with more filters, than the
// container's processes have; a missing capability is left out where that is
// wanted.
func (p *openPlan) checkCaller(ignore bool) error {
	self, err := proc.Self()
	if err != nil {
		return err
	}
	defer self.Close()
	own, err := self.Status()
	if err != nil {
		return err
	}
	if !ignore {
		return p.CheckCaller(own)
	}
	p.LimitCapabilities(own.CapBnd)
	return nil
}

// shed is what dx's caller handed down to dx and a shim would not hand down.
func shed(spec *execspec.Spec) (launch.Shed, error) {
	self, err := proc.Self()
	if err != nil {
		return launch.Shed{}, err
	}
	defer self.Close()
	var s launch.Shed
	if spec.Inherited != nil {
		own, err := self.Attributes()
		if err != nil {
			return s, err
		}
		s = launch.NewShed(own, *spec.Inherited)
		s.Leftovers, s.Forever = launch.Leftovers()
	}
	st, err := self.Status()
	if err != nil {
		return s, err
	}
	s.IgnoredSignals = ignored(st)
	return s, nil
}

func ignored(st proc.Status) (list []int) {
	for n := 1; n <= 64; n++ {
		if st.SigIgn&(1<<(n-1)) != 0 { // nohup, a shell's &
			list = append(list, n)
		}
	}
	return list
}

// ignoredSignals are those that dx's caller ignores: of HUP and INT alone the Go
// runtime keeps that.
func ignoredSignals() ([]int, error) {
	self, err := proc.Self()
	if err != nil {
		return nil, err
	}
	defer self.Close()
	st, err := self.Status()
	return ignored(st), err
}

// describe names a container and its process in messages: "web (pid 4711)".
func describe(c *dockerx.Container) string {
	return escape.Line(fmt.Sprintf("%s (pid %d)", c.Name, c.Process.PID))
}
