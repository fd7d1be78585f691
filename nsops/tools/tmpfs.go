package tools

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Bounds of what is copied; the tmpfs itself keeps them.
const (
	maxBytes = 512 << 20
	maxFiles = 1 << 16
)

// fill makes a tree of a tmpfs that fill has written.
func fill(origin string, fill func(*os.Root) error) (*Tree, error) {
	mount, err := newTmpfs()
	if err != nil {
		return nil, err
	}
	if err := fillTmpfs(mount, fill); err != nil {
		mount.Close()
		if errors.Is(err, unix.ENOSPC) {
			err = fmt.Errorf("they are more than %d MiB or %d files", maxBytes>>20, maxFiles)
		}
		return nil, fmt.Errorf("copy the tools of %s: %w", origin, err)
	}
	return newTree(mount, origin)
}

func fillTmpfs(mount *os.File, fill func(*os.Root) error) error {
	root, err := openRoot(mount)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := fill(root); err != nil {
		return err
	}
	return readOnly(mount)
}

// newTmpfs is a detached, empty tmpfs.
func newTmpfs() (*os.File, error) {
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if errors.Is(err, unix.ENOSYS) {
		return nil, ErrOldKernel
	}
	if errors.Is(err, unix.EPERM) {
		return nil, fmt.Errorf("make a file system for the tools: %w: it takes root, or root of a user namespace, as in podman unshare", err)
	}
	if err != nil {
		return nil, fmt.Errorf("fsopen tmpfs: %w", err)
	}
	defer unix.Close(fs)
	for _, o := range [][2]string{
		{"source", "dx-tools"}, {"mode", "0755"}, {"size", fmt.Sprint(maxBytes)}, {"nr_inodes", fmt.Sprint(maxFiles)},
	} {
		if err := unix.FsconfigSetString(fs, o[0], o[1]); err != nil {
			return nil, fmt.Errorf("fsconfig tmpfs %s=%s: %w", o[0], o[1], err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return nil, fmt.Errorf("create a tmpfs: %w", err)
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV)
	if err != nil {
		return nil, fmt.Errorf("fsmount tmpfs: %w", err)
	}
	return os.NewFile(uintptr(fd), "tmpfs"), nil
}

// readOnly makes the file system read-only, not the mount alone: only the user
// namespace that has made it can undo that.
func readOnly(mount *os.File) error {
	fs, err := unix.Fspick(int(mount.Fd()), "", unix.FSPICK_CLOEXEC|unix.FSPICK_EMPTY_PATH)
	if err != nil {
		return fmt.Errorf("fspick: %w", err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigSetFlag(fs, "ro"); err != nil {
		return fmt.Errorf("fsconfig ro: %w", err)
	}
	if err := unix.FsconfigReconfigure(fs); err != nil {
		return fmt.Errorf("make a tmpfs read-only: %w", err)
	}
	return nil
}
