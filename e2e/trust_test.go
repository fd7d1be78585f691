package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"dx/e2e/engine"
)

// TestRootInABundle: a process of root's that stands in a container's bundle, as a shell
// or a logger may, is no shim, and makes nothing ambiguous.
func TestRootInABundle(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox)
	cmd := exec.Command("sleep", "4242")
	cmd.Dir = fmt.Sprintf("/proc/%d/cwd", parentOf(t, c.PID))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	getsIn(t, e, c, "--source", "host")
	if r := e.Dx(t, "--source", "host", "exec", c.Name, "true"); r.Stderr != "" {
		t.Errorf("a word is said about root's own process: %+v", r)
	}
}

// TestDebugTellsTheProof: who was believed, and why.
func TestDebugTellsTheProof(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox)
	for _, source := range []string{"engine", "host"} {
		r := e.Dx(t, "--source", source, "exec", "--debug", c.Name, "true")
		shim := fmt.Sprintf("pid %d", parentOf(t, c.PID))
		if !strings.Contains(r.Stderr, "believed: ") || !strings.Contains(r.Stderr, fmt.Sprintf("pid %d ", c.PID)) || !strings.Contains(r.Stderr, shim) {
			t.Errorf("--source %s exec --debug: %+v, want the init, and its shim (%s)", source, r, shim)
		}
	}
}

// TestOrphanThatHasEnded: where Docker has written down that a container does not run, or
// that another process is its init, one without a shim is not entered by its cgroup.
func TestOrphanThatHasEnded(t *testing.T) {
	for was, is := range map[string]string{`"Running":true`: `"Running":false`, `"Pid":`: `"Pid":1`} {
		t.Run(is, func(t *testing.T) {
			e := suite.Start(t, engine.Options{})
			c := e.Run(t, engine.Busybox, "--security-opt", "seccomp=unconfined")
			orphan(t, e, c)
			if r := e.Dx(t, "--source", "host", "exec", c.Name, "true"); r.Code != 0 {
				t.Fatalf("before Docker has written anything else: %+v", r)
			}
			file := e.Dir + "/data/containers/" + c.ID + "/config.v2.json"
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(b), was) {
				t.Fatalf("%s has no %s", file, was)
			}
			if err := os.WriteFile(file, []byte(strings.Replace(string(b), was, is, 1)), 0o600); err != nil {
				t.Fatal(err)
			}
			r := e.Dx(t, "--source", "host", "exec", c.Name, "true")
			if r.Code != 1 || !strings.Contains(r.Stderr, "is not running") {
				t.Errorf("exec: %+v, want \"is not running\"", r)
			}
		})
	}
}
