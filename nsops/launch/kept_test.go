package launch

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// haveSibling is a command that starts a child of its own parent's, which ends with 7,
// and ends with 3 when the keeper has had time to see that.
func haveSibling() {
	pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, unix.CLONE_PARENT, 0, 0, 0, 0, 0)
	if errno != 0 {
		os.Exit(1)
	}
	if pid == 0 {
		_, _, _ = unix.RawSyscall(unix.SYS_EXIT_GROUP, 7, 0, 0)
	}
	time.Sleep(200 * time.Millisecond)
	os.Exit(3)
}

// A command's siblings are the keeper's children, too: none of them is the command.
func TestSiblingIsNotTheCommand(t *testing.T) {
	needRoot(t)
	self, err := filepath.Abs(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	plan := planFor(t, unshared(t, "--pid", "--mount-proc"), self)
	plan.Process.Env = append(plan.Process.Env, "DX_TEST_HELPER=sibling")
	out, status, err := runPlan(t, plan)
	if err != nil || !status.Exited() || status.ExitStatus() != 3 {
		t.Errorf("%q, %s, %v, want exit code 3", out, statusText(status), err)
	}
	checkNoChildren(t)
}
