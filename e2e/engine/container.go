package engine

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Container is a container of an engine.
type Container struct {
	Name string
	ID   string
	PID  int // of its init; 0 when created only
}

// Name is a container name that no engine on this host has given out yet: with no
// engine to ask, dx finds those of all.
func (e *Engine) Name(hint string) string {
	return fmt.Sprintf("%s-%s-%d", hint, strings.TrimPrefix(filepath.Base(e.Dir), "dxe-"), e.names.Add(1))
}

// Run starts a container of the image with flags of docker run, and removes it
// at the end of the test. Without a command it sleeps.
func (e *Engine) Run(t testing.TB, image string, flags ...string) Container {
	t.Helper()
	name := e.Name("c")
	r := e.Docker(t, slices.Concat([]string{"run", "-d", "--name", name}, flags, []string{image})...)
	e.removeAfter(t, name)
	if r.Code != 0 {
		t.Fatalf("docker run %q: exit %d: %s", flags, r.Code, r.Stderr)
	}
	c := Container{Name: name, ID: strings.TrimSpace(r.Stdout)}
	c.PID = e.pidOf(t, name)
	return c
}

// Create makes a container without starting it.
func (e *Engine) Create(t testing.TB, image string, flags ...string) Container {
	t.Helper()
	name := e.Name("c")
	r := e.Docker(t, slices.Concat([]string{"create", "--name", name}, flags, []string{image})...)
	if r.Code != 0 {
		t.Fatalf("docker create %q: exit %d: %s", flags, r.Code, r.Stderr)
	}
	e.removeAfter(t, name)
	return Container{Name: name, ID: strings.TrimSpace(r.Stdout)}
}

func (e *Engine) pidOf(t testing.TB, name string) int {
	t.Helper()
	r := e.Docker(t, "inspect", "-f", "{{.State.Pid}}", name)
	pid, err := strconv.Atoi(strings.TrimSpace(r.Stdout))
	if err != nil || pid == 0 {
		t.Fatalf("pid of %s: %q %s", name, r.Stdout, r.Stderr)
	}
	awaitExec(t, pid)
	return pid
}

// awaitExec waits until a container's init is its program: docker run -d returns
// when the runtime's own init ("runc:[2:INIT]") has been let go.
func awaitExec(t testing.TB, pid int) {
	t.Helper()
	for end := time.Now().Add(commandTime); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if err != nil || !strings.HasPrefix(string(comm), "runc:[") {
			return // gone is a start that has been, too
		}
	}
	t.Fatalf("pid %d is still the runtime's after %v", pid, commandTime)
}

func (e *Engine) removeAfter(t testing.TB, name string) {
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), commandTime)
		defer cancel()
		for {
			b, err := e.Command(ctx, "docker", "rm", "-f", "-v", name).CombinedOutput()
			// dockerd waits ten seconds, which a busy machine takes.
			if err != nil && ctx.Err() == nil && strings.Contains(string(b), "did not receive an exit event") {
				continue
			}
			if err != nil {
				t.Errorf("docker rm %s: %v: %s", name, err, b)
			}
			return
		}
	})
}

// MustDocker is Docker for a step of which the test needs that it succeeds: the test
// ends there if it does not.
func (e *Engine) MustDocker(t testing.TB, args ...string) Result {
	t.Helper()
	r := e.Docker(t, args...)
	if r.Code != 0 {
		t.Fatalf("docker %q is part of this test, and failed: %v", args, r)
	}
	return r
}

// KillContainer kills a container and waits until it has ended: dockerd gives up a wait of its own
// on a busy machine ("did not receive an exit event"), after it has sent the signal.
func (e *Engine) KillContainer(t testing.TB, name string) {
	t.Helper()
	killed := e.Docker(t, "kill", name)
	if ended := e.Docker(t, "wait", name); strings.TrimSpace(ended.Stdout) != "137" {
		t.Fatalf("docker kill %s is part of this test, and failed: %v; docker wait: %v", name, killed, ended)
	}
}

// KnownIDs are the IDs of all containers that the engine keeps, running or not.
func (e *Engine) KnownIDs() []string {
	names, _ := filepath.Glob(filepath.Join(e.Dir, "data/containers/*"))
	for i := range names {
		names[i] = filepath.Base(names[i])
	}
	return names
}
