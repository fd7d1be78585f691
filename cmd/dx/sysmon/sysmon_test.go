package sysmon

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"dx/e2e/standin"
)

func slackOf(t *testing.T, tid int) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/timerslack_ns", tid))
	standin.Must(t, err)
	return strings.TrimSpace(string(b))
}

func TestMonitorHasSlack(t *testing.T) {
	standin.NeedRoot(t)
	tid := thread()
	if tid == 0 {
		t.Skip("the thread's number is not near the process's: others came in between")
	}
	if got := slackOf(t, tid); got != slack {
		t.Errorf("timer slack of thread %d: %s ns, want %s", tid, got, slack)
	}
}

// TestAnotherProc: in a new PID namespace with the /proc of the old one, the thread's number
// there is another process's.
func TestAnotherProc(t *testing.T) {
	standin.NeedRoot(t)
	const inside = "DX_TEST_ANOTHER_PROC"
	if os.Getenv(inside) == "" {
		self, err := os.Executable()
		standin.Must(t, err)
		cmd := exec.Command("unshare", "--pid", "--fork", self, "-test.run", "^TestAnotherProc$")
		cmd.Env = append(os.Environ(), inside+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v:\n%s", err, out)
		}
		return
	}
	tid := thread()
	if _, err := os.Stat(fmt.Sprintf("/proc/%d", tid)); tid == 0 || err != nil {
		t.Skipf("nobody has the number %d", tid)
	}
	if got := slackOf(t, tid); got == slack {
		t.Errorf("pid %d, another process, has the timer slack of dx's monitor", tid)
	}
}
