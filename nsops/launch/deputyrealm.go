package launch

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// enter gives up the rights of dx for those of a user namespace's root. EPERM of setgroups:
// dx runs for a plain user, who has that user's groups.
func (p *deputyProcess) enter(realm *os.File) error {
	c := &Call{p: p, patience: Patience, deadline: time.Now().Add(Patience)}
	fd, err := c.Give(realm)
	if err != nil {
		return err
	}
	if _, err := c.Syscall(unix.SYS_SETGROUPS, 0, 0); err != nil && !errors.Is(err, unix.EPERM) {
		return fmt.Errorf("leave dx's groups: %w", err)
	}
	for _, call := range []struct {
		doing string
		nr    uintptr
		args  []uint64
	}{
		{"join the user namespace", unix.SYS_SETNS, []uint64{uint64(fd), unix.CLONE_NEWUSER}},
		{"become its root's group", unix.SYS_SETRESGID, []uint64{0, 0, 0}},
		{"become its root", unix.SYS_SETRESUID, []uint64{0, 0, 0}},
		{"close it", unix.SYS_CLOSE, []uint64{uint64(fd)}},
	} {
		if _, err := c.Syscall(call.nr, call.args...); err != nil {
			return fmt.Errorf("%s: %w", call.doing, err)
		}
	}
	return nil
}
