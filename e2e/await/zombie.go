package await

import (
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

// Zombie kills a command that was started, and returns once it has ended. It is the
// caller's to reap, by cmd.Wait.
func Zombie(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for {
		var si unix.Siginfo
		err := unix.Waitid(unix.P_PID, cmd.Process.Pid, &si, unix.WEXITED|unix.WNOWAIT, nil)
		switch err {
		case nil:
			return
		case unix.EINTR:
		default:
			t.Fatal(err)
		}
	}
}
