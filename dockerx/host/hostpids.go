package host

import (
	"errors"
	"fmt"

	"dx/nsops/proc"
)

// WithHostPIDs returns a process of a container that is in dx's PID namespace, and so
// sees what dx starts there; zero if there is none. A container in which dx itself runs
// does not count.
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
		id, err := containerOf(pid)
		switch {
		case errors.Is(err, proc.ErrGone):
		case err != nil:
			return 0, "", err
		case id != "" && id != trust.own:
			return pid, id, nil
		}
	}
	return 0, "", nil
}

// containerOf returns the ID in a process's cgroups; empty if there is none.
func containerOf(pid int) (string, error) {
	p, err := proc.OpenReading(pid)
	if err != nil {
		return "", err
	}
	defer p.Close()
	cgroups, err := p.Cgroups()
	id, _ := CgroupID(cgroups)
	return id, err
}
