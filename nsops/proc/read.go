package proc

import (
	"bytes"
	"errors"
	"io/fs"
	"slices"

	"golang.org/x/sys/unix"
)

// ReadFile reads a file of the process's directory, 4 MiB at the most.
func (p *Process) ReadFile(name string) ([]byte, error) {
	b, _, err := p.ReadPrefix(name, maxFile)
	return b, err
}

// ReadPrefix reads a file of the process's directory to its end or up to limit bytes;
// cut says that there was more. For files whose size the process itself chooses.
func (p *Process) ReadPrefix(name string, limit int) (b []byte, cut bool, err error) {
	b, err = p.read(name, make([]byte, 0, bytes.MinRead), limit, false)
	if len(b) > limit {
		return b[:limit], true, err
	}
	return b, false, err
}

// page has room for most of the files that the kernel fills in at once.
type page [4096]byte

// readOnce reads a file that one read(2) with enough room gets whole: those of which
// the kernel makes one record (fs/proc/base.c, ONE: stat, status, cgroup).
func (p *Process) readOnce(name string, room *page) ([]byte, error) {
	return p.read(name, room[:0], maxFile, true)
}

// read reads a file into b and beyond, more than limit bytes if there are more; with
// once, a read(2) that leaves room is the last.
func (p *Process) read(name string, b []byte, limit int, once bool) ([]byte, error) {
	fd, err := p.OpenFD(name, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	if b, err = readFD(fd, b, limit, once); err != nil {
		return nil, p.wrap("read", name, err)
	}
	return b, nil
}

func readFD(fd int, b []byte, limit int, once bool) ([]byte, error) {
	for {
		n, err := unix.Read(fd, b[len(b):cap(b)])
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return nil, err
		}
		b = b[:len(b)+n]
		if n == 0 || len(b) > limit || (once && len(b) < cap(b)) {
			return b, nil
		}
		b = slices.Grow(b, bytes.MinRead)
	}
}

// ReadKernelFile reads a file of a kernel's file system (cgroupfs, sysfs), limit bytes
// at the most, with nothing around the system calls.
func ReadKernelFile(path string, limit int) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	b, err := readFD(fd, make([]byte, 0, bytes.MinRead), limit, true)
	if err != nil {
		return nil, &fs.PathError{Op: "read", Path: path, Err: err}
	}
	return b[:min(len(b), limit)], nil
}
