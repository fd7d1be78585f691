package dockerx

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"dx/dockerx/host"
	"dx/nsops"
	"dx/nsops/proc"
)

// shown are the containers of a list whose init is alive and theirs. What they are called
// is yet to be looked up. Two engines may have the same ID.
type shown struct {
	list    []*shownContainer
	byID    map[string][]*shownContainer
	leftOut []string // what is to be said of others
}

type shownContainer struct {
	*Container
	found *host.Found
	taken bool // an engine has told its name
}

// shownOn makes containers of all that is found on the host. It says nothing yet.
func (r *Resolver) shownOn(found []*host.Found) *shown {
	containers := make([]*Container, len(found))
	errs := make([]error, len(found))
	nsops.Spread(len(found), func(i int) {
		if found[i].Runs() {
			containers[i], errs[i] = r.show(found[i])
		}
	})
	out := &shown{byID: map[string][]*shownContainer{}}
	for i, f := range found {
		var stale *StaleError
		switch {
		case containers[i] != nil:
			out.add(&shownContainer{Container: containers[i], found: f})
		case errs[i] != nil && !errors.As(errs[i], &stale): // else a runtime's files have outlived its process
			out.leftOut = append(out.leftOut, fmt.Sprintf("%s is left out: %v", f.Name(), errs[i]))
		}
	}
	return out
}

// showEarly is shownOn while the engine makes its list; nil where it is not asked. If it
// then has none to give, all is to be looked at again beside Docker's files, by which a
// container may have ended.
func (r *Resolver) showEarly(l *host.Listing) *shown {
	if r.from == SourceHost {
		return nil
	}
	var whose sync.WaitGroup
	whose.Go(r.ownEarly)
	s := r.shownOn(l.Found)
	for _, c := range s.list {
		c.found.Engine() // which it knows from then on
	}
	whose.Wait()
	return s
}

func (s *shown) report(r *Resolver) {
	for _, line := range s.leftOut {
		r.warn(line)
	}
}

func (s *shown) add(c *shownContainer) {
	s.list = append(s.list, c)
	s.byID[c.ID] = append(s.byID[c.ID], c)
}

// of returns the container that an engine lists by its ID; nil if none is shown.
func (s *shown) of(r *Resolver, id string) *shownContainer {
	var hits []*host.Found
	for _, c := range s.byID[id] {
		if e := c.found.Engine(); !c.taken && (host.IsDockers(c.found.Namespace) || e.Docker || e.Owner != 0 && e == r.own()) {
			hits = append(hits, c.found)
		}
	}
	if hits = r.theirs(hits); len(hits) != 1 {
		return nil
	}
	return s.byID[id][slices.IndexFunc(s.byID[id], func(c *shownContainer) bool { return c.found == hits[0] })]
}

// take is of, once for each container.
func (s *shown) take(r *Resolver, id string) *shownContainer {
	c := s.of(r, id)
	if c != nil {
		c.taken = true
	}
	return c
}

// left are those that no engine has told of.
func (s *shown) left() []*shownContainer {
	return slices.DeleteFunc(slices.Clone(s.list), func(c *shownContainer) bool { return c.taken })
}

func (s *shown) close() {
	if s == nil {
		return
	}
	for _, c := range s.list {
		c.Close()
	}
}

// show makes a container of no more than what the kernel shows: its init is the child of the
// bundle's shim that init.pid names. Of another manager's it is in a cgroup that holds the ID
// as well. For one that is to be entered, or where that cannot be told, see verify.
func (r *Resolver) show(f *host.Found) (*Container, error) {
	p, err := proc.Open(f.PID)
	if err == nil && f.Starting(p) {
		return nil, p.Close()
	}
	if err == nil && f.IsInit(p) {
		c := &Container{ID: f.ID, Process: p, warn: r.warn}
		if f.HasShim() {
			return c, nil
		}
		if cgroups, err := c.Cgroups(); err == nil && host.InCgroup(cgroups, f.Namespace, f.ID) {
			return c, nil
		}
	}
	if err == nil {
		p.Close()
	}
	c, err := r.fromFound(f.ID, f)
	var state *StateError
	if errors.As(err, &state) {
		return nil, nil
	}
	return c, err
}

// callers tells what containers of the host are called: their names, as long as these mean
// them by the rules; else a qualified reference.
type callers struct {
	own   host.Engine // whose names come before those of others; zero: not identified
	plain func(*host.Found) bool
	names map[string]int // by Called
	bare  map[string]int // by Name
}

func (r *Resolver) callers(s situation, all []*host.Found) callers {
	rules := s.rules(Reference{})
	c := callers{own: s.own, names: map[string]int{}, bare: map[string]int{}, plain: func(f *host.Found) bool {
		return rules.first != nil && rules.first(f) || rules.second != nil && rules.second(f)
	}}
	for _, f := range all {
		c.names[f.Called()]++
		c.bare[f.Name()]++
	}
	return c
}

// found are those of a list as they were found.
func (s *shown) found() []*host.Found {
	var out []*host.Found
	for _, c := range s.list {
		out = append(out, c.found)
	}
	return out
}

func (c callers) call(f *host.Found) string {
	name, e := f.Name(), f.Engine()
	if c.plain(f) && f.Pod() == (host.Pod{}) && (e == c.own || c.bare[name] == 1) {
		return name
	}
	return c.qualified(f)
}

// qualified is the reference by the name, as long as that means one container.
func (c callers) qualified(f *host.Found) string {
	if called := f.Called(); c.names[called] == 1 {
		return called
	}
	return f.Qualified()
}

// sorted is by name, for where no engine tells the order.
func sorted(list []*Container) []*Container {
	slices.SortFunc(list, func(a, b *Container) int { return strings.Compare(a.Name+a.ID, b.Name+b.ID) })
	return list
}
