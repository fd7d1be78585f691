package tty

import (
	"os"

	"golang.org/x/sys/unix"
)

// InForeground reports whether the caller's process group is the one to which its
// terminal sends the signals of its keys (tty_ioctl(4), TIOCGPGRP).
func InForeground() bool {
	t, err := os.OpenFile("/dev/tty", os.O_RDONLY|unix.O_NOCTTY, 0)
	if err != nil {
		return false // no terminal
	}
	defer t.Close()
	group, err := unix.IoctlGetInt(int(t.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}
