// Package rootfs looks at files beneath the root of a process that may be hostile.
//
// A path leads where it does for a process with that root, never out of it and never
// through a magic link. All of it is asked by a launch.Deputy, so that a file system
// that never answers costs time and a process that is left behind, and neither holds
// dx nor keeps it from being killed. Files are opened for reading only once they are
// known to be regular ones.
//
// Files of the host's own (bundles, Docker's data root, cgroups) do not belong here.
package rootfs

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"dx/nsops/launch"
	"dx/nsops/proc"
)

// MaxFile bounds what ReadFile reads.
const MaxFile = 8 << 20

// ErrNotRegular says that a file is a FIFO, a device, a directory.
var ErrNotRegular = errors.New("not a regular file")

// SilentError says that a file system did not answer. errors.Is finds
// launch.ErrSilent in it.
type SilentError struct {
	Op   string // "read"
	Path string // "/etc/passwd"
	Of   string // whose it is: "web"
}

func (e *SilentError) Error() string {
	return fmt.Sprintf("cannot %s %s of %s within %v: its file system does not answer", e.Op, e.Path, e.Of, launch.Patience)
}

func (e *SilentError) Unwrap() error { return launch.ErrSilent }

// Root is a root directory, and who looks beneath it.
type Root struct {
	dir    *os.File
	deputy *launch.Deputy
	of     string
	owned  bool
}

// Open opens the root of a process. The deputy stays the caller's; errors call the
// process of.
func Open(p *proc.Process, deputy *launch.Deputy, of string) (*Root, error) {
	dir, err := p.OpenFile("root", unix.O_PATH|unix.O_DIRECTORY)
	return &Root{dir: dir, deputy: deputy, of: of, owned: true}, err
}

// At makes a Root of an O_PATH descriptor that stays the caller's.
func At(dir *os.File, deputy *launch.Deputy, of string) *Root {
	return &Root{dir: dir, deputy: deputy, of: of}
}

// Close closes what Open has opened.
func (r *Root) Close() error {
	if !r.owned {
		return nil
	}
	return r.dir.Close()
}

// Info is what a file is.
type Info struct {
	unix.Stat_t
	FS unix.Statfs_t // of the file system that it lies on
}

// IsProgram reports whether it is a regular file that somebody may execute.
func (i Info) IsProgram() bool {
	return i.Mode&unix.S_IFMT == unix.S_IFREG && i.Mode&0o111 != 0
}

// ReadFile reads a regular file, 8 MiB at the most.
func (r *Root) ReadFile(path string) ([]byte, error) {
	var out []byte
	err := r.do("read", path, func(w *walk) error {
		fd, err := w.open(path, true)
		if err != nil {
			return err
		}
		out, err = w.readRegular(fd)
		return err
	})
	return out, err
}

// Stat returns what a path leads to, and the file system that it lies on.
func (r *Root) Stat(path string) (Info, error) {
	var info Info
	err := r.do("look at", path, func(w *walk) error {
		fd, err := w.open(path, true)
		if err == nil {
			info, err = w.info(fd)
		}
		return err
	})
	return info, err
}

// Open opens a path with O_PATH, and returns what it is. The last component is not
// followed. What the info says was true of the descriptor; whether the file system
// answers again, nobody knows: only the kernel's own are safe to ask.
func (r *Root) Open(path string) (*os.File, Info, error) { return r.find(path, false) }

// Find is Open with the last component followed.
func (r *Root) Find(path string) (*os.File, Info, error) { return r.find(path, true) }

func (r *Root) find(path string, follow bool) (*os.File, Info, error) {
	var f *os.File
	var info Info
	err := r.do("open", path, func(w *walk) error {
		fd, err := w.open(path, follow)
		if err != nil {
			return err
		}
		if info, err = w.info(fd); err != nil {
			return err
		}
		f, err = w.call.Take(fd, path)
		return err
	})
	return f, info, err
}

// do runs a visit of the deputy's, and closes there what it has opened.
func (r *Root) do(op, path string, f func(*walk) error) error {
	err := r.deputy.Do(func(c *launch.Call) error {
		w := &walk{call: c}
		root, err := c.Give(r.dir)
		if err != nil {
			return err
		}
		w.root = root
		w.opened = append(w.opened, root)
		err = f(w)
		if errors.Is(err, launch.ErrSilent) {
			return err
		}
		return errors.Join(err, w.close())
	})
	switch {
	case errors.Is(err, launch.ErrSilent):
		return &SilentError{Op: op, Path: path, Of: r.of}
	case err != nil:
		return fmt.Errorf("%s %s of %s: %w", op, path, r.of, err)
	}
	return nil
}

