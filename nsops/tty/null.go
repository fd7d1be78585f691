package tty

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"dx/nsops/rootfs"
)

// openNull opens, for reading, the /dev/null that a process in the container gets.
//
// docker exec hands over the host's, and with it the right to change its mode and
// owner: fchmod works on any descriptor, and root in a container without a user
// namespace owns the inode. So it is the container's own, as in docker run; or,
// where that is no null device on a tmpfs, the host's on a read-only mount; or, where
// the kernel is older than 5.12 or dx is not root, the host's as docker gives it.
func openNull(root *rootfs.Root) (*os.File, error) {
	if f, err := containerNull(root); err == nil {
		return f, nil
	}
	if f, err := frozenNull(); err == nil {
		return f, nil
	}
	return os.Open(os.DevNull)
}

// containerNull looks before it opens: opening a foreign device or fifo can block
// or do things, and so can opening any file of a file system that asks a server. A
// tmpfs, which a devtmpfs is as well, asks nobody.
func containerNull(root *rootfs.Root) (*os.File, error) {
	f, st, err := root.Open("/dev/null")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != unix.Mkdev(1, 3) || st.FS.Type != unix.TMPFS_MAGIC {
		return nil, fmt.Errorf("/dev/null of the container is not the null device, or on no tmpfs")
	}
	return reopen(f, unix.O_RDONLY)
}

// frozenNull opens the host's /dev/null through a detached mount that is
// read-only: a device can still be used there, chmod and chown fail.
func frozenNull() (*os.File, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, os.DevNull, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return nil, err
	}
	tree := os.NewFile(uintptr(fd), os.DevNull)
	defer tree.Close()
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		return nil, err
	}
	return reopen(tree, unix.O_RDONLY)
}
