package sysmon

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"dx/e2e/standin"
)

// TestOneThread: what is started by any other thread inherits the slack that dx has itself.
func TestOneThread(t *testing.T) {
	standin.NeedRoot(t)
	usual, err := slackOf("self")
	standin.Must(t, err)
	threads, err := os.ReadDir("/proc/self/task")
	standin.Must(t, err)
	var other, want []string
	for _, thread := range threads {
		if own, err := slackOf(thread.Name()); err == nil && own != usual {
			other = append(other, thread.Name()+" "+own)
		}
	}
	if tid := thread(); tid != 0 { // else the machine is busy, and the thread was not near
		want = []string{strconv.Itoa(tid) + " " + slack}
	}
	if !slices.Equal(other, want) {
		t.Errorf("other than %s ns: %q, want %q", usual, other, want)
	}
}

func slackOf(thread string) (string, error) {
	text, err := os.ReadFile("/proc/" + thread + "/timerslack_ns")
	return strings.TrimSpace(string(text)), err
}
