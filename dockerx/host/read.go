package host

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/cyphar/filepath-securejoin/pathrs-lite"
	"golang.org/x/sys/unix"
)

// maxFile bounds every file that is read here: runc's state.json, the largest
// of them, holds some 30 KiB.
const maxFile = 8 << 20

// ErrForeign says that a file which should be an engine's is another user's.
var ErrForeign = errors.New("neither root's nor dx's own user's")

// ErrNotRegular says that a file of an engine is a FIFO, a device, a symbolic link.
var ErrNotRegular = errors.New("not a regular file")

// handle is an open directory, and its path as the engine's root names it: for
// messages. The descriptor is a bare number, as there are several for each container.
type handle struct {
	fd       int
	path     string
	readable bool // not O_PATH
}

// none is no descriptor.
const none = -1

func (h *handle) close() {
	if h.fd != none {
		unix.Close(h.fd)
		h.fd = none
	}
}

// open opens a directory by one name, "..": also of a directory that has been removed
// meanwhile.
func (h handle) open(name string) (handle, error) {
	sub := handle{path: h.path + "/" + name, readable: true}
	var err error
	sub.fd, err = unix.Openat(h.fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return handle{fd: none}, fmt.Errorf("open %s: %w", sub.path, err)
	}
	return sub, nil
}

// dup returns another descriptor of the directory.
func (h handle) dup() (handle, error) {
	fd, err := unix.FcntlInt(uintptr(h.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return handle{fd: none}, fmt.Errorf("duplicate %s: %w", h.path, err)
	}
	h.fd = fd
	return h, nil
}

// toRead returns the directory as an os.File that reads from its start.
func (h handle) toRead() (*os.File, error) {
	if !h.readable {
		return h.reopen()
	}
	again, err := h.dup()
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(again.fd), h.path)
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// names lists the directory, of which it reads no more than a bound.
func (h handle) names() ([]string, error) {
	f, err := h.toRead()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(maxBundles)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("list %s: %w", h.path, err)
	}
	return names, nil
}

// reopen opens the directory once more, for what takes an os.File.
func (h handle) reopen() (*os.File, error) {
	fd, err := unix.Openat(h.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", h.path, err)
	}
	return os.NewFile(uintptr(fd), h.path), nil
}

// read reads a regular file of the directory, without following a link, without
// waiting for a FIFO's writer, and 8 MiB at the most.
func (h handle) read(name string) ([]byte, error) {
	f, err := h.file(name)
	if err != nil {
		return nil, err
	}
	defer f.close()
	return f.all()
}

// file opens one for reading. All that is read so is an engine's: root's, or dx's own
// user's.
func (h handle) file(name string) (file, error) {
	full := h.path + "/" + name
	fd, err := unix.Openat(h.fd, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	return engineFile(fd, full, err)
}

// readIn reads a file of a directory below, neither of which may be a link. The directory
// is not opened for that, but on kernels before 5.6 (openat2(2)), or beneath a filter.
func (h handle) readIn(dir, name string) ([]byte, error) {
	how := unix.OpenHow{Flags: unix.O_RDONLY | unix.O_NONBLOCK | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS}
	fd, err := unix.Openat2(h.fd, dir+"/"+name, &how)
	if err != nil {
		sub, err := h.open(dir)
		if err != nil {
			return nil, err
		}
		defer sub.close()
		return sub.read(name)
	}
	f, err := engineFile(fd, h.path+"/"+dir+"/"+name, nil)
	if err != nil {
		return nil, err
	}
	defer f.close()
	return f.all()
}

// engineFile takes what an open has given, if it is a regular file of an engine's.
func engineFile(fd int, full string, err error) (file, error) {
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENXIO) {
		// ELOOP: a symbolic link; ENXIO: a socket.
		return file{}, fmt.Errorf("open %s: %w", full, ErrNotRegular)
	}
	if err != nil {
		return file{}, fmt.Errorf("open %s: %w", full, err)
	}
	f, err := regular(fd, full)
	if err == nil && f.uid != 0 && int(f.uid) != os.Geteuid() {
		err = fmt.Errorf("read %s: it is %w (uid %d)", full, ErrForeign, f.uid)
	}
	if err != nil {
		unix.Close(fd)
		return file{}, err
	}
	return f, nil
}

// file is a regular file, open for reading.
type file struct {
	fd   int
	path string
	size int64
	uid  uint32 // the owner
}

