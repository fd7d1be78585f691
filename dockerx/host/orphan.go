package host

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"dx/dockerx/docker"
	"dx/nsops"
	"dx/nsops/mounts"
	"dx/nsops/proc"
)

// AddOrphans adds the containers that run although their shim has died, so that List
// cannot see them: inits of PID namespaces whose cgroup holds a container's ID, and
// proves it (Trust.Cgroup).
// Whatever is nested in one that List found is its own, and no orphan; one that shares
// the host's PID namespace is not found.
func (l *Listing) AddOrphans() {
	o := orphans{trust: l.trust, unborn: l.unborn, seen: map[string][]*Found{}, done: map[string]bool{}}
	o.trust.served = map[string]bool{}
	inits := map[int]bool{}
	for _, f := range l.Found {
		o.seen[f.ID] = append(o.seen[f.ID], f)
		o.trust.served[f.ID] = true
		inits[f.PID] = true
	}
	// Whoever is in the PID namespace of a known init is no other container's.
	for _, p := range l.foreign {
		if inits[p.pid] {
			o.done[p.pidns] = true
		}
	}
	for _, p := range l.foreign {
		if !o.done[p.pidns] {
			o.look(p)
		}
	}
	l.Found = append(l.Found, o.found...)
	l.doubts = append(l.doubts, o.doubts[:min(len(o.doubts), maxDoubts)]...)
}

type orphans struct {
	trust  Trust
	unborn map[string]bool     // IDs of those that a shim which lives is about to start
	seen   map[string][]*Found // by their IDs
	done   map[string]bool     // PID namespaces of which all is known
	found  []*Found

	doubts []Doubt
}

// look adds a process if it is a container's init. One that ends meanwhile, or
// may not be read, is none.
func (o *orphans) look(at foreigner) {
	p, err := proc.Open(at.pid)
	if err != nil {
		return
	}
	defer p.Close()
	st, err := p.Status()
	if err != nil {
		return
	}
	if len(st.NSpid) != 2 {
		o.done[at.pidns] = true // nested in another, as are all in it
		return
	}
	if st.NSpid[1] != 1 {
		return
	}
	o.done[at.pidns] = true
	cgroups, err := p.Cgroups()
	if err != nil {
		return
	}
	id, ok := outermostID(cgroups)
	if !ok || id == o.trust.here().id || o.unborn[id] {
		return
	}
	if err := o.trust.Cgroup(p, id); err != nil {
		o.doubts = append(o.doubts, Doubt{ID: id, Err: err})
		return
	}
	f := &Found{ID: id, PID: at.pid, Orphan: true, read: true, dir: handle{fd: none}}
	f.docker, f.root, _ = dockerOf(p, id) // nil: not Docker's, or its files are gone
	if o.isOf(f) || f.docker == nil && isRuntime(p) {
		return
	}
	o.seen[id] = append(o.seen[id], f)
	o.found = append(o.found, f)
}

// isOf reports whether a process that was found by its cgroup is one of a container that
// is known already: with the host's PIDs, it may have made a PID namespace. Only another
// engine has another container of that ID.
func (o *orphans) isOf(f *Found) bool {
	return slices.ContainsFunc(o.seen[f.ID], func(known *Found) bool {
		return f.docker == nil || !known.Identified() || known.Engine() == f.Engine()
	})
}

// Ended reports whether Docker has written down that a container which was found by
// its cgroup alone does not run, or that another process is its init.
func (f *Found) Ended() bool {
	return f.Orphan && f.docker != nil && (!f.docker.State.Running || f.docker.State.Pid != f.PID)
}

// OrphanOf returns what Docker has written down of the container that a process is in,
// where no shim is left to tell: its cgroup proves the ID, its mounts lead to Docker's
// files, and these say that the container runs and who is its init, in whose PID
// namespace it is.
func OrphanOf(p *proc.Process) (*docker.Container, error) {
	cgroups, err := p.Cgroups()
	if err != nil {
		return nil, err
	}
	id, ok := outermostID(cgroups)
	if !ok {
		return nil, ErrNoBundle
	}
	trust, err := NewTrust()
	if err != nil {
		return nil, err
	}
	if err := trust.Cgroup(p, id); err != nil {
		return nil, err
	}
	d, err := DockerOf(p, id)
	if err != nil {
		return nil, err
	}
	if !d.State.Running || !sharesPIDs(p, d.State.Pid) {
		return nil, &DisbeliefError{PID: p.PID, Claim: "is in the cgroup of " + short(id), Reason: "Docker has written down another init of it"}
	}
	return d, nil
}

func sharesPIDs(p *proc.Process, pid int) bool {
	own, err := p.Readlink("ns/pid")
	if err != nil {
		return false
	}
	its, err := proc.ReadlinkOf(pid, "ns/pid")
	return err == nil && its == own
}

// DockerOf reads Docker's files of a container from its init process alone, for
// one whose shim has died: the mounts of /etc/hostname and its like come from
// Docker's data root. os.ErrNotExist if they do not lead there. That the process is
// the container's is for the caller to prove.
func DockerOf(init *proc.Process, id string) (*docker.Container, error) {
	d, _, err := dockerOf(init, id)
	return d, err
}

// dockerOf returns as well which directory the container's lies in.
func dockerOf(init *proc.Process, id string) (*docker.Container, nsops.ID, error) {
	var nowhere nsops.ID
	theirs, _, err := mounts.Read(init)
	if err != nil {
		return nil, nowhere, err
	}
	ours, err := mounts.Own()
	if err != nil {
		return nil, nowhere, err
	}
	dir, err := containersDirIn(theirs, ours)
	if err != nil {
		return nil, nowhere, fmt.Errorf("/proc/%d/mountinfo: %w", init.PID, err)
	}
	// Opened in dx's own root: with the shim there is no other witness left.
	containers, err := openWithoutLinks(dir)
	if err != nil {
		return nil, nowhere, err
	}
	defer containers.close()
	// Its mounts are its own: they may lead to whatever somebody likes to call Docker's.
	var st unix.Stat_t
	if err := unix.Fstat(containers.fd, &st); err != nil || !trusted(&st) {
		return nil, nowhere, fmt.Errorf("%s is not root's alone: %w", dir, os.ErrNotExist)
	}
	d, err := readDocker(containers, id)
	return d, containers.at(), err
}

// containersDirIn finds <data-root>/containers: init's mounts have the directory within
// its file system, ours where that file system is mounted here. Docker's data root is on
// no FUSE: that of a user may never answer.
func containersDirIn(theirs, ours []*mounts.Info) (string, error) {
	host := mounts.NewHost(ours)
	for _, m := range theirs {
		within, ok := containersDirOf(m.Root)
		if !ok || strings.HasPrefix(m.FSType, "fuse") {
			continue
		}
		if dir, ok := host.Path(m, within); ok {
			return dir, nil
		}
	}
	return "", fmt.Errorf("no mount leads to Docker's files: %w", os.ErrNotExist)
}
