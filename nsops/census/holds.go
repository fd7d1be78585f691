package census

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"dx/nsops"
	"dx/nsops/launch"
)

// holds notes what a process keeps: by its open files, by threads that are elsewhere, for
// its children, and, if mounts is set, by the mounts of its mount namespace.
func (c *Census) holds(dir int, p Process, mounts bool) {
	// What the caller has open, it has open to look at it.
	whole := p.PID == os.Getpid() || c.openFiles(dir, "", p)
	c.forChildren(dir, p)
	if mounts {
		whole = c.mounts(dir, "", Hold{PID: p.PID, Comm: p.Comm, MountNS: p.Places.Of(nsops.Mnt)}) && whole
	}
	if p.PID != os.Getpid() {
		whole = c.threads(dir, p) && whole
	}
	if !whole {
		c.Partial++
	}
}

// openFiles notes the namespaces that a process, or its thread at "task/TID/", has open;
// false if it has more files than are looked at, or they may not be.
func (c *Census) openFiles(dir int, at string, p Process) bool {
	return c.entries(dir, at+"fd", func(fds int, name string) bool { return c.openFile(dir, fds, at, name, p) })
}

// entries visits the names of a directory of a process's, which is open at fd. false if
// there are more than are looked at, if it may not be read, or if a visit returns false.
func (c *Census) entries(dir int, of string, visit func(fd int, name string) bool) bool {
	fd, err := unix.Openat(dir, of, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return gone(err)
	}
	f := os.NewFile(uintptr(fd), of)
	defer f.Close()
	whole := true
	for n := 0; ; {
		names, err := f.Readdirnames(1024)
		if len(names) == 0 {
			return whole && (errors.Is(err, io.EOF) || gone(err))
		}
		if n += len(names); n > maxFilesOfOne || len(names) > c.files {
			return false
		}
		c.files -= len(names)
		for _, name := range names {
			whole = visit(fd, name) && whole
		}
	}
}

// openFile looks at one descriptor; false if what it is cannot be told.
func (c *Census) openFile(dir, fds int, at, name string, p Process) bool {
	var b [32]byte // "cgroup:[18446744073709551615]" has 29
	n, err := unix.Readlinkat(fds, name, b[:])
	if err != nil || n == 0 {
		return true // closed meanwhile
	}
	number, err := strconv.Atoi(name)
	if err != nil {
		return true
	}
	h := Hold{PID: p.PID, Comm: p.Comm, FD: number, path: fmt.Sprintf("/proc/%d/%sfd/%d", p.PID, at, number)}
	if b[0] == '/' {
		return c.fileWithPath(dir, at, h)
	}
	// A file with no path is called so. One that was opened by way of a mount has a path. The
	// name tells all: in the place of the descriptor there may be any file by now.
	t, inode, ok := nsops.ParseLink(string(b[:n]))
	if !ok {
		return true
	}
	if ns := c.namespace(nsops.ID{Device: nsfsDevice(), Inode: inode}, t); ns != nil {
		ns.hold(h)
	}
	return true
}

// nsfsDevice is the device of all namespaces: the kernel mounts nsfs once (fs/nsfs.c,
// nsfs_init).
var nsfsDevice = sync.OnceValue(func() uint64 {
	var st unix.Stat_t
	_ = unix.Stat("/proc/self/ns/mnt", &st) // every kernel has it
	return st.Dev
})

// lowestInode and highestInode bound the numbers of namespaces: PROC_DYNAMIC_FIRST and the
// fixed ones just below it (include/linux/proc_ns.h, fs/proc/generic.c).
const (
	lowestInode  = 0xEFFFFF00
	highestInode = 0xFFFFFFFF
)

// fileWithPath looks at a file that has a path, as a namespace has that was opened by way of
// a mount. What lies at a path may be on a file system that never answers: its inode is
// taken from fdinfo, which asks none, and the few that may be namespaces are asked by a
// deputy.
func (c *Census) fileWithPath(dir int, at string, h Hold) bool {
	ino, ok := inodeOf(dir, fmt.Sprintf("%sfdinfo/%d", at, h.FD))
	if !ok {
		c.NoInodes = true
		return true
	}
	if ino < lowestInode || ino > highestInode {
		return true
	}
	ns, err := c.openDescriptor(h)
	switch {
	case errors.Is(err, launch.ErrSilent):
		return false
	case err != nil:
		return true // closed meanwhile, or something else
	}
	defer ns.Close()
	if known := c.namespace(ns.ID, ns.Type); known != nil {
		known.hold(h)
	}
	return true
}

// inodeOf reads the inode of a descriptor from its fdinfo, which has it since Linux 5.14
// (commit 3845f256a8b5); ok is false where it does not. A descriptor that was closed
// meanwhile has the number 0.
func inodeOf(dir int, name string) (ino uint64, ok bool) {
	var b [4096]byte
	n, err := readFile(dir, name, b[:])
	if err != nil {
		return 0, true
	}
	return parseInode(b[:n])
}

// parseInode reads the inode in a fdinfo (proc_pid_fdinfo(5)).
func parseInode(b []byte) (ino uint64, ok bool) {
	for line := range bytes.Lines(b) {
		if text, found := bytes.CutPrefix(line, []byte("ino:")); found {
			if ino, err := strconv.ParseUint(string(bytes.TrimSpace(text)), 10, 64); err == nil {
				return ino, true
			}
		}
	}
	return 0, false
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

// mounts notes the namespaces that are mounted where a process, or its thread at
// "task/TID/", sees it; false if there are more mounts than are looked at.
func (c *Census) mounts(dir int, at string, by Hold) bool {
	fd, err := unix.Openat(dir, at+"mountinfo", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return gone(err) || errors.Is(err, unix.EINVAL) // it has left its mounts, to end
	}
	f := os.NewFile(uintptr(fd), "mountinfo")
	defer f.Close()
	limit := min(c.bytes, maxMountsOf)
	r := &io.LimitedReader{R: f, N: int64(limit)}
	err = ParseMounts(r, func(id nsops.ID, t nsops.Type, path string) {
		if ns := c.namespace(id, t); ns != nil {
			by.Path = path
			ns.hold(by)
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
