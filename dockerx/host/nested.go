package host

import (
	"errors"
	"path"
	"strings"

	"dx/dockerx/docker"
	"dx/nsops"
	"dx/nsops/launch"
	"dx/nsops/mounts"
	"dx/nsops/proc"
	"dx/nsops/rootfs"
)

// Containers in a container (Docker in Docker). That a process is in one is the kernel's word:
// it is the first of a PID namespace whose parent is the outer container's. What it is called
// is the outer container's, as the engine in there wrote it: below the outer's root, in the
// directory that the mounts of the inner one lead to. That decides between processes of the
// outer container and nothing else; what a command has there is bounded by the process.

// Inner is a container in a container.
type Inner struct {
	Process *proc.Process // its init, held open
	ID      string        // 64 digits
	Docker  *docker.Container
}

// maxInner bounds how many are looked at.
const maxInner = 1000

// ErrSharedPIDs says that a container is in dx's own PID namespace, so that nothing tells
// which containers are in it.
var ErrSharedPIDs = errors.New("it has the host's PIDs, and nothing tells its containers from others")

// Nested returns the containers that run in a container, by its init and its root. They are
// the caller's to close.
func Nested(outer *proc.Process, root *rootfs.Root) ([]Inner, error) {
	trust, err := NewTrust()
	if err != nil {
		return nil, err
	}
	own, err := nsops.Identify(outer, nsops.PID)
	if err != nil {
		return nil, err
	}
	if own == trust.pidns {
		return nil, ErrSharedPIDs
	}
	theirs, _, err := mounts.Read(outer)
	if err != nil {
		return nil, err
	}
	pids, err := proc.PIDs()
	if err != nil {
		return nil, err
	}
	n := nest{pidns: own, seen: map[string]bool{}, mounts: mounts.NewHost(theirs), root: root}
	for _, pid := range pids {
		if len(n.found) < maxInner {
			n.look(pid)
		}
	}
	return n.found, outer.Alive()
}

type nest struct {
	pidns  nsops.ID
	seen   map[string]bool // PID namespaces, as their links read
	mounts mounts.Host     // of the outer container
	root   *rootfs.Root
	found  []Inner
	silent bool // a file system has not answered
}

// look adds a process if it is the init of a container in the outer one.
func (n *nest) look(pid int) {
	ns, err := proc.ReadlinkOf(pid, "ns/pid")
	if err != nil || n.seen[ns] {
		return
	}
	p, err := proc.Open(pid)
	if err != nil {
		return
	}
	st, err := p.Status()
	if err != nil || len(st.NSpid) < 2 || st.NSpid[len(st.NSpid)-1] != 1 {
		p.Close()
		return
	}
	n.seen[ns] = true
	around, err := nsops.Ancestors(p, nsops.PID)
	if err != nil || len(around) < 2 || around[1] != n.pidns {
		p.Close()
		return
	}
	in := Inner{Process: p}
	n.identify(&in)
	if in.ID == "" {
		p.Close()
		return
	}
	n.found = append(n.found, in)
}

// identify finds the ID by the mounts that dockerd makes, else by the cgroup.
func (n *nest) identify(in *Inner) {
	list, _, err := mounts.Read(in.Process)
	if err != nil {
		return
	}
	for _, m := range list {
		within, ok := containersDirOf(m.Root)
		if !ok || strings.HasPrefix(m.FSType, "fuse") {
			continue
		}
		in.ID, _, _ = strings.Cut(m.Root[len(within)+1:], "/")
		if dir, ok := n.mounts.Path(m, within); ok && in.Docker == nil {
			in.Docker = n.read(path.Join(dir, in.ID), in.ID)
		}
	}
	if in.ID == "" {
		if cgroups, err := in.Process.Cgroups(); err == nil {
			in.ID, _ = CgroupID(cgroups)
		}
	}
}

// read reads what the engine in the container has written down; nil: it cannot be read.
func (n *nest) read(dir, id string) *docker.Container {
	if n.silent {
		return nil
	}
	data, err := n.root.ReadFile(dir + "/config.v2.json")
	if err != nil {
		n.silent = errors.Is(err, launch.ErrSilent)
		return nil
	}
	d, err := docker.Parse(data)
	if err != nil || d.ID != id || !docker.IsName(d.Name) {
		return nil
	}
	d.Origin = dir + "/config.v2.json"
	if data, err = n.root.ReadFile(dir + "/hostconfig.json"); err == nil {
		d.HostConfigOrigin = dir + "/hostconfig.json"
		if d.HostConfig, err = docker.ParseHostConfig(data); err != nil {
			return nil
		}
	}
	return d
}
