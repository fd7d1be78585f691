package host

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/cyphar/filepath-securejoin/pathrs-lite"
	"golang.org/x/sys/unix"
)

// maxFile bounds every file that is read here: runc's state.json, the largest
// of them, holds some 30 KiB.
const maxFile = 8 << 20

// ErrNotRegular says that a file of an engine is a FIFO, a device, a symbolic link.
var ErrNotRegular = errors.New("not a regular file")

// readFile reads the regular file name of a directory, without following a
// link, without waiting for a FIFO's writer, and 8 MiB at the most. label names
// the directory in errors.
func readFile(dir *os.File, label, name string) ([]byte, error) {
	path := label + "/" + name
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENXIO) {
		// ELOOP: a symbolic link; ENXIO: a socket.
		return nil, fmt.Errorf("open %s: %w", path, ErrNotRegular)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	return readRegular(f)
}

// readRegular reads an open file if it is a regular one and small enough.
func readRegular(f *os.File) ([]byte, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, fmt.Errorf("stat %s: %w", f.Name(), err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, fmt.Errorf("read %s: %w", f.Name(), ErrNotRegular)
	}
	var b bytes.Buffer
	if st.Size < maxFile {
		b.Grow(int(st.Size) + bytes.MinRead)
	}
	n, err := b.ReadFrom(io.LimitReader(f, maxFile+1))
	if err == nil && n > maxFile {
		err = fmt.Errorf("larger than %d MiB", maxFile>>20)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", f.Name(), err)
	}
	return b.Bytes(), nil
}

// ReadInRoot reads a regular file below root, where symbolic links lead as they
// do for a process whose root that is: never out of it (openat2(2),
// RESOLVE_IN_ROOT). Like all reads here it never blocks.
func ReadInRoot(root *os.File, path string) ([]byte, error) {
	h, err := pathrs.OpenatInRoot(root, path)
	if err != nil {
		return nil, fmt.Errorf("open %s%s: %w", root.Name(), path, err)
	}
	defer h.Close()
	// The handle is O_PATH: nothing has been opened yet that could block.
	var st unix.Stat_t
	if err := unix.Fstat(int(h.Fd()), &st); err != nil {
		return nil, fmt.Errorf("stat %s%s: %w", root.Name(), path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, fmt.Errorf("read %s%s: %w", root.Name(), path, ErrNotRegular)
	}
	f, err := pathrs.Reopen(h, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("open %s%s: %w", root.Name(), path, err)
	}
	defer f.Close()
	return readRegular(f)
}

// openDirIn opens a directory below root with symbolic links kept inside.
func openDirIn(root *os.File, path string) (*os.File, error) {
	h, err := pathrs.OpenatInRoot(root, path)
	if err != nil {
		return nil, fmt.Errorf("open %s%s: %w", root.Name(), path, err)
	}
	return h, nil
}

// openDirAt opens a directory by one name, "..": also of a directory that has
// been removed meanwhile.
func openDirAt(dir *os.File, name string) (*os.File, error) {
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s/%s: %w", dir.Name(), name, err)
	}
	return os.NewFile(uintptr(fd), dir.Name()+"/"+name), nil
}

// IsProgramInRoot says whether path is a regular file below root that somebody may
// execute, symbolic links followed as ReadInRoot does.
func IsProgramInRoot(root *os.File, path string) bool {
	h, err := pathrs.OpenatInRoot(root, path)
	if err != nil {
		return false
	}
	defer h.Close()
	st, err := h.Stat()
	return err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0
}
