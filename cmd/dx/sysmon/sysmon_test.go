package sysmon

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"dx/e2e/standin"
)

// TestOneThread: what is started by any other thread inherits the kernel's usual slack.
func TestOneThread(t *testing.T) {
	standin.NeedRoot(t)
	threads, err := os.ReadDir("/proc/self/task")
	standin.Must(t, err)
	var slack []string
	for _, thread := range threads {
		text, err := os.ReadFile("/proc/" + thread.Name() + "/timerslack_ns")
		standin.Must(t, err)
		if own := strings.TrimSpace(string(text)); own != "50000" {
			slack = append(slack, thread.Name()+" "+own)
		}
	}
	if want := strconv.Itoa(thread()) + " 250000"; len(slack) != 1 || slack[0] != want {
		t.Errorf("other than 50000 ns: %q, want %q", slack, want)
	}
}
