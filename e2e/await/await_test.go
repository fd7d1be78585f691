package await

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		if !Holds(func() bool { asked++; return asked == 3 }) || asked != 3 {
			t.Errorf("asked %d times for what holds the third time", asked)
		}
		if Holds(func() bool { return false }) {
			t.Error("what never holds is said to hold")
		}
	})
}

// TestReturns: f may take its time, in the bubble's own clock.
func TestReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ran := false
		Returns(t, "a sleep", func() { time.Sleep(Patience / 2); ran = true })
		if !ran {
			t.Error("f was not waited for")
		}
	})
}
