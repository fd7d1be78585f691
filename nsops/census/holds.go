package census

import (
	"errors"
	"io"
	"os"
	"strconv"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"dx/nsops"
)

// holds notes what a process keeps: by its open files, for its children, and, if
// mounts is set, by the mounts of its mount namespace.
func (c *Census) holds(dir int, p Process, mounts bool) {
	// What the caller has open, it has open to look at it.
	whole := p.PID == os.Getpid() || c.openFiles(dir, p)
	c.forChildren(dir, p)
	if mounts {
		whole = c.mounts(dir, p) && whole
	}
	if !whole {
		c.Partial++
	}
}

// openFiles notes the namespaces that a process has open; false if it has more
// files than are looked at, or they may not be.
func (c *Census) openFiles(dir int, p Process) bool {
	fd, err := unix.Openat(dir, "fd", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return gone(err)
	}
	f := os.NewFile(uintptr(fd), "fd")
	defer f.Close()
	for n := 0; ; {
		names, err := f.Readdirnames(1024)
		if len(names) == 0 {
			return errors.Is(err, io.EOF) || gone(err)
		}
		if n += len(names); n > maxFilesOfOne || len(names) > c.files {
			return false
		}
		c.files -= len(names)
		for _, name := range names {
			c.openFile(fd, name, p)
		}
	}
}

func (c *Census) openFile(fds int, name string, p Process) {
	var b [32]byte // "cgroup:[18446744073709551615]" has 29
	n, err := unix.Readlinkat(fds, name, b[:])
	if err != nil {
		return
	}
	// Only a file with no path is called so: a path begins with a slash.
	t, _, ok := nsops.ParseLink(string(b[:n]))
	if !ok {
		return
	}
	var st unix.Stat_t
	if err := unix.Fstatat(fds, name, &st, 0); err != nil {
		return
	}
	number, err := strconv.Atoi(name)
	if err != nil {
		return
	}
	if ns := c.namespace(nsops.IDOf(&st), t); ns != nil {
		ns.hold(Hold{PID: p.PID, Comm: p.Comm, FD: number})
	}
}

// forChildren notes the namespaces into which a process's children will be born.
func (c *Census) forChildren(dir int, p Process) {
	for _, t := range []nsops.Type{nsops.PID, nsops.Time} {
		var st unix.Stat_t
		if err := unix.Fstatat(dir, "ns/"+string(t)+"_for_children", &st, 0); err != nil {
			continue
		}
		id := nsops.IDOf(&st)
		if id == p.Places.Of(t) {
			continue
		}
		if ns := c.namespace(id, t); ns != nil {
			ns.hold(Hold{PID: p.PID, Comm: p.Comm, Children: true})
		}
	}
}

// mounts notes the namespaces that are mounted where the process sees it; false if
// there are more mounts than are looked at.
func (c *Census) mounts(dir int, p Process) bool {
	fd, err := unix.Openat(dir, "mountinfo", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return gone(err)
	}
	f := os.NewFile(uintptr(fd), "mountinfo")
	defer f.Close()
	limit := min(c.bytes, maxMountsOf)
	r := &io.LimitedReader{R: f, N: int64(limit)}
	err = ParseMounts(r, func(id nsops.ID, t nsops.Type, path string) {
		if ns := c.namespace(id, t); ns != nil {
			ns.hold(Hold{PID: p.PID, Comm: p.Comm, Path: path, MountNS: p.Places.Of(nsops.Mnt)})
		}
	})
	c.bytes -= limit - int(r.N)
	return r.N > 0 && (err == nil || gone(err))
}

// ParseMounts tells the mounts of nsfs in a /proc/PID/mountinfo (proc_pid_mountinfo(5)),
// whose root is the namespace: "net:[4026532250]". What was told before an error
// holds.
func ParseMounts(r io.Reader, tell func(id nsops.ID, t nsops.Type, path string)) error {
	_, err := mountinfo.GetMountsFromReader(r, func(m *mountinfo.Info) (skip, stop bool) {
		t, inode, ok := nsops.ParseLink(m.Root)
		if ok && m.FSType == "nsfs" {
			device := unix.Mkdev(uint32(m.Major), uint32(m.Minor))
			tell(nsops.ID{Device: device, Inode: inode}, t, m.Mountpoint)
		}
		return true, false
	})
	return err
}
