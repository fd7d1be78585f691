package lookup

import (
	"path"

	"dx/dockerx"
	"dx/dockerx/membership"
	"dx/nsops"
	"dx/nsops/callerfile"
	"dx/nsops/mounts"
	"dx/nsops/network"
	"dx/nsops/proc"
)

// facts is what has been read of containers, by their place in Finder.containers.
type facts struct {
	index    *membership.Index
	sets     map[*dockerx.Container]nsops.Set
	networks map[nsops.ID]*network.Network
	mounts   map[*dockerx.Container][]*mounts.Info
}

// index is of all containers; one that has ended, or may not be looked at, has nothing in
// it.
func (t *Finder) index() (*membership.Index, error) {
	if t.facts.index != nil {
		return t.facts.index, nil
	}
	list := make([]membership.Container, len(t.containers))
	for i, c := range t.containers {
		list[i] = membership.Container{ID: c.ID, Init: c.Process}
	}
	x := membership.New(list)
	for i, c := range t.containers {
		if err := t.cannot(c, "namespaces", x.Err(i)); err != nil {
			return nil, err
		}
	}
	t.facts.index = x
	return x, nil
}

// these are containers by their indexes.
func (t *Finder) these(indexes []int) []*dockerx.Container {
	out := make([]*dockerx.Container, len(indexes))
	for i, at := range indexes {
		out[i] = t.containers[at]
	}
	return out
}

func (t *Finder) set(c *dockerx.Container) (nsops.Set, error) {
	if s, ok := t.facts.sets[c]; ok {
		return s, nil
	}
	s, err := nsops.Read(c.Process)
	if err := t.cannot(c, "namespaces", err); err != nil {
		return s, err
	}
	if t.facts.sets == nil {
		t.facts.sets = map[*dockerx.Container]nsops.Set{}
	}
	t.facts.sets[c] = s
	return s, nil
}

// network reads the network of a container's namespace; each namespace once. ok is
// false where it cannot be had.
func (t *Finder) network(c *dockerx.Container) (n *network.Network, ns nsops.ID, ok bool, err error) {
	set, err := t.set(c)
	ns = set.Own[nsops.Net]
	if err != nil || ns.IsZero() {
		return n, ns, false, err
	}
	if n, ok := t.facts.networks[ns]; ok {
		return n, ns, true, nil
	}
	n, err = network.ReadInterfaces(c.Process)
	if err != nil {
		return n, ns, false, t.cannot(c, "network", err)
	}
	if t.facts.networks == nil {
		t.facts.networks = map[nsops.ID]*network.Network{}
	}
	t.facts.networks[ns] = n
	return n, ns, true, nil
}

// home is dx's own network: where the host's interfaces are.
type home struct {
	*network.Network
	ns nsops.ID
}

func readHome() (home, error) {
	self, err := proc.Self()
	if err != nil {
		return home{}, err
	}
	defer self.Close()
	set, err := nsops.Read(self)
	if err != nil {
		return home{}, err
	}
	n, err := network.ReadInterfaces(self)
	return home{Network: n, ns: set.Own[nsops.Net]}, err
}

func (t *Finder) mountsOf(c *dockerx.Container) ([]*mounts.Info, error) {
	if m, ok := t.facts.mounts[c]; ok {
		return m, nil
	}
	m, _, err := mounts.Read(c.Process)
	if err := t.cannot(c, "mounts", err); err != nil {
		return nil, err
	}
	if t.facts.mounts == nil {
		t.facts.mounts = map[*dockerx.Container][]*mounts.Info{}
	}
	t.facts.mounts[c] = m
	return m, nil
}

// cgroupPath makes a path as /proc/PID/cgroup has it of one below /sys/fs/cgroup.
func cgroupPath(name string) string {
	name = path.Clean("/" + name)
	own, err := mounts.Own()
	if err != nil {
		return name
	}
	if m, within := mounts.On(own, name); m != nil && isCgroup(m) {
		return within
	}
	return name
}

func isCgroup(m *mounts.Info) bool { return m.FSType == "cgroup" || m.FSType == "cgroup2" }

// named is a path as the user means it. What is not there, or does not answer, has no
// more than its text, and that alone may tell.
type named struct {
	names []string // the second is where its symbolic links lead, if that is elsewhere
	info  callerfile.Info
	err   error // why it could not be looked at
}

func (t *Finder) lookAt(name string) (named, error) {
	name, err := callerfile.Absolute(name)
	if err != nil {
		return named{}, err
	}
	name = path.Clean(name)
	n := named{names: []string{name}}
	n.info, n.err = callerfile.Look(&t.deputy, name, true)
	if real := n.info.Path; n.err == nil && real != name && path.IsAbs(real) {
		n.names = append(n.names, real)
	}
	return n, nil
}
