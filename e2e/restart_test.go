package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dx/e2e/await"
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

// TestVisitorOfABundle: root's processes that stand in a container's bundle, as whoever has
// gone there to look and what a shim has started do, are no container of that name.
func TestVisitorOfABundle(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox)
	bundle := fmt.Sprintf("%s/exec/containerd/daemon/io.containerd.runtime.v2.task/moby/%s", e.Dir, c.ID)
	shim := filepath.Join(t.TempDir(), "containerd-shim-runc-v2")
	copyProgram(t, "sh", shim, 0o755)
	visitors := []int{
		e.Spawn(t, "sh", "-c", "cd "+bundle+" && exec sleep 424242"),
		e.Spawn(t, shim, "-c", "cd "+bundle+" && while :; do sleep 424242; done"),
	}
	await.Until(t, "they stand in the bundle", func() bool {
		for _, pid := range visitors {
			if at, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); err != nil || at != bundle {
				return false
			}
		}
		return true
	})
	for _, ref := range []string{c.ID, c.ID[:12], c.Name} {
		r := e.Dx(t, "--source", "host", "exec", ref, "cat", "/proc/sys/kernel/hostname")
		if r.Code != 0 || strings.TrimSpace(r.Stdout) != c.ID[:12] {
			t.Errorf("exec in %s beside visitors of its bundle: %v, want its hostname %s", ref, r, c.ID[:12])
		}
	}
	r := e.Dx(t, "--source", "host", "ps", "--no-trunc", "-q")
	if n := strings.Count(r.Stdout, c.ID); r.Code != 0 || n != 1 {
		t.Errorf("ps lists it %d times, want once: %v", n, r)
	}
}
