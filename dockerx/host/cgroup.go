package host

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/moby/sys/mountinfo"

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

func cgroupID(part string) string {
	part = strings.TrimSuffix(part, ".scope")
	if IsID(part) {
		return part
	}
	return part[strings.LastIndexByte(part, '-')+1:]
}

// CgroupID returns the innermost 64-digit container ID in a process's cgroups.
func CgroupID(cgroups []proc.Cgroup) (id string, ok bool) {
	for _, cg := range cgroups {
		for _, part := range slices.Backward(strings.Split(cg.Path, "/")) {
			if id := cgroupID(part); IsID(id) {
				return id, true
			}
		}
	}
	return "", false
}

// CgroupDir is a cgroup directory under the mounts that dx sees.
type CgroupDir struct {
	Controller string // v1: "memory", "name=systemd"…; empty: the v2 hierarchy
	Path       string
}

// CgroupDirs returns the directories of the cgroups in which a process is now.
// Hierarchies that are not mounted here are left out.
func CgroupDirs(p *proc.Process) ([]CgroupDir, error) {
	cgroups, err := p.Cgroups()
	if err != nil {
		return nil, err
	}
	mounts, err := ownCgroupMounts()
	if err != nil {
		return nil, err
	}
	return cgroupDirs(cgroups, mounts), nil
}

// ownCgroupMounts reads them once: each container adds mounts to the host's table,
// so that reading it for each would take time with the square of their number.
// Cgroups themselves are mounted when the machine starts.
var ownCgroupMounts = sync.OnceValues(func() ([]*mountinfo.Info, error) {
	self, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	mounts, err := parseCgroupMounts(bytes.NewReader(self))
	if err != nil {
		return nil, fmt.Errorf("/proc/self/mountinfo: %w", err)
	}
	return mounts, nil
})

// parseCgroupMounts reads the cgroup mounts of a /proc/PID/mountinfo.
func parseCgroupMounts(r io.Reader) ([]*mountinfo.Info, error) {
	return mountinfo.GetMountsFromReader(r, mountinfo.FSTypeFilter("cgroup", "cgroup2"))
}

func cgroupDirs(cgroups []proc.Cgroup, mounts []*mountinfo.Info) []CgroupDir {
	var out []CgroupDir
	for _, cg := range cgroups {
		names := cg.Controllers
		if len(names) == 0 {
			names = []string{""}
		}
		for _, name := range names {
			if dir, ok := cgroupDir(cg.Path, name, mounts); ok {
				out = append(out, CgroupDir{Controller: name, Path: dir})
			}
		}
	}
	return out
}

func cgroupDir(cgroup, controller string, mounts []*mountinfo.Info) (string, bool) {
	for _, m := range mounts {
		if !holds(m, controller) {
			continue
		}
		rest, ok := strings.CutPrefix(cgroup+"/", strings.TrimSuffix(m.Root, "/")+"/")
		if ok && !strings.HasPrefix(rest, "../") {
			return path.Join(m.Mountpoint, rest), true
		}
	}
	return "", false
}

// holds says whether a mount is the hierarchy of a controller; empty: of v2.
func holds(m *mountinfo.Info, controller string) bool {
	if controller == "" {
		return m.FSType == "cgroup2"
	}
	return m.FSType == "cgroup" && slices.Contains(strings.Split(m.VFSOptions, ","), controller)
}

// Frozen says whether a process's cgroup is frozen, as docker pause freezes it:
// freezer.state on v1, cgroup.events on v2. ok is false where no freezer tells.
func Frozen(p *proc.Process) (frozen, ok bool, err error) {
	dirs, err := CgroupDirs(p)
	if err != nil {
		return false, false, err
	}
	for _, d := range dirs {
		f, known := readFrozen(d)
		frozen, ok = frozen || f, ok || known
	}
	return frozen, ok, nil
}

func readFrozen(d CgroupDir) (frozen, ok bool) {
	switch d.Controller {
	case "freezer":
		b, err := os.ReadFile(path.Join(d.Path, "freezer.state"))
		state := strings.TrimSpace(string(b))
		return state == "FROZEN" || state == "FREEZING", err == nil
	case "":
		b, err := os.ReadFile(path.Join(d.Path, "cgroup.events"))
		if err != nil || !bytes.Contains(b, []byte("frozen ")) {
			return false, false // the root cgroup, or a kernel before 5.2
		}
		return slices.Contains(strings.Split(string(b), "\n"), "frozen 1"), true
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
