package callerfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"

	"dx/nsops/launch"
)

// Info is what a name leads to.
type Info struct {
	unix.Stat_t
	FS   unix.Statfs_t // of the file system that it lies on
	Path string        // without links, as far as the kernel can tell
}

// IsDir reports whether it is a directory.
func (i Info) IsDir() bool { return i.Mode&unix.S_IFMT == unix.S_IFDIR }

// Look returns what a name leads to; without follow, a link itself.
func Look(d *launch.Deputy, name string, follow bool) (Info, error) {
	f, info, err := Find(d, name, follow)
	if err == nil {
		f.Close()
	}
	return info, err
}

// Find is Look with an O_PATH descriptor of it. Whether its file system answers again,
// nobody knows: only the kernel's own are safe to ask.
func Find(d *launch.Deputy, name string, follow bool) (*os.File, Info, error) {
	f, info, err := find(d, name, follow)
	if errors.Is(err, launch.ErrSilent) {
		return nil, info, fmt.Errorf("cannot look at %s within %v: %w", name, launch.Patience, err)
	}
	if err != nil {
		return nil, info, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	info.Path, err = os.Readlink(launch.Descriptor(int(f.Fd())))
	return f, info, err
}

func find(d *launch.Deputy, name string, follow bool) (*os.File, Info, error) {
	flags := unix.O_PATH | unix.O_CLOEXEC
	if !follow {
		flags |= unix.O_NOFOLLOW
	}
	var info Info
	fd, err := unix.Openat2(unix.AT_FDCWD, name, &unix.OpenHow{Flags: uint64(flags), Resolve: unix.RESOLVE_NO_XDEV})
	switch {
	case err == nil:
		err = errors.Join(unix.Fstat(fd, &info.Stat_t), unix.Fstatfs(fd, &info.FS))
		return os.NewFile(uintptr(fd), name), info, err
	case isFinal(err):
		return nil, info, err
	}
	abs, err := Absolute(name)
	if err != nil {
		return nil, info, err
	}
	var f *os.File
	err = d.Do(func(c *launch.Call) error {
		fd, err := openat(c, abs, uint64(flags))
		if err != nil {
			return err
		}
		defer c.Post(unix.SYS_CLOSE, uint64(fd)) //nolint:errcheck // then the deputy is gone
		if _, err = c.Syscall(unix.SYS_FSTAT, uint64(fd), c.Address(atStat)); err != nil {
			return err
		}
		info.Stat_t = *(*unix.Stat_t)(unsafe.Pointer(&c.Room()[atStat]))
		if _, err = c.Syscall(unix.SYS_FSTATFS, uint64(fd), c.Address(atStat)); err != nil {
			return err
		}
		info.FS = *(*unix.Statfs_t)(unsafe.Pointer(&c.Room()[atStat]))
		f, err = c.Take(fd, name)
		return err
	})
	return f, info, err
}

// Absolute returns a name that means the same for every process. The kernel says where
// dx is: os.Getwd would ask the file system.
func Absolute(name string) (string, error) {
	if filepath.IsAbs(name) {
		return name, nil
	}
	var b [unix.PathMax]byte
	n, err := unix.Getcwd(b[:])
	if err != nil {
		return "", fmt.Errorf("getcwd: %w", err)
	}
	return string(b[:n-1]) + "/" + name, nil // less the NUL
}

// isFinal tells what the kernel says of a name from what it says of RESOLVE_NO_XDEV
// (EXDEV) and of openat2 (ENOSYS, EPERM).
func isFinal(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.EACCES)
}
