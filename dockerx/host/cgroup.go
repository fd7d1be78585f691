package host

import (
	"bytes"
	"os"
	"path"
	"slices"
	"strings"

	"dx/dockerx/docker"
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
