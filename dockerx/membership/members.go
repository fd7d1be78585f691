package membership

import (
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
func PIDs(c Container) (pids []int, whole bool, err error) {
	pids = []int{c.Init.PID}
	if c.ID != "" {
		inCgroup, err := host.Procs(c.Init, c.ID, maxMembers)
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

// Attribute says of each process of a census whose it is: an index of the containers, or
// -1. It is linear in the number of processes.
func (x *Index) Attribute(c *census.Census) []int {
	at := make(map[int]int, len(c.Processes))
	for i, p := range c.Processes {
		at[p.PID] = i
	}
	cgroups := map[string][]proc.Cgroup{} // parsed once, as many processes have the same
	read := func(i int) facts {
		p := c.Processes[i]
		f := facts{who: identity{p.PID, p.StartTime}, parent: p.PPID, mnt: p.Places.Of(nsops.Mnt)}
		f.pids = x.lineage.Around(p.Places.Of(nsops.PID), p.PID)
		list, ok := cgroups[p.Cgroups]
		if !ok {
			list, _ = proc.ParseCgroups([]byte(p.Cgroups)) // none: it ended
			cgroups[p.Cgroups] = list
		}
		f.cgroups = list
		return f
	}
	parent := func(pid int) (facts, bool) {
		i, ok := at[pid]
		if !ok {
			return facts{}, false
		}
		return read(i), true
	}
	answers := make([]Answer, len(c.Processes))
	for i := range c.Processes {
		answers[i] = x.of(read(i), parent)
	}
	out := make([]int, len(c.Processes))
	for i, a := range answers {
		out[i] = -1
		if in := x.Settle(a).In; len(in) > 0 {
			out[i] = in[0]
		}
	}
	return out
}

// BundleOf returns the bundle of the container that a process is in, with a shim that
// counts: that from which its init was made, whose posture an exec has. host.ErrNoBundle if
// there is none. It is looked for upward from the process; a process in another container's
// cgroup is that one's by the rules, and not its ancestor's.
func BundleOf(p *proc.Process) (*host.Bundle, error) {
	b, err := host.Find(p)
	if err != nil {
		return nil, err
	}
	cgroups, err := p.Cgroups()
	if err != nil {
		b.Close()
		return nil, err
	}
	if pid, err := b.InitPID(); err == nil && pid == p.PID || host.InCgroup(cgroups, b.Namespace, b.ID) {
		return b, nil
	}
	if id, ok := host.CgroupID(cgroups); ok && !ownIDs()[id] {
		b.Close()
		return nil, host.ErrNoBundle
	}
	return b, nil
}
