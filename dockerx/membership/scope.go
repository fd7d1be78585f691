package membership

import (
	"fmt"

	"dx/dockerx"
	"dx/dockerx/host"
	"dx/nsops"
	"dx/nsops/proc"
)

// ScopeOf returns which processes are the container's: those in its cgroups; those in its
// PID namespace, if that is its own and neither the host's nor another container's;
// those in its mount namespace. Cgroups alone would miss who came by nsenter, and
// namespaces alone would take the whole host for a container with --pid host.
func ScopeOf(c *dockerx.Container) (nsops.Scope, error) {
	cgroups, err := c.Process.Cgroups()
	if err != nil {
		return nsops.Scope{}, fmt.Errorf("%s: %w", c.Ref, err)
	}
	s, err := nsops.ScopeOf(c.Process, cgroups)
	if err != nil {
		return s, fmt.Errorf("%s: %w", c.Ref, err)
	}
	if c.ID == "" {
		return s, nil
	}
	for _, cg := range cgroups {
		if base, ok := host.CgroupBase(cg, c.ID); ok {
			s.Cgroups[nsops.Hierarchy(cg)] = base
		}
	}
	st, err := c.Process.Status()
	if err != nil {
		return s, fmt.Errorf("%s: %w", c.Ref, err)
	}
	if !nsops.LeadsPIDs(st) {
		s.PID = nsops.ID{}
	}
	return s, nil
}

// Owns reports whether a member of the container's scope is its own and not that of
// another container, which was put into this one's PID namespace (--pid container:X).
func Owns(c *dockerx.Container, m nsops.Membership, cgroups []proc.Cgroup) bool {
	if !m.Any() || m.Cgroup != "" || c.ID == "" {
		return m.Any()
	}
	other, ok := host.CgroupID(cgroups)
	return !ok || other == c.ID
}
