package cgroup

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"dx/nsops"
)

// Early is a write that lets others wait less. The first one that moves a process to a
// cgroup waits until every processor has left its read sections, ten milliseconds or more;
// those that follow at once do not (percpu_down_write of cgroup_threadgroup_rwsem,
// kernel/cgroup/cgroup.c; include/linux/rcu_sync.h). Begun when dx begins, it waits while
// dx reads and compiles.
//
// A thread of dx's own is moved to the cgroup where it is, and ends: nobody's cgroup has one
// process more or less by it.
type Early struct {
	File string // "/sys/fs/cgroup/pids/user.slice/tasks"
}

// FindEarly returns nil where there is nothing to be won: without cgroup v1 (into a cgroup
// of v2 a process is born), and where a hierarchy is mounted with favordynmods (Linux 6.0),
// so that no write waits.
func FindEarly() *Early {
	var st unix.Statfs_t
	if err := unix.Statfs("/sys/fs/cgroup", &st); err != nil || st.Type == unix.CGROUP2_SUPER_MAGIC {
		return nil
	}
	cgroups, err := Own()
	if err != nil {
		return nil
	}
	mounts, err := here.of(cgroups)
	if err != nil || slices.ContainsFunc(mounts, favored) {
		return nil
	}
	return earlyIn(locateIn(cgroups, mounts))
}

func earlyIn(own []located) *Early {
	for _, d := range own {
		if d.Controller != "" {
			return &Early{File: path.Join(d.Path, "tasks")}
		}
	}
	return nil
}

func favored(m *mountinfo.Info) bool {
	return slices.Contains(strings.Split(m.VFSOptions, ","), "favordynmods")
}

// Write makes it. That it cannot be made is no error: the others wait, then.
func (e *Early) Write() {
	_ = nsops.OnOwnThread(func() error {
		fd, err := unix.Open(e.File, unix.O_WRONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		_, err = unix.Write(fd, []byte(strconv.Itoa(unix.Gettid())))
		return err
	})
}
