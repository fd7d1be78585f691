// Package callerfile reads files that dx's caller names: configuration, environment,
// tools. Each is read under a deadline, whatever stands behind the name: a FIFO that
// nobody writes to, a file system that never answers.
//
// A name that leads through no mount point is read by dx itself: it lies where the
// host's root does. Any other is asked by a launch.Deputy. What a container can shape
// does not belong here: see rootfs.
package callerfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"unsafe"

	"golang.org/x/sys/unix"

	"dx/nsops/launch"
)

// ErrNotRegular says that a file is a FIFO, a device, a directory.
var ErrNotRegular = errors.New("not a regular file")

// OwnerError says that a file belongs to another user than the one whose it has to be.
type OwnerError struct{ UID, Want uint32 }

func (e *OwnerError) Error() string {
	return fmt.Sprintf("it belongs to uid %d, not to uid %d", e.UID, e.Want)
}

// File is an open file or directory. A regular file is read as any other
// (io.Reader, io.ReaderAt); a directory, a FIFO or a device is not.
type File struct {
	Stat unix.Stat_t

	name  string
	local int // none: the deputy has it, or nobody
	asked *remote
	at    int64 // where Read is
}

// none is no descriptor. They are bare: an os.File makes a FIFO blocking.
const none = -1

// Open opens a file. A special file is looked at, and opened only if it is a FIFO.
func Open(name string) (*File, error) { return openIf(name, anybodys) }

// anybodys takes each file, whoever owns it.
func anybodys(unix.Stat_t) error { return nil }

// openIf is Open of a file for which check has no error.
func openIf(name string, check func(unix.Stat_t) error) (*File, error) {
	f, err := open(name, check)
	if errors.Is(err, launch.ErrSilent) {
		return nil, fmt.Errorf("cannot open %s within %v: %w", name, launch.Patience, err)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return f, nil
}

func open(name string, check func(unix.Stat_t) error) (*File, error) {
	if fd, ok := ownDescriptor(name); ok {
		return openOwn(name, fd, check)
	}
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_XDEV}
	fd, err := unix.Openat2(unix.AT_FDCWD, name, &how)
	switch {
	case err == nil:
		return openHere(name, fd, check)
	case isFinal(err):
		return nil, err
	}
	// EXDEV: a mount point is on the way; ENOSYS: before Linux 5.6.
	abs, err := Absolute(name)
	if err != nil {
		return nil, err
	}
	return openFar(name, abs, check)
}

