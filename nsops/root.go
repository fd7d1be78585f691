package nsops

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"dx/nsops/proc"
)

// OpenRoot opens the root of the mount namespace in which a process is, with O_PATH: what
// whoever joins that namespace has as root (fs/namespace.c, mntns_install). It is not
// the root of a process that has called chroot(2).
//
// A thread of dx's own goes there for it. Where that is not allowed, or the namespace is
// dx's own, it is the process's root. The process chose none of this but its namespace,
// and no name in it is looked up.
func OpenRoot(p *proc.Process) (*os.File, error) {
	ns, err := p.OpenFile("ns/mnt", unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	if same, err := isOwnMount(ns); err != nil || same {
		return ownRoot(p, err)
	}
	var root *os.File
	err = OnOwnThread(func() (err error) {
		root, err = openRootOf(ns)
		return err
	})
	if errors.Is(err, unix.EPERM) {
		return ownRoot(p, nil)
	}
	if err != nil {
		return nil, fmt.Errorf("open the root of the mount namespace: %w", err)
	}
	return root, nil
}

func ownRoot(p *proc.Process, err error) (*os.File, error) {
	if err != nil {
		return nil, err
	}
	return p.OpenFile("root", unix.O_PATH|unix.O_DIRECTORY)
}

// isOwnMount reports whether a file is the mount namespace of dx itself.
func isOwnMount(ns *os.File) (bool, error) {
	var its, own unix.Stat_t
	if err := errors.Join(unix.Fstat(int(ns.Fd()), &its), unix.Stat("/proc/self/ns/mnt", &own)); err != nil {
		return false, err
	}
	return IDOf(&its) == IDOf(&own), nil
}

// openRootOf is for a thread that ends afterwards.
func openRootOf(ns *os.File) (*os.File, error) {
	// Who shares its root with others may not change its mount namespace (setns(2)).
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return nil, err
	}
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNS); err != nil {
		return nil, err
	}
	fd, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "root"), nil
}
