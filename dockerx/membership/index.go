// Package membership says whose process a process is, and why. Everybody who has to know
// asks here: who, top, ns, exec of pid:N, doctor.
//
// The first of these that names a container of those asked about counts:
//
//  1. It is the container's init: the same PID, started at the same time.
//  2. It is in the container's cgroup or in one below, in any hierarchy. The cgroup is the
//     one that the container's init is in, cut behind the container's ID: a container
//     names what is below as it likes, and any user may call a cgroup of theirs after a
//     container. Of containers in each other, the innermost counts.
//  3. It is in the mount namespace of the container's init, if that is not the host's.
//  4. It is in the PID namespace of which the container's init is PID 1, or in one below.
//     One that the container was put into (--pid host, --pid container:X) does not count.
//  5. Its parent is the container's, by these rules.
//
// The cgroup comes before the namespaces because only the host's root, or an engine, puts a
// process into a container's, while a process may leave its namespaces, and a container be
// put into another one's: into its PID namespace, but never its mount namespace. A process in
// the cgroup of a container that is not among those asked about (Answer.Other) is none of
// theirs, whatever namespaces it is in, and neither is one in the mount namespace of such a
// process. Who is in the namespaces alone came by nsenter or its like.
//
// A reference to a process (pid:N, the host) is no container. What is around such a process
// is its own by the same rules, as far as it is no container's.
//
// Who is in a container and has whose rights is another question: which rights an exec
// into pid:N gets is for execspec to say, from the bundle that BundleOf finds.
package membership

import (
	"slices"
	"strings"

	"dx/dockerx/host"
	"dx/nsops"
	"dx/nsops/cgroup"
	"dx/nsops/proc"
)

// Container is one of those that a process may be in.
type Container struct {
	ID   string // empty: a reference to a process
	Init *proc.Process
}

// By is the rule that has told.
type By string

// The rules, in their order.
const (
	ByInit    By = "init"
	ByCgroup  By = "cgroup"
	ByMount   By = "mnt"
	ByPID     By = "pid"
	ByDescent By = "descent"
)

// Answer says whose process a process is.
type Answer struct {
	// In are indexes of the containers: none, or one; more where these are in the same
	// cgroups and namespaces, so that nothing tells them apart.
	In     []int
	By     By
	Cgroup string // the path of the process's cgroup that is the container's, or below it
	PID    bool   // it is in the container's PID namespace, or in one below
	Other  string // the ID of a container that is not among those asked about
	Hidden bool   // the caller may not look at its namespaces, and nothing else has told

	mnt nsops.ID // its mount namespace
}

// Is reports whether the process is that container's.
func (a Answer) Is(container int) bool { return slices.Contains(a.In, container) }

// told reports whether the rules before the last have decided.
func (a Answer) told() bool { return len(a.In) > 0 || a.Other != "" }

// Index finds the container of any process without asking each container. It is for one
// goroutine, and for one pass: it remembers whose the parents of processes are.
type Index struct {
	list    []Container
	scopes  []nsops.Scope
	errs    []error
	rules   [2]table // of containers; of references to processes
	lineage nsops.Lineage
	own     map[string]bool // IDs of containers in which dx itself is

	home      map[nsops.ID]bool   // the mount namespaces of dx and of the host
	strangers map[nsops.ID]string // mount namespaces of containers that are not among these → ID
	known     map[int]remembered
}

// identity is a process, and not its number alone.
type identity struct {
	pid   int
	start uint64
}

// table is the rules as maps.
type table struct {
	ids     map[string]bool
	inits   map[identity][]int
	cgroups map[string][]int // hierarchy:path
	pid     map[nsops.ID][]int
	mnt     map[nsops.ID][]int
}

// New reads the cgroups and namespaces of the containers' inits. Of one that has ended, or
// may not be looked at, nothing is known but that: see Err.
func New(list []Container) *Index {
	scopes, errs := make([]nsops.Scope, len(list)), make([]error, len(list))
	for i, c := range list {
		scopes[i], errs[i] = scopeOf(c)
	}
	x := index(list, scopes)
	x.errs, x.own, x.home = errs, ownIDs(), homes()
	return x
}

