// Package await is how tests wait: for a condition, with a deadline so generous
// that a busy machine keeps it. How long something took is no condition.
package await

import (
	"os"
	"strconv"
	"testing"
	"time"
)

// Patience is the deadline, DX_TEST_PATIENCE times a minute: emulated machines are
// slow.
var Patience = factor() * time.Minute

const pause = 5 * time.Millisecond

func factor() time.Duration {
	if n, err := strconv.Atoi(os.Getenv("DX_TEST_PATIENCE")); err == nil && n > 0 {
		return time.Duration(n)
	}
	return 1
}

// Holds waits until the condition holds, and reports whether it does before
// patience ends. It may be called from any goroutine.
func Holds(condition func() bool) bool {
	for end := time.Now().Add(Patience); !condition(); time.Sleep(pause) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// Until waits until the condition holds, or ends the test. What is the condition in
// words: "the child has ended".
func Until(t testing.TB, what string, condition func() bool) {
	t.Helper()
	if !Holds(condition) {
		t.Fatalf("after %v it is still not so that %s", Patience, what)
	}
}

// Returns runs f and ends the test if f does not return. What f does in words:
// "the inspection".
func Returns(t testing.TB, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(Patience):
		t.Fatalf("%s does not return within %v", what, Patience)
	}
}
