package tty

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"

	"github.com/cyphar/filepath-securejoin/pathrs-lite"
	"golang.org/x/sys/unix"
)

// openInRoot opens a path of the container with O_PATH, from outside: symbolic
// links on the way stay inside root and none leads through /proc. The last
// component is not followed.
//
// openat2 is called as such because pathrs-lite, which opens a private procfs to
// name its files, takes half a millisecond for the first one.
func openInRoot(root *os.File, name string) (*os.File, error) {
	how := unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	}
	// openat2(2): EAGAIN if something on the path was renamed meanwhile. A
	// container that renames without end gets no terminal.
	for range 64 {
		fd, err := unix.Openat2(int(root.Fd()), name, &how)
		switch {
		case err == nil:
			return os.NewFile(uintptr(fd), name), nil
		case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM):
			// Before Linux 5.6, or under a seccomp profile older than the call.
			return openInRootSlowly(root, name)
		case !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR):
			return nil, err
		}
	}
	return nil, unix.EAGAIN
}

func openInRootSlowly(root *os.File, name string) (*os.File, error) {
	dir, err := pathrs.OpenatInRoot(root, path.Dir(name))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	fd, err := unix.Openat(int(dir.Fd()), path.Base(name), unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// reopen turns an O_PATH descriptor into one for reading or writing. The /proc is
// that of dx; if it were something else, the name in it could mean anything
// (CVE-2025-52881 is of that kind).
func reopen(f *os.File, flags int) (*os.File, error) {
	dir, err := unix.Open("/proc/self/fd", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /proc/self/fd: %w", err)
	}
	defer unix.Close(dir)
	var fs unix.Statfs_t
	if err := unix.Fstatfs(dir, &fs); err != nil {
		return nil, fmt.Errorf("statfs of /proc/self/fd: %w", err)
	}
	if fs.Type != unix.PROC_SUPER_MAGIC {
		return nil, fmt.Errorf("/proc is no procfs (magic %#x): mount one", fs.Type)
	}
	fd, err := unix.Openat(dir, strconv.Itoa(int(f.Fd())), flags|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}