// openHere takes over an O_PATH descriptor of what lies on the host's root.
func openHere(name string, path int, check func(unix.Stat_t) error) (*File, error) {
	defer unix.Close(path)
	f := &File{name: name, local: none}
	if err := unix.Fstat(path, &f.Stat); err != nil {
		return nil, err
	}
	if err := check(f.Stat); err != nil {
		return nil, err
	}
	if !f.opens() {
		return f, nil
	}
	var err error
	f.local, err = unix.Open(launch.Descriptor(path), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	return f, err
}

func (f *File) kind() uint32 { return f.Stat.Mode & unix.S_IFMT }

// opens reports whether opening such a file does nothing but that.
func (f *File) opens() bool { return f.kind() == unix.S_IFREG || f.kind() == unix.S_IFIFO }

// IsDir reports whether it is a directory.
func (f *File) IsDir() bool { return f.kind() == unix.S_IFDIR }

// IsRegular reports whether it is a regular file.
func (f *File) IsRegular() bool { return f.kind() == unix.S_IFREG }

// Name is the file's name as Open got it.
func (f *File) Name() string { return f.name }

// Read is io.Reader's.
func (f *File) Read(b []byte) (int, error) {
	n, err := f.ReadAt(b, f.at)
	f.at += int64(n)
	if n > 0 && errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// ReadAt is io.ReaderAt's.
func (f *File) ReadAt(b []byte, off int64) (n int, err error) {
	for n < len(b) && err == nil {
		var m int
		m, err = f.pread(b[n:], off+int64(n))
		n += m
	}
	switch {
	case err == nil || errors.Is(err, io.EOF):
	case errors.Is(err, launch.ErrSilent):
		err = fmt.Errorf("cannot read %s within %v: %w", f.name, launch.Patience, err)
	default:
		err = &fs.PathError{Op: "read", Path: f.name, Err: err}
	}
	return n, err
}

func (f *File) pread(b []byte, off int64) (n int, err error) {
	switch {
	case !f.IsRegular():
		return 0, ErrNotRegular
	case f.local == none:
		n, err = f.asked.pread(b, off)
	default:
		n, err = unix.Pread(f.local, b, off)
	}
	switch {
	case errors.Is(err, unix.EINTR):
		return 0, nil
	case err == nil && n == 0:
		return 0, io.EOF
	}
	return max(n, 0), err
}

// Close releases the file, if there is one.
func (f *File) Close() error {
	if f == nil {
		return nil
	}
	if f.local != none {
		return unix.Close(f.local)
	}
	if f.asked != nil {
		return f.asked.deputy.Close()
	}
	return nil
}

// Read reads a regular file of no more than limit bytes.
func Read(name string, limit int) ([]byte, error) {
	f, err := Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.all(limit)
}

// ReadOf is Read of a file that belongs to a user. It opens no other: what is read is
// what the user himself could read, whatever the links on the way lead to. Another's is
// an OwnerError.
func ReadOf(uid uint32, name string, limit int) ([]byte, error) {
	f, err := openIf(name, func(st unix.Stat_t) error {
		if st.Uid != uid {
			return &OwnerError{UID: st.Uid, Want: uid}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.all(limit)
}

func (f *File) all(limit int) ([]byte, error) {
	if !f.IsRegular() {
		return nil, fmt.Errorf("%s is %w", f.name, ErrNotRegular)
	}
	b, err := io.ReadAll(io.LimitReader(f, int64(limit)+1))
	if err == nil && len(b) > limit {
		err = fmt.Errorf("%s is larger than %d MiB", f.name, limit>>20)
	}
	return b, err
}

// remote is a file that a deputy has open.
type remote struct {
	deputy launch.Deputy
	fd     int
	lost   error // the deputy, and with it the file, is gone
}

// Offsets in the deputy's room.
const (
	atStat = 0
	atPath = 512
	atData = atPath + unix.PathMax
)

const atFdcwd = ^uint64(99) // AT_FDCWD, -100

// openFar lets a deputy open an absolute path.
func openFar(name, abs string, check func(unix.Stat_t) error) (*File, error) {
	f := &File{name: name, local: none, asked: &remote{}}
	err := f.asked.do(func(c *launch.Call) error {
		path, err := openat(c, abs, unix.O_PATH|unix.O_CLOEXEC)
		if err == nil {
			err = f.look(c, path)
		}
		if err == nil {
			err = check(f.Stat)
		}
		if err != nil || !f.opens() {
			return err
		}
		fd, err := openat(c, launch.Descriptor(path), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC)
		if err != nil {
			return err
		}
		f.asked.fd = fd
		if !f.IsRegular() { // a FIFO: the pipe is the kernel's
			f.local, err = take(c, fd)
		}
		return err
	})
	if err != nil || f.local != none {
		f.asked.deputy.Close()
	}
	return f, err
}

// take returns a descriptor of the deputy's as one here.
func take(c *launch.Call, fd int) (int, error) {
	file, err := c.Take(fd, "pipe")
	if err != nil {
		return none, err
	}
	defer file.Close()
	own, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return none, err
	}
	return own, unix.SetNonblock(own, true) // Fd may have ended that
}

func openat(c *launch.Call, path string, flags uint64) (int, error) {
	if len(path) >= unix.PathMax {
		return 0, unix.ENAMETOOLONG
	}
	copy(c.Room()[atPath:], path+"\x00")
	fd, err := c.Syscall(unix.SYS_OPENAT, atFdcwd, c.Address(atPath), flags, 0)
	return int(fd), err
}

func (f *File) look(c *launch.Call, fd int) error {
	_, err := c.Syscall(unix.SYS_FSTAT, uint64(fd), c.Address(atStat))
	f.Stat = *(*unix.Stat_t)(unsafe.Pointer(&c.Room()[atStat]))
	return err
}

func (r *remote) do(f func(*launch.Call) error) error {
	if r.lost != nil {
		return r.lost
	}
	err := r.deputy.Do(f)
	if errors.Is(err, launch.ErrSilent) {
		r.lost = err
	}
	return err
}

func (r *remote) pread(b []byte, off int64) (n int, err error) {
	err = r.do(func(c *launch.Call) error {
		room := c.Room()[atData:]
		got, err := c.Syscall(unix.SYS_PREAD64, uint64(r.fd), c.Address(atData), uint64(min(len(b), len(room))), uint64(off))
		n = copy(b, room[:got])
		return err
	})
	return n, err
}
