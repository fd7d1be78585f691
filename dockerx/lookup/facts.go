package lookup

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"

	"dx/dockerx"
	"dx/dockerx/membership"
	"dx/nsops"
	"dx/nsops/callerfile"
	"dx/nsops/network"
	"dx/nsops/proc"
)

// facts is what has been read of containers, by their place in Finder.containers.
type facts struct {
	scopes   map[*dockerx.Container]nsops.Scope
	sets     map[*dockerx.Container]nsops.Set
	networks map[nsops.ID]*network.Network
	mounts   map[*dockerx.Container][]*mountinfo.Info
}

// scope is a container's; one that has ended, or may not be looked at, has an empty
// one.
func (t *Finder) scope(c *dockerx.Container) (nsops.Scope, error) {
	if s, ok := t.facts.scopes[c]; ok {
		return s, nil
	}
	s, err := membership.ScopeOf(c)
	if err := t.cannot(c, "namespaces", err); err != nil {
		return s, err
	}
	if t.facts.scopes == nil {
		t.facts.scopes = map[*dockerx.Container]nsops.Scope{}
	}
	t.facts.scopes[c] = s
	return s, nil
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

// maxMounts bounds what is read of a container's mountinfo: it may mount what it
// likes, if it has CAP_SYS_ADMIN.
const maxMounts = 4 << 20

func (t *Finder) mountsOf(c *dockerx.Container) ([]*mountinfo.Info, error) {
	if m, ok := t.facts.mounts[c]; ok {
		return m, nil
	}
	b, cut, err := c.Process.ReadPrefix("mountinfo", maxMounts)
	if err := t.cannot(c, "mounts", err); err != nil {
		return nil, err
	}
	if cut { // in the middle of a line
		b = b[:bytes.LastIndexByte(b, '\n')+1]
	}
	m, err := mountinfo.GetMountsFromReader(bytes.NewReader(b), nil)
	if err != nil {
		return nil, fmt.Errorf("%s's mounts: %w", c.Name, err)
	}
	if t.facts.mounts == nil {
		t.facts.mounts = map[*dockerx.Container][]*mountinfo.Info{}
	}
	t.facts.mounts[c] = m
	return m, nil
}

// baseOf is the cgroup of a scope that a path is, or is below.
func baseOf(s nsops.Scope, cgroup string) (string, bool) {
	for _, h := range slices.Sorted(maps.Keys(s.Cgroups)) {
		if nsops.Below(cgroup, s.Cgroups[h]) {
			return s.Cgroups[h], true
		}
	}
	return "", false
}

// ownMounts are those of dx's mount namespace.
func ownMounts() ([]*mountinfo.Info, error) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	return mountinfo.GetMountsFromReader(bytes.NewReader(b), nil)
}

// mountOf is the mount that a path of dx's mount namespace is on; the last of several
// on one point lies on top. rest is the path within its file system.
func mountOf(mounts []*mountinfo.Info, name string) (m *mountinfo.Info, within string) {
	for _, o := range mounts {
		if nsops.Below(name, o.Mountpoint) && (m == nil || len(o.Mountpoint) >= len(m.Mountpoint)) {
			m = o
		}
	}
	if m == nil {
		return nil, ""
	}
	return m, path.Join(m.Root, strings.TrimPrefix(name, m.Mountpoint))
}

// cgroupPath makes a path as /proc/PID/cgroup has it of one below /sys/fs/cgroup.
func cgroupPath(name string) string {
	name = path.Clean("/" + name)
	mounts, err := ownMounts()
	if err != nil {
		return name
	}
	if m, within := mountOf(mounts, name); m != nil && isCgroup(m) {
		return within
	}
	return name
}

func isCgroup(m *mountinfo.Info) bool { return m.FSType == "cgroup" || m.FSType == "cgroup2" }

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
