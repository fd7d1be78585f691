package dockerx

import (
	"context"
	"errors"
	"strings"
	"testing"

	"dx/nsops/proc"
)

func TestHost(t *testing.T) {
	r, err := NewResolver(Options{Host: "unix:///nonexistent"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c, err := r.Resolve(context.Background(), "host")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.Process.PID != 1 || c.Name != "host" || c.Paused() {
		t.Errorf("host is %+v, want pid 1, not paused", c)
	}
	for _, ref := range []string{"pid:", "pid:0", "pid:-1", "pid:x", "pid:99999999999"} {
		if _, err := r.Resolve(context.Background(), ref); err == nil || !strings.Contains(err.Error(), "is not a process number") {
			t.Errorf("%s: %v, want that it is no process number", ref, err)
		}
	}
	if _, err := r.Resolve(context.Background(), "pid:2147483647"); !errors.Is(err, proc.ErrGone) {
		t.Errorf("%v, want a process that is gone", err)
	}
}
