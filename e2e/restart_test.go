package e2e

import (
	"strings"
	"testing"

	"dx/e2e/engine"
)

// TestRestartIsNotAmbiguous: while a container is restarted, the shim of the run before
// and its helpers stand in bundles of the same name. They are one container.
func TestRestartIsNotAmbiguous(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 20 {
			if out, err := e.Command(t.Context(), "docker", "restart", "-t", "0", c.Name).CombinedOutput(); err != nil {
				t.Errorf("docker restart: %v\n%s", err, out)
			}
		}
	}()
	entered := 0
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		r := e.Dx(t, "--source", "host", "exec", c.Name, "cat", "/proc/sys/kernel/hostname")
		switch {
		case strings.Contains(r.Stderr, "multiple IDs"):
			t.Errorf("one container is several: %+v", r)
		case r.Code == 0 && strings.TrimSpace(r.Stdout) == c.ID[:12]:
			entered++
		}
	}
	if entered == 0 {
		t.Error("the container was never entered")
	}
}
