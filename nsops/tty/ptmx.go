package tty

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"dx/nsops/rootfs"
)

// ErrNoDevpts says that the container has no usable devpts at /dev/pts, so that
// no process in it can have a terminal of its own.
var ErrNoDevpts = errors.New("no devpts at /dev/pts of the container")

// The inode of ptmx in every devpts instance, and its device number
// (fs/devpts/inode.c, Documentation/admin-guide/devices.txt).
const ptmxInode = 2

var ptmxDevice = unix.Mkdev(5, 2)

// OpenPTY opens a new terminal of the container's devpts: its master, and the peer
// that becomes the process's terminal. Both files are close-on-exec and become
// nobody's controlling terminal.
//
// Whatever the container has put at /dev/pts/ptmx is looked at before it is opened
// (CVE-2025-52565), and the peer is opened through the master, never by a name in
// the container.
func OpenPTY(root *rootfs.Root) (master, peer *os.File, err error) {
	ptmx, info, err := root.Open("/dev/pts/ptmx")
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrNoDevpts, err)
	}
	defer ptmx.Close()
	if err := checkPtmx(info); err != nil {
		return nil, nil, err
	}
	master, err = reopen(ptmx, unix.O_RDWR|unix.O_NOCTTY)
	if err != nil {
		return nil, nil, fmt.Errorf("open /dev/pts/ptmx of the container: %w", err)
	}
	if peer, err = openPeer(master); err != nil {
		master.Close()
		return nil, nil, err
	}
	return master, peer, nil
}

// checkPtmx also says that a kernel's file system is asked from here on.
func checkPtmx(st rootfs.Info) error {
	if st.FS.Type != unix.DEVPTS_SUPER_MAGIC {
		return fmt.Errorf("%w: ptmx lies on another filesystem (magic %#x)", ErrNoDevpts, st.FS.Type)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Ino != ptmxInode || st.Rdev != ptmxDevice {
		return fmt.Errorf("%w: ptmx is inode %d with device %d:%d, want inode %d with device 5:2",
			ErrNoDevpts, st.Ino, unix.Major(st.Rdev), unix.Minor(st.Rdev), ptmxInode)
	}
	return nil
}

// openPeer unlocks the terminal and opens its other side. TIOCGPTPEER (Linux 4.13)
// opens it in the devpts instance and mount of the master.
func openPeer(master *os.File) (*os.File, error) {
	fd := master.Fd()
	if err := unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err != nil {
		return nil, fmt.Errorf("unlock the container's terminal: %w", err)
	}
	peer, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	runtime.KeepAlive(master)
	if errno != 0 {
		return nil, fmt.Errorf("open the peer of the container's terminal: %w", errno)
	}
	return os.NewFile(peer, "container's terminal"), nil
}
