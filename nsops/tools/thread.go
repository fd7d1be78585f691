package tools

import (
	"fmt"

	"golang.org/x/sys/unix"

	"dx/nsops"
)

// inPrivateMountNS runs f on a thread with a mount namespace of its own, which nobody else
// sees and which ends with the thread, unless f keeps it.
func inPrivateMountNS(f func() error) error {
	return nsops.OnOwnThread(func() error {
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
