package host

import (
	"bytes"
	"os"
	"path"
	"slices"
	"strings"

	"dx/dockerx/docker"
	"dx/nsops/cgroup"
	"dx/nsops/proc"
)

// InCgroup says whether one of a process's cgroups belongs to the container with
// that ID: a component of the path is the ID, "docker-<id>.scope" (systemd), or
// "cri-containerd-<id>.scope". Deeper cgroups count: a container may divide its
// own. The paths may begin with "/.." where dx is in a cgroup namespace.
func InCgroup(cgroups []proc.Cgroup, id string) bool {
	for _, cg := range cgroups {
		for part := range strings.SplitSeq(cg.Path, "/") {
			if cgroupID(part) == id {
				return true
			}
		}
	}
	return false
}

// IsCgroupOf reports whether a component of a cgroup's path is a container's: see
// InCgroup.
func IsCgroupOf(part, id string) bool { return id != "" && cgroupID(part) == id }

func cgroupID(part string) string {
	part = strings.TrimSuffix(part, ".scope")
	if docker.IsID(part) {
		return part
	}
	return part[strings.LastIndexByte(part, '-')+1:]
}

// CgroupID returns the innermost 64-digit container ID in a process's cgroups.
func CgroupID(cgroups []proc.Cgroup) (id string, ok bool) {
	for _, cg := range cgroups {
		for _, part := range slices.Backward(strings.Split(cg.Path, "/")) {
			if id := cgroupID(part); docker.IsID(id) {
				return id, true
			}
		}
	}
	return "", false
}

// Frozen says whether a process's cgroup is frozen, as docker pause freezes it:
// freezer.state on v1, cgroup.events on v2. ok is false where no freezer tells.
func Frozen(p *proc.Process) (frozen, ok bool, err error) {
	cgroups, err := p.Cgroups()
	if err != nil {
		return false, false, err
	}
	return AreFrozen(cgroups)
}

// AreFrozen is Frozen of the cgroups that a process has.
func AreFrozen(cgroups []proc.Cgroup) (frozen, ok bool, err error) {
	dirs, err := cgroup.DirsOf(cgroups, "freezer", "")
	if err != nil {
		return false, false, err
	}
	for _, d := range dirs {
		f, known := readFrozen(d)
		frozen, ok = frozen || f, ok || known
	}
	return frozen, ok, nil
}

func readFrozen(d cgroup.Dir) (frozen, ok bool) {
	switch d.Controller {
	case "freezer":
		state, ok := d.ReadFile("freezer.state")
		return state == "FROZEN" || state == "FREEZING", ok
	case "":
		events, ok := d.ReadFile("cgroup.events")
		if !ok || !strings.Contains(events, "frozen ") {
			return false, false // the root cgroup, or a kernel before 5.2
		}
		return slices.Contains(strings.Split(events, "\n"), "frozen 1"), true
	}
	return false, false
}

// HasChildren says whether a v2 cgroup passes controllers on: then no process
// may live in it (cgroups(7), "no internal processes") and joining it fails
// with EBUSY.
func HasChildren(dir string) bool {
	b, err := os.ReadFile(path.Join(dir, "cgroup.subtree_control"))
	return err == nil && len(bytes.TrimSpace(b)) > 0
}

// Exists says whether a cgroup directory is there.
func Exists(dir string) bool {
	_, err := os.Stat(path.Join(dir, "cgroup.procs"))
	return err == nil
}
