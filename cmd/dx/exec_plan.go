package main

import (
	"bytes"
	"fmt"

	"github.com/moby/sys/capability"
	"github.com/moby/sys/user"

	"dx/dockerx"
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
func newPlan(c *dockerx.Container, spec *dockerx.ExecSpec) (*openPlan, error) {
	target, err := launch.OpenTarget(c.Process, spec.Namespaces)
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

func (p *openPlan) fill(spec *dockerx.ExecSpec) error {
	last, err := capability.LastCap()
	if err != nil {
		return fmt.Errorf("find the kernel's last capability: %w", err)
	}
	p.LastCap = int(last)
	if p.Shed.IgnoredSignals, err = ignoredSignals(); err != nil {
		return err
	}
	if spec.Seccomp != nil {
		if p.Seccomp, err = seccomp.Compile(spec.Seccomp, seccomp.NativeArch()); err != nil {
			return err
		}
	}
	for _, dir := range spec.Cgroups {
		cg, err := launch.OpenCgroup(dir.Controller, dir.Path)
		if err != nil {
			return err
		}
		p.Cgroups = append(p.Cgroups, cg)
	}
	return nil
}

// hostUID is the uid by which the host knows a user of the container's user
// namespace (user_namespaces(7), uid_map).
func hostUID(c *dockerx.Container, uid uint32) (int, error) {
	b, err := c.Process.ReadFile("uid_map")
	if err != nil {
		return 0, err
	}
	maps, err := user.ParseIDMap(bytes.NewReader(b))
	if err != nil {
		return 0, fmt.Errorf("/proc/%d/uid_map: %w", c.Process.PID, err)
	}
	for _, m := range maps {
		if n := int64(uid) - m.ID; n >= 0 && n < m.Count {
			return int(m.ParentID + n), nil
		}
	}
	return 0, fmt.Errorf("the user namespace of %s has no user %d: its uid_map does not cover it", describe(c), uid)
}

// ignoredSignals are those that dx's caller ignores (nohup, a shell's &): execve
// keeps them, and a shim has none.
func ignoredSignals() ([]int, error) {
	self, err := proc.Self()
	if err != nil {
		return nil, err
	}
	defer self.Close()
	st, err := self.Status()
	if err != nil {
		return nil, err
	}
	var list []int
	for n := 1; n <= 64; n++ {
		if st.SigIgn&(1<<(n-1)) != 0 {
			list = append(list, n)
		}
	}
	return list, nil
}

// describe names a container and its process in messages: "web (pid 4711)".
func describe(c *dockerx.Container) string {
	return printable(fmt.Sprintf("%s (pid %d)", c.Name, c.Process.PID))
}
