package dockerx

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"dx/dockerx/internal/testengine"
	"dx/e2e/await"
	"dx/nsops/cgroup"
)

func isA[T error](err error) bool {
	var target T
	return errors.As(err, &target)
}

func TestResolveReferences(t *testing.T) {
	e := requireEngine(t)
	r := e.resolver()
	name := e.Run(testengine.Default...)
	id, pid := e.Inspect(name, "{{.Id}}"), e.Inspect(name, "{{.State.Pid}}")
	for _, ref := range []string{name, "/" + name, id, id[:12]} {
		c, err := r.Resolve(context.Background(), ref)
		if err != nil {
			t.Fatalf("%s: %v", ref, err)
		}
		if c.ID != id || c.Name != name || fmt.Sprint(c.Process.PID) != pid || c.Ref != ref {
			t.Errorf("%s: %s %s pid %d, want %s %s pid %s", ref, c.ID, c.Name, c.Process.PID, id, name, pid)
		}
		c.Close()
	}
	for _, ref := range []string{name[:len(name)-1], strings.ToUpper(id[:12]), id + "0", "../images/json?x", ""} {
		if c, err := r.Resolve(context.Background(), ref); !isA[*NotFoundError](err) {
			t.Errorf("%q: %v, %v, want no such container", ref, c, err)
		}
	}
}

func TestResolveNameBeforePrefix(t *testing.T) {
	e := requireEngine(t)
	first := e.Run(testengine.Default...)
	short := e.Inspect(first, "{{.Id}}")[:6]
	second := e.RunNamed(short, testengine.Default...)
	c, err := e.resolver().Resolve(context.Background(), short)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if want := e.Inspect("/"+second, "{{.Id}}"); c.ID != want {
		t.Errorf("%s is %s, docker inspect says %s", short, c.ID, want)
	}
}

func TestResolveAmbiguousPrefix(t *testing.T) {
	e := requireEngine(t)
	seen := map[byte]bool{}
	for i := range 17 { // two of them begin with the same of 16 digits
		name := fmt.Sprintf("dxtest-many-%d-%d", os.Getpid(), i)
		id, err := e.Command("create", "--name", name, "dx-test", "/bin/busybox").Output()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { e.Docker("rm", "-f", name) })
		if seen[id[0]] {
			e.ambiguous(string(id[:1]))
			return
		}
		seen[id[0]] = true
	}
	t.Fatal("17 IDs begin with 17 different digits")
}

func (e testEngine) ambiguous(prefix string) {
	_, err := e.resolver().Resolve(context.Background(), prefix)
	if !isA[*AmbiguousError](err) {
		e.T.Fatalf("%s: %v, want an ambiguous prefix", prefix, err)
	}
	out, _ := e.Docker("exec", prefix, "true")
	if !strings.Contains(strings.ToLower(out), strings.ToLower(err.Error())) {
		e.T.Errorf("dx says %q, docker %q", err, out)
	}
}

func TestResolveStates(t *testing.T) {
	e := requireEngine(t)
	r := e.resolver()
	stopped := e.Run("dx-test", "/bin/busybox", "true")
	e.Must("wait", stopped)
	created := stopped + "-created"
	e.Must("create", "--name", created, "dx-test", "/bin/busybox", "true")
	t.Cleanup(func() { e.Docker("rm", "-f", created) })
	restarting := e.Run("--restart", "always", "dx-test", "/bin/busybox", "false")
	// Between two restarts it runs; dockerd doubles its pause at each, so that sooner
	// or later both answers fall into one.
	for name, want := range map[string]State{stopped: NotRunning, created: NotRunning, restarting: Restarting} {
		var err error
		var out string
		agree := func() bool {
			_, err = r.Resolve(context.Background(), name)
			out, _ = e.Docker("exec", name, "true")
			var state *StateError
			return errors.As(err, &state) && state.State == want && strings.Contains(strings.ToLower(out), strings.ToLower(err.Error()))
		}
		if !await.Holds(agree) {
			t.Errorf("of %s dx says %v, docker %q, want both to say that it is %s", name, err, out, want)
		}
	}
}

func TestResolvePaused(t *testing.T) {
	e := requireEngine(t)
	r := e.resolver()
	name := e.Run(testengine.Default...)
	for _, paused := range []bool{false, true} {
		if paused {
			e.Must("pause", name)
			defer e.Must("unpause", name)
		}
		c, err := r.Resolve(context.Background(), name)
		if err != nil {
			t.Fatal(err)
		}
		dirs, err := cgroup.Dirs(c.Process)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, known := cgroup.Freezer(dirs); !known {
			t.Error("no cgroup of the container has a freezer, want one that tells whether it is paused")
		}
		if c.Paused() != paused {
			t.Errorf("Paused is %v, want %v", c.Paused(), paused)
		}
		c.Close()
	}
}

func TestRunningEqualsDockerPs(t *testing.T) {
	e := requireEngine(t)
	var own []string
	for range 3 {
		own = append(own, e.Run(testengine.Default...))
	}
	list, err := e.resolver().Running(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range list {
		got = append(got, c.ID+" "+c.Name)
		c.Close()
	}
	want := strings.Split(strings.TrimSpace(e.Must("ps", "--no-trunc", "--format", "{{.ID}} {{.Names}}")), "\n")
	// Tests of other packages start and stop containers meanwhile.
	others := func(line string) bool { return !slices.Contains(own, strings.Fields(line)[1]) }
	got, want = slices.DeleteFunc(got, others), slices.DeleteFunc(want, others)
	if !slices.Equal(got, want) || len(want) != len(own) {
		t.Errorf("Running: %v, docker ps: %v, want the same %d", got, want, len(own))
	}
}

// What an engine may say and must not be believed.
func TestVerifyRefuses(t *testing.T) {
	e := requireEngine(t)
	name, other := e.Run(testengine.Default...), e.Run(testengine.Default...)
	id := e.Inspect(name, "{{.Id}}")
	pid := func(name string) int {
		n, err := strconv.Atoi(e.Inspect(name, "{{.State.Pid}}"))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	dead := exec.Command("/bin/busybox", "true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	child := e.childOf(name)
	for what, c := range map[string]struct {
		pid    int
		reason string
	}{
		"a host process":    {os.Getpid(), "no shim serves it"},
		"the host's init":   {1, "no shim serves it"},
		"another container": {pid(other), "init of container " + e.Inspect(other, "{{.Id}}")},
		"a dead process":    {dead.Process.Pid, "gone"},
		"not its init":      {child, "another process of container " + id},
	} {
		p, err := verify(initClaim{ref: name, id: id, pid: c.pid, source: SourceEngine})
		if !isA[*StaleError](err) || !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%s: %v, %v; want a refusal because %q", what, p, err, c.reason)
		}
	}
	p, err := verify(initClaim{ref: name, id: id, pid: pid(name), source: SourceEngine})
	if err != nil {
		t.Fatal(err)
	}
	p.close()
}

// childOf starts a process by docker exec and returns its number.
func (e testEngine) childOf(name string) int {
	e.T.Helper()
	e.Must("exec", "-d", name, "/bin/busybox", "sleep", "3000")
	out := e.Must("top", name, "-o", "pid,args")
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); strings.Contains(line, "3000") {
			n, err := strconv.Atoi(f[0])
			if err != nil {
				e.T.Fatal(err)
			}
			return n
		}
	}
	e.T.Fatalf("no such process: %s", out)
	return 0
}
