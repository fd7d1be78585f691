package sysmon

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"dx/e2e/standin"
)

func TestMonitorHasSlack(t *testing.T) {
	standin.NeedRoot(t)
	tid := thread()
	if tid == 0 {
		t.Skip("the thread's number is not near the process's: others came in between")
	}
	got, err := os.ReadFile(fmt.Sprintf("/proc/%d/timerslack_ns", tid))
	standin.Must(t, err)
	if got := strings.TrimSpace(string(got)); got != slack {
		t.Errorf("timer slack of thread %d: %s ns, want %s", tid, got, slack)
	}
}
