package nsops

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"dx/nsops/proc"
)

// ErrNotNamespace says that a file is none of nsfs.
var ErrNotNamespace = errors.New("not a namespace")

// ErrNotVisible says that the parent or owner asked for is none, or lies above what the
// caller may see: the kernel tells the two not apart (ioctl_nsfs(2), EPERM).
var ErrNotVisible = errors.New("no namespace that is visible here")

// Handle is an open namespace. It keeps the namespace alive until Close.
type Handle struct {
	ID   ID
	Type Type
	f    *os.File
}

// OpenPath opens the namespace that a path leads to: /proc/PID/ns/net, or where one
// is mounted (/run/netns/x).
func OpenPath(path string) (*Handle, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	return OpenFile(f)
}

// OpenFile opens the namespace that an O_PATH descriptor means. Nothing but nsfs is
// ever opened, so that it neither blocks nor sets off what opening a device does.
func OpenFile(f *os.File) (*Handle, error) {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &fs); err != nil {
		return nil, fmt.Errorf("statfs %s: %w", f.Name(), err)
	}
	if fs.Type != unix.NSFS_MAGIC {
		return nil, fmt.Errorf("%s: %w", f.Name(), ErrNotNamespace)
	}
	fd, err := unix.Open("/proc/self/fd/"+strconv.Itoa(int(f.Fd())), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", f.Name(), err)
	}
	return newHandle(fd, f.Name())
}

// newHandle takes over fd.
func newHandle(fd int, name string) (*Handle, error) {
	h := &Handle{f: os.NewFile(uintptr(fd), name)}
	if err := h.identify(); err != nil {
		h.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return h, nil
}

func (h *Handle) identify() error {
	var st unix.Stat_t
	if err := unix.Fstat(int(h.f.Fd()), &st); err != nil {
		return fmt.Errorf("stat: %w", err)
	}
	flag, err := unix.IoctlRetInt(int(h.f.Fd()), unix.NS_GET_NSTYPE)
	if err != nil {
		return fmt.Errorf("type of namespace: %w", err)
	}
	h.ID = IDOf(&st)
	for _, t := range Types {
		if t.CloneFlag() == uintptr(flag) {
			h.Type = t
			return nil
		}
	}
	return fmt.Errorf("a type of namespace that dx does not know (%#x)", flag)
}

// Ancestors returns the PID or user namespace that a process is in and those around it,
// the nearest first, as far as the caller may see: up to its own. With an error, it
// returns those before.
func Ancestors(p *proc.Process, t Type) ([]ID, error) {
	fd, err := p.OpenFD("ns/"+string(t), unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	h, err := newHandle(fd, fmt.Sprintf("/proc/%d/ns/%s", p.PID, t))
	if err != nil {
		return nil, err
	}
	defer func() { h.Close() }()
	ids := []ID{h.ID}
	for {
		above, err := h.Parent()
		switch {
		case errors.Is(err, ErrNotVisible):
			return ids, nil
		case err != nil:
			return ids, err
		}
		h.Close()
		h = above
		ids = append(ids, h.ID)
	}
}

// ParseLink parses a namespace as readlink(2) prints it, "net:[4026532250]".
func ParseLink(s string) (t Type, inode uint64, ok bool) {
	name, rest, _ := strings.Cut(s, ":[")
	digits, closed := strings.CutSuffix(rest, "]")
	inode, err := strconv.ParseUint(digits, 10, 64)
	if !closed || err != nil || !slices.Contains(Types, Type(name)) {
		return "", 0, false
	}
	return Type(name), inode, true
}

// Close releases it.
func (h *Handle) Close() error { return h.f.Close() }

// Parent opens the namespace above a PID or user namespace. ErrNotVisible if there is
// none to be seen.
func (h *Handle) Parent() (*Handle, error) { return h.relative("parent", unix.NS_GET_PARENT) }

// Owner opens the user namespace whose capabilities count in it. ErrNotVisible if it
// lies above the caller's own.
func (h *Handle) Owner() (*Handle, error) { return h.relative("owner", unix.NS_GET_USERNS) }

func (h *Handle) relative(what string, request uint) (*Handle, error) {
	fd, err := unix.IoctlRetInt(int(h.f.Fd()), request)
	if errors.Is(err, unix.EPERM) {
		err = ErrNotVisible
	}
	if err != nil {
		return nil, fmt.Errorf("%s of the %s namespace %d: %w", what, h.Type, h.ID.Inode, err)
	}
	// It is close-on-exec from the start (fs/nsfs.c, open_related_ns).
	return newHandle(fd, what+" of "+h.f.Name())
}

// OwnerUID is the user who created a user namespace, as the caller's own user
// namespace counts; 65534 (overflowuid) where it has no number there.
func (h *Handle) OwnerUID() (uint32, error) {
	uid, err := unix.IoctlGetUint32(int(h.f.Fd()), unix.NS_GET_OWNER_UID)
	if err != nil {
		return 0, fmt.Errorf("owner of the user namespace %d: %w", h.ID.Inode, err)
	}
	return uid, nil
}
