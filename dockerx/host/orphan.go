package host

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/moby/sys/mountinfo"

	"dx/nsops/proc"
)

// Orphans finds the containers that run although their shim has died, so that List
// cannot see them: inits of PID namespaces whose cgroup holds a container's ID.
// known are those that List found. Whatever is nested in one of them is its own,
// and no orphan; one that shares the host's PID namespace is not found.
func Orphans(known []Found) ([]Found, error) {
	o := orphans{seen: map[string]bool{}}
	for i := range known {
		o.seen[known[i].ID] = true
	}
	var err error
	if o.trust, err = NewTrust(); err != nil {
		return nil, err
	}
	pids, err := proc.PIDs()
	if err != nil {
		return nil, err
	}
	here := fmt.Sprintf("pid:[%d]", o.trust.pidns.Inode)
	for _, pid := range pids {
		// One system call a process tells nearly all that cannot be one.
		if ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", pid)); err == nil && ns != here {
			o.look(pid)
		}
	}
	return o.found, nil
}

type orphans struct {
	trust Trust
	seen  map[string]bool // IDs
	found []Found
}

// look adds a process if it is a container's init. One that ends meanwhile, or
// may not be read, is none.
func (o *orphans) look(pid int) {
	p, err := proc.Open(pid)
	if err != nil {
		return
	}
	defer p.Close()
	st, err := p.Status()
	if err != nil || len(st.NSpid) != 2 || st.NSpid[1] != 1 {
		return
	}
	cgroups, err := p.Cgroups()
	if err != nil {
		return
	}
	id, ok := outermostID(cgroups)
	if !ok || id == o.trust.own || o.seen[id] {
		return
	}
	o.seen[id] = true
	f := Found{ID: id, PID: pid, Orphan: true}
	f.Docker, _ = DockerOf(p, id) // nil: not Docker's, or its files are gone
	o.found = append(o.found, f)
}

// outermostID is the ID of the container in which all others are nested.
func outermostID(cgroups []proc.Cgroup) (id string, ok bool) {
	for _, cg := range cgroups {
		for part := range strings.SplitSeq(cg.Path, "/") {
			if id := cgroupID(part); IsID(id) {
				return id, true
			}
		}
	}
	return "", false
}

// DockerOf reads Docker's files of a container from its init process alone, for
// one whose shim has died: the mounts of /etc/hostname and its like come from
// Docker's data root. os.ErrNotExist if they do not lead there.
func DockerOf(init *proc.Process, id string) (*Docker, error) {
	b, err := init.ReadFile("mountinfo")
	if err != nil {
		return nil, err
	}
	self, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	dir, err := containersDirIn(bytes.NewReader(b), bytes.NewReader(self))
	if err != nil {
		return nil, fmt.Errorf("/proc/%d/mountinfo: %w", init.PID, err)
	}
	// Opened in dx's own root: with the shim there is no other witness left.
	root, err := os.Open("/")
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := openDirIn(root, path.Join(dir, id))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	d, err := readDocker(f, path.Join(dir, id))
	if err == nil && d.ID != id {
		err = fmt.Errorf("%s holds the configuration of %s", d.Path, d.ID)
	}
	return d, err
}

// containersDirIn finds <data-root>/containers: init's mountinfo gives the
// folder within its file system, ours where that file system is mounted here.
func containersDirIn(init, self io.Reader) (string, error) {
	theirs, err := mountinfo.GetMountsFromReader(init, notDockerFile)
	if err != nil {
		return "", err
	}
	ours, err := mountinfo.GetMountsFromReader(self, nil)
	if err != nil {
		return "", err
	}
	for _, m := range theirs {
		if dir, ok := mountedHere(m, ours); ok {
			return dir, nil
		}
	}
	return "", fmt.Errorf("no mount leads to Docker's files: %w", os.ErrNotExist)
}

// notDockerFile skips mounts that are not of <data-root>/containers.
func notDockerFile(m *mountinfo.Info) (skip, stop bool) {
	_, ok := containersDirOf(m.Root)
	return !ok, false
}

func mountedHere(m *mountinfo.Info, ours []*mountinfo.Info) (string, bool) {
	dir, _ := containersDirOf(m.Root)
	for _, o := range ours {
		if o.Major != m.Major || o.Minor != m.Minor {
			continue
		}
		if rest, ok := strings.CutPrefix(dir+"/", strings.TrimSuffix(o.Root, "/")+"/"); ok {
			return path.Join(o.Mountpoint, rest), true
		}
	}
	return "", false
}