func regular(fd int, path string) (file, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return file{}, fmt.Errorf("stat %s: %w", path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return file{}, fmt.Errorf("read %s: %w", path, ErrNotRegular)
	}
	return file{fd: fd, path: path, size: st.Size, uid: st.Uid}, nil
}

func (f file) close() { unix.Close(f.fd) }

// Read is io.Reader's.
func (f file) Read(b []byte) (int, error) {
	for {
		n, err := unix.Read(f.fd, b)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return 0, fmt.Errorf("read %s: %w", f.path, err)
		case n == 0 && len(b) > 0:
			return 0, io.EOF
		}
		return n, nil
	}
}

// all reads the file if it is small enough.
func (f file) all() ([]byte, error) {
	if f.size > maxFile {
		return nil, fmt.Errorf("read %s: larger than %d MiB", f.path, maxFile>>20)
	}
	if f.size == 0 {
		return f.unsized()
	}
	// A file that is written meanwhile is whole, or its parser says that it is not.
	b := make([]byte, f.size)
	n, err := io.ReadFull(f, b)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return b[:n], err
}

// unsized reads a file that is empty, or lies in a file system that tells no sizes.
func (f file) unsized() ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("read %s: larger than %d MiB", f.path, maxFile>>20)
	}
	return b, err
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
	r, err := pathrs.Reopen(h, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("open %s%s: %w", root.Name(), path, err)
	}
	defer r.Close()
	f, err := regular(int(r.Fd()), root.Name()+path)
	if err != nil {
		return nil, err
	}
	return f.all()
}

// OpenDirInRoot opens a directory below root with symbolic links kept inside.
func OpenDirInRoot(root *os.File, path string) (*os.File, error) {
	fd, err := openInRoot(int(root.Fd()), path, unix.O_PATH)
	switch {
	case err == nil:
		return os.NewFile(uintptr(fd), path), nil
	case !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EPERM):
		return nil, fmt.Errorf("open %s%s: %w", root.Name(), path, err)
	}
	h, err := pathrs.OpenatInRoot(root, path) // before Linux 5.6, or beneath a filter
	if err != nil {
		return nil, fmt.Errorf("open %s%s: %w", root.Name(), path, err)
	}
	return h, nil
}

// openInRoot opens by one system call, which is made again where somebody has renamed
// something on the way (openat2(2), EAGAIN).
func openInRoot(root int, path string, flags uint64) (int, error) {
	how := unix.OpenHow{Flags: flags | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	var fd int
	var err error
	for range maxRenames {
		fd, err = unix.Openat2(root, path, &how)
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			break
		}
	}
	return fd, err
}

// maxRenames bounds how often a path is looked up that others change meanwhile.
const maxRenames = 128

// openWithoutLinks opens a directory of dx's own root, all of whose names are
// directories: what a link is, and where it leads, is for whoever made it to say.
func openWithoutLinks(name string) (handle, error) {
	const flags = unix.O_PATH | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	at := handle{path: name}
	var err error
	if at.fd, err = unix.Open("/", flags, 0); err != nil {
		return handle{fd: none}, fmt.Errorf("open /: %w", err)
	}
	for part := range strings.SplitSeq(strings.Trim(path.Clean(name), "/"), "/") {
		fd, err := unix.Openat(at.fd, part, flags, 0)
		at.close()
		if err != nil {
			return handle{fd: none}, fmt.Errorf("open %s: %q: %w", name, part, err)
		}
		at.fd = fd
	}
	return at, nil
}

// handleIn is OpenDirInRoot with nothing but a handle left.
func handleIn(root *os.File, path string) (handle, error) {
	if fd, err := openInRoot(int(root.Fd()), path, unix.O_PATH); err == nil {
		return handle{fd: fd, path: path}, nil
	}
	f, err := OpenDirInRoot(root, path)
	if err != nil {
		return handle{fd: none}, err
	}
	defer f.Close()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return handle{fd: none}, fmt.Errorf("open %s%s: %w", root.Name(), path, err)
	}
	return handle{fd: fd, path: path}, nil
}

// fileIn opens a file of an engine's in a directory below root, as handle.file does.
func fileIn(root *os.File, dir, name string) (file, error) {
	const flags = unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK
	fd, err := openInRoot(int(root.Fd()), dir+"/"+name, flags)
	if !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EPERM) {
		return engineFile(fd, dir+"/"+name, err)
	}
	h, err := handleIn(root, dir)
	if err != nil {
		return file{}, err
	}
	defer h.close()
	return h.file(name)
}
