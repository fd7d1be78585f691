package dockerx

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"dx/dockerx/host"
	"dx/nsops"
	"dx/nsops/cgroup"
	"dx/nsops/proc"
)

// shown are the containers of a list whose init is alive and theirs, by ID. What they
// are called is yet to be looked up.
type shown map[string]shownOne

type shownOne struct {
	*Container
	found *host.Found
}

// shownOn makes containers of all that is found on the host.
func (r *Resolver) shownOn(l *host.Listing) shown {
	l.AddOrphans()
	containers := make([]*Container, len(l.Found))
	errs := make([]error, len(l.Found))
	nsops.Spread(len(l.Found), func(i int) { containers[i], errs[i] = r.show(l.Found[i]) })
	out := shown{}
	for i, f := range l.Found {
		var stale *StaleError
		switch {
		case errs[i] == nil && out[f.ID].Container == nil:
			out[f.ID] = shownOne{containers[i], f}
		case errs[i] == nil:
			containers[i].Close()
		case !errors.As(errs[i], &stale): // else a runtime's files have outlived its process
			r.warn(fmt.Sprintf("%s is left out: %v", f.Name(), errs[i]))
		}
	}
	return out
}

// show makes a container of no more than what the kernel shows: its init is the child
// of the bundle's shim that init.pid names, in a cgroup that holds the ID. For one that
// is to be entered, or where that cannot be told, see verify.
func (r *Resolver) show(f *host.Found) (*Container, error) {
	p, err := proc.OpenReading(f.PID)
	if err == nil && f.IsInit(p) {
		cgroups, err := p.Cgroups()
		if err == nil && host.InCgroup(cgroups, f.ID) {
			c := &Container{ID: f.ID, Process: p, warn: r.warn}
			if dirs, err := cgroup.DirsOf(cgroups, "freezer", ""); err == nil {
				c.Paused, _, _ = cgroup.Freezer(dirs)
			}
			return c, nil
		}
	}
	if err == nil {
		p.Close()
	}
	v, err := verify(claim{ref: f.ID, id: f.ID, pid: f.PID, source: SourceHost})
	if err != nil {
		return nil, err
	}
	c := &Container{ID: f.ID, Process: v.process, bundle: v.bundle, warn: r.warn}
	c.readFreezer(false)
	return c, nil
}

// named returns all of them by the names that Docker's files have.
func (s shown) named() []*Container {
	var out []*Container
	for _, c := range s {
		c.named(c.found.Name(), c.found)
		out = append(out, c.Container)
	}
	slices.SortFunc(out, func(a, b *Container) int { return strings.Compare(a.Name+a.ID, b.Name+b.ID) })
	return out
}

func (s shown) close() {
	for _, c := range s {
		c.Close()
	}
}