// index arranges what was read.
func index(list []Container, scopes []nsops.Scope) *Index {
	x := &Index{list: list, scopes: scopes, known: map[int]remembered{}, strangers: map[nsops.ID]string{}}
	for i := range x.rules {
		x.rules[i] = table{
			ids: map[string]bool{}, inits: map[identity][]int{},
			cgroups: map[string][]int{}, pid: map[nsops.ID][]int{}, mnt: map[nsops.ID][]int{},
		}
	}
	for i, c := range list {
		if c.ID == "" {
			x.rules[1].add(i, c, scopes[i])
		} else {
			x.rules[0].add(i, c, scopes[i])
		}
	}
	return x
}

// ownIDs are those of the containers in which dx itself is.
func ownIDs() map[string]bool {
	out := map[string]bool{}
	cgroups, err := cgroup.Own()
	if err != nil {
		return out
	}
	for id := range host.CgroupIDs(cgroups) {
		out[id] = true
	}
	return out
}

// homes are mount namespaces that are no container's.
func homes() map[nsops.ID]bool {
	out := map[nsops.ID]bool{{}: true}
	if self, err := proc.Self(); err == nil {
		defer self.Close()
		if id, err := nsops.Identify(self, nsops.Mnt); err == nil {
			out[id] = true
		}
	}
	if set, _, err := nsops.ReadHost(); err == nil {
		out[set.Own[nsops.Mnt]] = true
	}
	return out
}

// ID returns a container's ID.
func (x *Index) ID(container int) string { return x.list[container].ID }

// Scope returns what a container's processes have in common.
func (x *Index) Scope(container int) nsops.Scope { return x.scopes[container] }

// Err returns why a container could not be looked at: proc.ErrGone if it has ended.
func (x *Index) Err(container int) error { return x.errs[container] }

// InCgroup returns the containers in whose cgroup a path is, in whichever hierarchy, and
// that cgroup; of containers in each other, the innermost.
func (x *Index) InCgroup(path string) (containers []int, base string) {
	for i, s := range x.scopes {
		for _, at := range s.Cgroups {
			switch {
			case !nsops.Below(path, at) || len(at) < len(base):
			case at != base:
				containers, base = []int{i}, at
			case !slices.Contains(containers, i):
				containers = append(containers, i)
			}
		}
	}
	return containers, base
}

// scopeOf is what the rules 2 to 4 go by.
func scopeOf(c Container) (nsops.Scope, error) {
	cgroups, err := c.Init.Cgroups()
	if err != nil {
		return nsops.Scope{}, err
	}
	s, err := nsops.ScopeOf(c.Init, cgroups)
	if err != nil || c.ID == "" {
		return s, err
	}
	if bases := basesOf(c.ID, cgroups); len(bases) > 0 {
		// Where the init has left its container's cgroup, others may be.
		s.Cgroups = bases
	}
	st, err := c.Init.Status()
	if err == nil && !nsops.IsPIDNamespaceInit(st) {
		s.PID = nsops.ID{}
	}
	return s, err
}

// basesOf are the cgroups of a container whose init is in these.
func basesOf(id string, cgroups []proc.Cgroup) map[string]string {
	out := map[string]string{}
	for _, cg := range cgroups {
		if base, ok := host.CgroupBase(cg, id); ok {
			out[nsops.Hierarchy(cg)] = base
		}
	}
	return out
}

func (t *table) add(i int, c Container, s nsops.Scope) {
	if c.ID != "" {
		t.ids[c.ID] = true
	}
	who := identity{c.Init.PID, c.Init.StartTime}
	t.inits[who] = append(t.inits[who], i)
	for hierarchy, base := range s.Cgroups {
		key := hierarchy + ":" + base
		t.cgroups[key] = append(t.cgroups[key], i)
	}
	if !s.PID.IsZero() {
		t.pid[s.PID] = append(t.pid[s.PID], i)
	}
	if !s.Mnt.IsZero() {
		t.mnt[s.Mnt] = append(t.mnt[s.Mnt], i)
	}
}

func (t *table) empty() bool { return len(t.inits) == 0 }

// inCgroups is the second rule, for a process whose cgroups these are.
func (t *table) inCgroups(cgroups []proc.Cgroup) []int {
	if len(t.cgroups) == 0 {
		return nil
	}
	for _, cg := range cgroups {
		hierarchy := nsops.Hierarchy(cg) + ":"
		for at := cg.Path; at != ""; at = at[:max(strings.LastIndexByte(at, '/'), 0)] {
			if in := t.cgroups[hierarchy+at]; in != nil {
				return in
			}
		}
	}
	return nil
}
