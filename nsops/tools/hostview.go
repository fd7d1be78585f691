package tools

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"dx/nsops"
	"dx/nsops/proc"
)

// ContainerDir is where a HostView has the container's root.
const ContainerDir = "/container"

// HostView is a mount namespace with the host's root and a container's root at
// ContainerDir. Its / is a read-only tmpfs with all that the host's / has; nothing
// that is mounted in it goes to the host or the container. It owns its descriptors,
// and ends with them and its last process.
type HostView struct {
	Mnt  *os.File // the namespace
	Root *os.File // O_PATH on its root
}

// Close lets go of the namespace.
func (v *HostView) Close() error { return errors.Join(v.Mnt.Close(), v.Root.Close()) }

// NewHostView makes the view for the container of a process. With emptyProc its
// /proc is an empty directory on which the procfs of another PID namespace can be
// mounted; otherwise it is the host's.
func NewHostView(p *proc.Process, emptyProc bool) (*HostView, error) {
	container, err := cloneRoot(p)
	if err != nil {
		return nil, err
	}
	defer container.Close()
	v := &HostView{}
	err = inPrivateMountNS(func() error { return v.build(container, emptyProc) })
	if err != nil {
		return nil, fmt.Errorf("make a view of the host: %w", err)
	}
	return v, nil
}

// cloneRoot takes a detached copy of a process's root with all that is mounted
// below it. A mount is copied by those of its own namespace only.
func cloneRoot(p *proc.Process) (*os.File, error) {
	root, err := p.OpenFile("root", unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	ns, err := p.OpenFile("ns/mnt", unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	var clone *os.File
	err = nsops.OnOwnThread(func() (err error) {
		if err = unix.Unshare(unix.CLONE_FS); err != nil {
			return fmt.Errorf("unshare the working directory: %w", err)
		}
		if err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNS); err != nil {
			return fmt.Errorf("join the mount namespace of pid %d: %w", p.PID, err)
		}
		clone, err = openTree(int(root.Fd()), "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE)
		return err
	})
	if err != nil {
		return nil, err
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV, Propagation: unix.MS_PRIVATE}
	if err := setattr(clone, &attr); err != nil {
		clone.Close()
		return nil, fmt.Errorf("the root of pid %d: %w", p.PID, err)
	}
	return clone, nil
}

// build runs on a thread that has a mount namespace of its own.
func (v *HostView) build(container *os.File, emptyProc bool) error {
	parts, err := cloneParts("/", emptyProc)
	defer closeParts(parts)
	if err != nil {
		return err
	}
	ns, err := os.Open("/proc/thread-self/ns/mnt")
	if err != nil {
		return err
	}
	root, err := assemble(append(parts, part{name: filepath.Base(ContainerDir), tree: container}))
	if err != nil {
		ns.Close()
		return err
	}
	v.Mnt, v.Root = ns, root
	return nil
}

// part is an entry of the host's /: a mount, a link, or an empty directory.
type part struct {
	name string
	tree *os.File
	file bool // the tree is one file
	link string
}

func closeParts(parts []part) {
	for _, p := range parts {
		if p.tree != nil {
			p.tree.Close()
		}
	}
}

// cloneParts takes detached copies of what is in the host's root, before anything
// is mounted over it.
func cloneParts(root string, emptyProc bool) ([]part, error) {
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, err
	}
	var parts []part
	for _, e := range entries {
		p := part{name: e.Name(), file: e.Type().IsRegular()}
		path := filepath.Join(root, e.Name())
		switch {
		case path == ContainerDir:
			continue
		case path == "/proc" && emptyProc:
		case e.Type()&fs.ModeSymlink != 0:
			p.link, err = os.Readlink(path)
		case e.IsDir() || p.file:
			p.tree, err = openTree(unix.AT_FDCWD, path, unix.AT_RECURSIVE)
		default:
			continue
		}
		if err != nil {
			return parts, err
		}
		parts = append(parts, p)
	}
	return parts, nil
}

// assemble mounts the parts on a tmpfs and makes that the root of the thread's mount
// namespace.
func assemble(parts []part) (*os.File, error) {
	stage, err := mountStage()
	if err != nil {
		return nil, err
	}
	for _, p := range parts {
		if err := p.mountAt(filepath.Join(stage, p.name)); err != nil {
			return nil, fmt.Errorf("bring /%s: %w", p.name, err)
		}
	}
	root, err := os.OpenFile(stage, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	err = readOnly(root)
	if err == nil {
		err = pivot(root)
	}
	if err != nil {
		root.Close()
		return nil, err
	}
	return root, nil
}

func (p part) mountAt(path string) error {
	if p.link != "" {
		return os.Symlink(p.link, path)
	}
	create := os.Mkdir
	if p.file {
		create = func(path string, mode fs.FileMode) error { return os.WriteFile(path, nil, mode) }
	}
	if err := create(path, 0o755); err != nil || p.tree == nil {
		return err
	}
	return unix.MoveMount(int(p.tree.Fd()), "", unix.AT_FDCWD, path, unix.MOVE_MOUNT_F_EMPTY_PATH)
}

// pivot makes root the root and lets go of the old one (pivot_root(2), "pivot_root(".", ".")").
func pivot(root *os.File) error {
	if err := unix.Fchdir(int(root.Fd())); err != nil {
		return fmt.Errorf("chdir to the new root: %w", err)
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount the old root: %w", err)
	}
	return nil
}
