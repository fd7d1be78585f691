package tools

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// privately runs f on a thread with a mount namespace of its own, which nobody else
// sees and which ends with the thread, unless f keeps it.
func privately(f func() error) error {
	return onOwnThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
			return fmt.Errorf("make a mount namespace: %w", err)
		}
		// Slaves: what the host unmounts goes here, too, and is not kept busy.
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
			return fmt.Errorf("cut a mount namespace off the host's: %w", err)
		}
		return f()
	})
}

// onOwnThread runs f on a thread that ends with it. Not on the first one: that is
// what /proc/self shows, and it does not end.
func onOwnThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == os.Getpid() {
			done <- onOwnThread(f)
			runtime.UnlockOSThread()
			return
		}
		done <- f() // still locked: the thread ends here
	}()
	return <-done
}
