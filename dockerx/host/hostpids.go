package host

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"dx/nsops"
	"dx/nsops/mounts"
	"dx/nsops/proc"
)

// WithHostPIDs returns a process of a container that is in dx's PID namespace, and so
// sees what dx starts there; zero if there is none. A container in which dx itself runs
// does not count. The ID is empty where the container's cgroup bears none.
func WithHostPIDs() (pid int, id string, err error) {
	trust, err := NewTrust()
	if err != nil {
		return 0, "", err
	}
	pids, err := proc.PIDs()
	if err != nil {
		return 0, "", err
	}
	here := fmt.Sprintf("pid:[%d]", trust.pidns.Inode)
	for _, pid := range pids {
		if ns, err := proc.ReadlinkOf(pid, "ns/pid"); err != nil || ns != here {
			continue // gone, or not ours to see
		}
		id, contained, err := trust.containerOf(pid)
		switch {
		case errors.Is(err, proc.ErrGone):
		case err != nil:
			return 0, "", err
		case contained:
			return pid, id, nil
		}
	}
	return 0, "", nil
}

// containerOf reports whether a process is in a container other than dx's, and returns
// the ID in its cgroups; empty if there is none.
func (t Trust) containerOf(pid int) (id string, contained bool, err error) {
	p, err := proc.Open(pid)
	if err != nil {
		return "", false, err
	}
	defer p.Close()
	cgroups, err := p.Cgroups()
	if err != nil {
		return "", false, err
	}
	if id, ok := CgroupID(cgroups); ok {
		return id, id != t.here().id, nil
	}
	contained, err = t.looksContained(p)
	return "", contained, err
}

// looksContained is for a process whose cgroups bear no ID, as those of runc alone, ctr
// and LXC do not. It is in a container if it is in another mount namespace, with a root of
// its own, and can never be root of the host. A service of systemd's that is confined has
// the host's root, and one that has all rights needs no dx. In another user namespace it
// has no power over anything here.
func (t Trust) looksContained(p *proc.Process) (bool, error) {
	mnt, err := nsops.Identify(p, nsops.Mnt)
	if err != nil || mnt == t.mntns {
		return false, err
	}
	user, err := nsops.Identify(p, nsops.User)
	if err != nil || user != t.userns {
		return false, err
	}
	st, err := p.Status()
	if err != nil || st.CapBnd&(1<<unix.CAP_SYS_ADMIN|1<<unix.CAP_SYS_PTRACE) != 0 {
		return false, err
	}
	theirs, _, err := mounts.Read(p)
	if err != nil {
		return false, err
	}
	ours, err := mounts.Own()
	if err != nil {
		return false, err
	}
	its, own := mounts.At(theirs, "/"), mounts.At(ours, "/")
	same := its != nil && own != nil && its.Major == own.Major && its.Minor == own.Minor && its.Root == own.Root
	return !same, nil
}
