// Package cgroup finds the cgroups of a process in the hierarchies that are mounted
// here, v1 or v2, and reads the limits, the usage and the pressure in them. Joining
// one belongs to launch; what a container's cgroup ought to say, to whoever made it.
package cgroup

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
	"golang.org/x/sys/unix"

	"dx/nsops/proc"
)

// Dir is a cgroup directory under the mounts that dx sees.
type Dir struct {
	Controller string // v1: "memory", "name=systemd"…; empty: the v2 hierarchy
	Path       string
}

// Dirs returns the directories of the cgroups in which a process is now. Hierarchies
// that are not mounted here are left out.
func Dirs(p *proc.Process) ([]Dir, error) {
	cgroups, err := p.Cgroups()
	if err != nil {
		return nil, err
	}
	return DirsOf(cgroups)
}

// DirsOf returns the directories of cgroups: of all hierarchies, or of those of some
// controllers.
func DirsOf(cgroups []proc.Cgroup, controllers ...string) ([]Dir, error) {
	located, err := locateHere(cgroups, controllers...)
	var out []Dir
	for _, l := range located {
		out = append(out, l.Dir)
	}
	return out, err
}

// located is a directory and where its hierarchy is mounted.
type located struct {
	Dir
	top string
}

func locateHere(cgroups []proc.Cgroup, controllers ...string) ([]located, error) {
	mounts, err := here.of(cgroups)
	if err != nil {
		return nil, err
	}
	return locateIn(cgroups, mounts, controllers...), nil
}

// Own returns the cgroups in which dx was when they were first asked for.
func Own() ([]proc.Cgroup, error) { return own() }

var own = sync.OnceValues(func() ([]proc.Cgroup, error) {
	p, err := proc.Self()
	if err != nil {
		return nil, err
	}
	defer p.Close()
	return p.Cgroups()
})

// table are the cgroup mounts of dx's own mount namespace. They are read once, and no
// further than they go: each container adds mounts to the host's table. Cgroups
// themselves are mounted when the machine starts.
type table struct {
	mu     sync.Mutex
	read   []string // the hierarchies that were looked for, by their first controllers
	mounts []*mountinfo.Info
}

var here table

// of returns the mounts of the hierarchies that some cgroups are of, at least.
func (t *table) of(cgroups []proc.Cgroup) ([]*mountinfo.Info, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	missing := slices.Clone(t.read)
	for _, name := range hierarchies(cgroups) {
		if !slices.Contains(missing, name) {
			missing = append(missing, name)
		}
	}
	if len(missing) == len(t.read) {
		return t.mounts, nil
	}
	p, err := proc.Self()
	if err != nil {
		return nil, err
	}
	defer p.Close()
	f, err := p.OpenFile("mountinfo", unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	mounts, err := parseMounts(f, missing)
	if err != nil {
		return nil, fmt.Errorf("/proc/self/mountinfo: %w", err)
	}
	t.read, t.mounts = missing, mounts
	return mounts, nil
}

// parseMounts reads the cgroup mounts of a /proc/PID/mountinfo, until each hierarchy
// is mounted whole: what comes after that is the same once more. A hierarchy is known by
// its first controller.
func parseMounts(r io.Reader, hierarchies []string) ([]*mountinfo.Info, error) {
	missing := slices.Clone(hierarchies)
	return mountinfo.GetMountsFromReader(r, func(m *mountinfo.Info) (skip, stop bool) {
		if m.FSType != "cgroup" && m.FSType != "cgroup2" {
			return true, false
		}
		if m.Root == "/" {
			missing = slices.DeleteFunc(missing, func(name string) bool { return holds(m, name) })
		}
		return false, len(missing) == 0
	})
}

func hierarchies(cgroups []proc.Cgroup) (names []string) {
	for _, cg := range cgroups {
		names = append(names, first(cg.Controllers))
	}
	return names
}

// first is the controller by which a hierarchy is known; empty: v2.
func first(controllers []string) string {
	if len(controllers) == 0 {
		return ""
	}
	return controllers[0]
}

func locateIn(cgroups []proc.Cgroup, mounts []*mountinfo.Info, controllers ...string) []located {
	var out []located
	for _, cg := range cgroups {
		names := cg.Controllers
		if len(names) == 0 {
			names = []string{""}
		}
		for _, name := range names {
			if len(controllers) > 0 && !slices.Contains(controllers, name) {
				continue
			}
			if dir, top, ok := locateOne(cg.Path, name, mounts); ok {
				out = append(out, located{Dir: Dir{Controller: name, Path: dir}, top: top})
			}
		}
	}
	return out
}

func locateOne(cgroup, controller string, mounts []*mountinfo.Info) (dir, top string, ok bool) {
	for _, m := range mounts {
		if !holds(m, controller) {
			continue
		}
		rest, ok := strings.CutPrefix(cgroup+"/", strings.TrimSuffix(m.Root, "/")+"/")
		if ok && !strings.HasPrefix(rest, "../") {
			return path.Join(m.Mountpoint, rest), m.Mountpoint, true
		}
	}
	return "", "", false
}

// holds reports whether a mount is the hierarchy of a controller; empty: of v2.
func holds(m *mountinfo.Info, controller string) bool {
	if controller == "" {
		return m.FSType == "cgroup2"
	}
	return m.FSType == "cgroup" && slices.Contains(strings.Split(m.VFSOptions, ","), controller)
}

// HasChildren reports whether a v2 cgroup passes controllers on: then no process may live
// in it (cgroups(7), "no internal processes") and joining it fails with EBUSY.
func HasChildren(dir string) bool {
	b, err := os.ReadFile(path.Join(dir, "cgroup.subtree_control"))
	return err == nil && len(bytes.TrimSpace(b)) > 0
}

// Exists reports whether a cgroup's directory is there.
func Exists(dir string) bool {
	_, err := os.Stat(path.Join(dir, "cgroup.procs"))
	return err == nil
}
