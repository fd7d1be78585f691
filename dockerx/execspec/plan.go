package execspec

import (
	"fmt"
	"slices"
	"strings"

	"dx/dockerx"
	"dx/nsops"
	"dx/nsops/launch"
	"dx/nsops/proc"
	"dx/nsops/seccomp"
)

// Plan is what nsops/launch makes a program of, with the files that it needs.
type Plan struct {
	*launch.Plan
	container *dockerx.Container
	caller    *Process
	target    *launch.Target
}

// NewPlan opens what a Spec names, in a container that it may have been changed for,
// and compiles its seccomp profile.
func NewPlan(c *dockerx.Container, spec *Spec) (*Plan, error) {
	target, err := openTarget(c, spec)
	if err != nil {
		return nil, fmt.Errorf("cannot open %s: %w", c, err)
	}
	p := &Plan{container: c, caller: spec.Caller, target: target, Plan: &launch.Plan{
		Process: spec.Process, Keyring: spec.Keyring, Personality: spec.Personality, MemoryPolicy: spec.MemoryPolicy, Origins: spec.Origins,
		Joins: target.Joins, Root: target.Root, SetgroupsDenied: target.SetgroupsDenied, Realm: spec.Realm, TimerSlack: proc.OwnTimerSlack,
	}}
	if spec.Realm && !joinsUser(target) {
		p.Close()
		return nil, fmt.Errorf("%s has left the user namespace of its owner: not entered", c)
	}
	if p.caller == nil {
		p.caller, err = readSelf()
	}
	if err == nil {
		err = p.fill(spec)
	}
	if err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// Close closes the files.
func (p *Plan) Close() {
	p.target.Close()
	for _, cg := range p.Cgroups {
		cg.Close()
	}
}

// joinsUser reports whether dx is outside of the target's user namespace.
func joinsUser(t *launch.Target) bool {
	return slices.ContainsFunc(t.Joins, func(j launch.Join) bool { return j.Type == nsops.User })
}

func openTarget(c *dockerx.Container, spec *Spec) (*launch.Target, error) {
	root, err := c.RootDir()
	if err != nil {
		return nil, fmt.Errorf("open the root: %w", err)
	}
	if spec.Exactly != nil {
		return launch.OpenExactly(c.Process, root, spec.Exactly)
	}
	return launch.OpenTarget(c.Process, root, spec.Namespaces)
}

func (p *Plan) fill(spec *Spec) error {
	var err error
	if p.Kernel, err = launch.ThisKernel(); err != nil {
		return err
	}
	p.Shed = p.shed(spec)
	if spec.Seccomp != nil {
		if p.Seccomp, err = seccomp.Compile(spec.Seccomp, seccomp.NativeArch()); err != nil {
			return err
		}
	}
	p.Filters, p.FilterKey = spec.Filters, seccomp.NewKey()
	if p.Plain = isPlain(p.caller); p.Plain {
		if kept := p.keepOwn(); kept != nil {
			p.container.Warn("only root can give the command what the container's processes have of these, so that it has dx's own: " + strings.Join(kept, ", "))
		}
	}
	return p.openCgroups(spec.Cgroups)
}

// shed lists what dx has inherited (ignored signals, nice and so on) and the command is to have
// as a child of the shim has it.
func (p *Plan) shed(spec *Spec) launch.Shed {
	var s launch.Shed
	if spec.Inherited != nil {
		s = launch.NewShed(p.caller.Attributes, *spec.Inherited)
		s.Leftovers, s.Forever = launch.Leftovers()
	}
	s.IgnoredSignals = launch.IgnoredSignals(p.caller.Status)
	return s
}

// CheckCaller refuses to run a command with less, or with more filters, than the
// container's processes have (launch.CallerError); with ignore, a missing capability
// is left out instead.
func (p *Plan) CheckCaller(ignore bool) error {
	if !ignore {
		return p.Plan.CheckCaller(p.caller.Status)
	}
	p.LimitCapabilities(p.caller.Status.CapBnd)
	return nil
}

// StreamOwner returns whose the streams are, as the host counts: the user's, and
// the group's of the container's root, as a shim makes its pipes.
func (p *Plan) StreamOwner() (uid, gid int, err error) {
	inside := p.Process.User.UID
	if !slices.ContainsFunc(p.Joins, func(j launch.Join) bool { return j.Type == nsops.User }) {
		return int(inside), 0, nil // whatever namespace init is in
	}
	uids, err := p.container.Process.UIDMap()
	if err != nil {
		return 0, 0, err
	}
	gids, err := p.container.Process.GIDMap()
	if err != nil {
		return 0, 0, err
	}
	if uid, err = p.hostID("uid_map", uids, inside); err != nil {
		return 0, 0, err
	}
	gid, err = p.hostID("gid_map", gids, 0)
	return uid, gid, err
}

// hostID is the id by which the host knows one of the container's user namespace
// (user_namespaces(7), uid_map).
func (p *Plan) hostID(file string, m proc.IDMap, inside uint32) (int, error) {
	if outside, ok := m.Outer(inside); ok {
		return int(outside), nil
	}
	return 0, fmt.Errorf("the user namespace of %s has no id %d: its %s does not cover it", p.container, inside, file)
}
