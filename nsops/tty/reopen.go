package tty

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

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
