// Package membership says whose process a process is.
package membership

import (
	"path"

	"dx/dockerx"
	"dx/dockerx/host"
	"dx/nsops"
	"dx/nsops/census"
	"dx/nsops/proc"
)

// maxMembers bounds how many processes of one container are looked at.
const maxMembers = 50_000

// PIDs returns the numbers of the container's processes, without a pass over /proc:
// those in its cgroup, and the descendants of its init. They are numbers: a census
// and Attribute tell whether they still mean the container's. whole is false where
// there are more than maxMembers.
func PIDs(c *dockerx.Container) (pids []int, whole bool, err error) {
	pids = []int{c.Process.PID}
	if c.ID != "" {
		inCgroup, err := host.Procs(c.Process, c.ID, maxMembers)
		if err != nil {
			return nil, false, err
		}
		pids = append(pids, inCgroup...)
	}
	pids = descendants(pids)
	return pids, len(pids) < maxMembers, nil
}

// descendants adds the children of each, and theirs.
func descendants(pids []int) []int {
	seen := map[int]bool{}
	var out []int
	for i := 0; i < len(pids) && len(out) < maxMembers; i++ {
		if seen[pids[i]] {
			continue
		}
		seen[pids[i]] = true
		p, err := proc.Open(pids[i])
		if err != nil {
			continue // gone
		}
		out = append(out, pids[i])
		if children, err := p.Children(); err == nil {
			pids = append(pids, children...)
		}
		p.Close()
	}
	return out
}

// Attribute says of each process of a census in which container it is: an index of
// list, or -1. A process is in the container whose init it descends from (the
// nearest), all of whose namespaces it is in, or whose cgroup it is in. The cgroup of
// a process that is in host's namespaces only is not looked at: there are many. With
// the zero Places it is. It is linear in the number of processes.
func Attribute(list []*dockerx.Container, c *census.Census, host census.Places) []int {
	a := attribution{
		census: c, host: host, at: map[int]int{}, list: list, places: map[census.Places]int{},
		of: make([]int, len(c.Processes)),
	}
	for i, p := range c.Processes {
		a.at[p.PID] = i
		a.of[i] = open
	}
	for i, container := range list {
		a.init(i, container)
	}
	for i := range c.Processes {
		a.climb(i)
	}
	return a.of
}

// What attribution.of holds beside indexes.
const (
	none    = -1
	open    = -2 // not known yet
	pending = -3 // its ancestors are being asked
)

type attribution struct {
	census *census.Census
	host   census.Places
	at     map[int]int // PID → index of census.Processes
	list   []*dockerx.Container
	bases  map[string]int // cgroup of a container, with its hierarchy → index of the list; nil: not read yet
	places map[census.Places]int
	of     []int
}

func (a *attribution) init(i int, c *dockerx.Container) {
	at, ok := a.at[c.Process.PID]
	if !ok || a.census.Processes[at].StartTime != c.Process.StartTime {
		return
	}
	if a.of[at] == open {
		a.of[at] = i
	}
	p := a.census.Processes[at].Places
	if _, taken := a.places[p]; !taken && p != a.host {
		a.places[p] = i
	}
}

// climb answers for a process and for all above it that have no answer yet. Parents
// that were read at different times may seem to form a circle; it is cut.
func (a *attribution) climb(i int) {
	var path []int
	above := none
	for {
		if a.of[i] != open {
			if a.of[i] != pending {
				above = a.of[i]
			}
			break
		}
		a.of[i] = pending
		path = append(path, i)
		parent, ok := a.at[a.census.Processes[i].PPID]
		if !ok {
			break
		}
		i = parent
	}
	for k := len(path) - 1; k >= 0; k-- {
		above = a.decide(path[k], above)
		a.of[path[k]] = above
	}
}

// decide is for a process whose parent is in above.
func (a *attribution) decide(i, above int) int {
	p := a.census.Processes[i]
	if in, ok := a.places[p.Places]; ok {
		return in
	}
	if above != none || len(a.list) == 0 || p.Places == a.host {
		return above
	}
	return a.byCgroup(p)
}

// byCgroup is asked last, of the few that are neither: it takes opening files. What
// counts is the cgroup that a container's init is in, or one below it: any user may call
// a cgroup after a container.
func (a *attribution) byCgroup(seen census.Process) int {
	p, err := proc.Open(seen.PID)
	if err != nil {
		return none
	}
	defer p.Close()
	cgroups, err := p.Cgroups()
	if err != nil || p.StartTime != seen.StartTime {
		return none
	}
	if a.bases == nil {
		a.readBases()
	}
	for _, cg := range cgroups {
		for at := cg.Path; len(at) > 1; at = path.Dir(at) {
			if in, ok := a.bases[nsops.Hierarchy(cg)+":"+at]; ok {
				return in
			}
		}
	}
	return none
}

func (a *attribution) readBases() {
	a.bases = map[string]int{}
	for i, c := range a.list {
		cgroups, err := c.Process.Cgroups()
		if err != nil {
			continue // it has ended
		}
		for _, cg := range cgroups {
			if base, ok := host.CgroupBase(cg, c.ID); ok {
				a.bases[nsops.Hierarchy(cg)+":"+base] = i
			}
		}
	}
}