// walk is the deputy on its way.
type walk struct {
	call   *launch.Call
	root   int
	opened []int // in the deputy
}

// close closes all. It is not waited for: close(2) of a FUSE file asks its server
// (FLUSH).
func (w *walk) close() error {
	for _, fd := range w.opened {
		if err := w.call.Post(unix.SYS_CLOSE, uint64(fd)); err != nil {
			return err
		}
	}
	return nil
}

// Offsets in the deputy's room.
const (
	atHow    = 0
	atStat   = 64
	atPath   = 512
	atData   = atPath + unix.PathMax
	dataSize = launch.RoomSize - atData
)

const atFdcwd = ^uint64(99) // AT_FDCWD, -100

// path puts a path into the room.
func (w *walk) path(path string) error {
	if len(path) >= unix.PathMax {
		return unix.ENAMETOOLONG
	}
	room := w.call.Room()[atPath:]
	copy(room, path)
	room[len(path)] = 0
	return nil
}

// open opens a path beneath the root with O_PATH.
func (w *walk) open(path string, follow bool) (int, error) {
	if err := w.path(path); err != nil {
		return 0, err
	}
	how := (*unix.OpenHow)(unsafe.Pointer(&w.call.Room()[atHow]))
	*how = unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	if !follow {
		how.Flags |= unix.O_NOFOLLOW
	}
	// openat2(2): EAGAIN if something on the path was renamed meanwhile.
	for range 64 {
		fd, err := w.call.Syscall(unix.SYS_OPENAT2, uint64(w.root), w.call.Address(atPath), w.call.Address(atHow), uint64(unsafe.Sizeof(*how)))
		switch {
		case err == nil:
			return w.own(fd), nil
		case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM):
			// Before Linux 5.6, or under a seccomp profile older than the call.
			return w.openStepwise(path, follow)
		case !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR):
			return 0, err
		}
	}
	return 0, unix.EAGAIN
}

func (w *walk) own(fd uint64) int {
	w.opened = append(w.opened, int(fd))
	return int(fd)
}

// stat returns what a descriptor is.
func (w *walk) stat(fd int) (unix.Stat_t, error) {
	_, err := w.call.Syscall(unix.SYS_FSTAT, uint64(fd), w.call.Address(atStat))
	return *(*unix.Stat_t)(unsafe.Pointer(&w.call.Room()[atStat])), err
}

func (w *walk) info(fd int) (Info, error) {
	st, err := w.stat(fd)
	if err != nil {
		return Info{}, err
	}
	_, err = w.call.Syscall(unix.SYS_FSTATFS, uint64(fd), w.call.Address(atStat))
	return Info{Stat_t: st, FS: *(*unix.Statfs_t)(unsafe.Pointer(&w.call.Room()[atStat]))}, err
}

// readRegular reads what an O_PATH descriptor means.
func (w *walk) readRegular(fd int) ([]byte, error) {
	st, err := w.stat(fd)
	if err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, ErrNotRegular
	}
	if fd, err = w.reopen(fd); err != nil {
		return nil, err
	}
	var out []byte
	for {
		n, err := w.call.Syscall(unix.SYS_READ, uint64(fd), w.call.Address(atData), dataSize)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, w.call.Room()[atData:atData+int(n)]...)
		switch {
		case len(out) > MaxFile:
			return nil, fmt.Errorf("larger than %d MiB", MaxFile>>20)
		case n == 0, int64(len(out)) == st.Size && n < dataSize:
			return out, nil
		}
	}
}

// reopen opens for reading what an O_PATH descriptor means. The /proc is dx's own: if
// it were something else, the name in it could mean anything (CVE-2025-52881 is of
// that kind).
func (w *walk) reopen(fd int) (int, error) {
	if err := checkProc(); err != nil {
		return 0, err
	}
	if err := w.path(launch.Descriptor(fd)); err != nil {
		return 0, err
	}
	got, err := w.call.Syscall(unix.SYS_OPENAT, atFdcwd, w.call.Address(atPath), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	return w.own(got), nil
}

func checkProc() error {
	var fs unix.Statfs_t
	if err := unix.Statfs("/proc/self/fd", &fs); err != nil {
		return fmt.Errorf("statfs of /proc/self/fd: %w", err)
	}
	if fs.Type != unix.PROC_SUPER_MAGIC {
		return fmt.Errorf("/proc is no procfs (magic %#x): mount one", fs.Type)
	}
	return nil
}
