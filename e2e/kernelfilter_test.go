package e2e

import (
	"bufio"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"dx/e2e/engine"
	"dx/nsops"
	"dx/nsops/seccomp"
)

// Filters that no bundle describes, or that no bundle should.

// orphan leaves containers without an engine and without a shim: nobody tells what
// their posture was. What has to be asked of docker comes before.
func orphan(t *testing.T, e *engine.Engine, containers ...engine.Container) {
	t.Helper()
	stopContainerd(t, e)
	stop(t, e.PID)
	for _, c := range containers {
		shim := parentOf(t, c.PID)
		if err := syscall.Kill(shim, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the shim of "+c.Name+" is gone", func() bool { return parentOf(t, c.PID) != shim })
	}
}

// withDxAlone is withDx where no engine answers.
func withDxAlone(t testing.TB, e *engine.Engine, c engine.Container, flags, command []string) engine.Result {
	t.Helper()
	return e.Do(t, engine.Command{Args: slices.Concat([]string{e.DxPath(t), "--source", "host", "exec"}, flags, []string{c.Name}, command)})
}

// TestExecOfAnOrphanHasItsFilter: what docker exec installed while it could, dx has
// from the kernel afterwards.
func TestExecOfAnOrphanHasItsFilter(t *testing.T) {
	e := suite.Start(t, engine.Options{})
	type orphaned struct {
		kind
		engine.Container
		filters seccomp.Filters
		calls   engine.Result
	}
	var list []orphaned
	for _, k := range filtered {
		o := orphaned{kind: k, Container: k.start(t, e)}
		o.filters = filterOf(t, e, o.Container, withDocker, "1001")
		o.calls = withDocker(t, e, o.Container, []string{"-u", "app"}, []string{"/prober", "calls"})
		list = append(list, o)
	}
	for _, o := range list {
		orphan(t, e, o.Container)
	}
	for _, o := range list {
		got := filterOf(t, e, o.Container, withDxAlone, "1002")
		if len(got) != len(o.filters) {
			t.Errorf("%s: docker's process had %d filters, dx's has %d", o.kind.name, len(o.filters), len(got))
		}
		for _, d := range filterDifferences(o.filters, got) {
			t.Errorf("%s: %s", o.kind.name, d)
		}
		calls := withDxAlone(t, e, o.Container, []string{"-u", "app"}, []string{"/prober", "calls"})
		if o.calls.Code != 0 || calls.Code != 0 {
			t.Errorf("%s: prober: docker %+v, dx %+v", o.kind.name, o.calls, calls)
		}
		for _, d := range factDifferences(o.calls.Stdout, calls.Stdout) {
			t.Errorf("%s: %s", o.kind.name, d)
		}
	}
}

// faker is the flags of docker run for a container with that init.
func faker(t *testing.T, more ...string) []string {
	t.Helper()
	return append([]string{"-v", suite.Build(t, "dx/e2e/attacker/faker") + ":/faker:ro", "--entrypoint", "/faker"}, more...)
}

// awaitFilters waits until a process has so many.
func awaitFilters(t *testing.T, pid, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("pid %d has %d filters", pid, n), func() bool { return len(installedFilters(t, pid)) == n })
}

// TestExecHasNoFilterOfInits: what init has installed itself is not the container's.
func TestExecHasNoFilterOfInits(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	for _, k := range []struct {
		flags []string
		want  int
	}{
		{[]string{"-e", "HONEST=1", "--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined"}, 1},
		{[]string{"-e", "HONEST=1", "-e", "NNP=1", "--security-opt", "seccomp=unconfined"}, 1},
		{[]string{"-e", "HONEST=1", "-e", "NNP=1"}, 2},
		{[]string{"--cap-add", "SYS_ADMIN"}, 3},
	} {
		c := e.Run(t, engine.Busybox, faker(t, k.flags...)...)
		awaitFilters(t, c.PID, k.want)
		same(t, e, c, nil, "grep", "^Seccomp", "/proc/self/status")
	}
}

// TestExecBesideAFilteredProcess: a process in no container has its filters, and so
// has what is started beside it.
func TestExecBesideAFilteredProcess(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	for _, env := range []string{"HONEST=1", "NNP=1"} {
		cmd := exec.Command("unshare", "--mount", suite.Build(t, "dx/e2e/attacker/faker"))
		cmd.Env = append(cmd.Environ(), env)
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready <nil>\n" {
			t.Fatalf("faker: %q, %v", line, err)
		}
		want := hostRun(t, "grep", "^Seccomp", fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
		got := e.Dx(t, "exec", fmt.Sprintf("pid:%d", cmd.Process.Pid), "grep", "^Seccomp", "/proc/self/status")
		if got != want {
			t.Errorf("%s: beside the process %+v, itself %+v", env, got, want)
		}
	}
}

// TestExecUnderAConfinedShim: what docker exec starts has the shim's filters beneath its
// own.
func TestExecUnderAConfinedShim(t *testing.T) {
	e := suite.Start(t, engine.Options{Under: []string{lookPath(t, "env"), "HONEST=1", suite.Build(t, "dx/e2e/attacker/faker")}})
	for _, k := range filtered {
		c := k.start(t, e)
		same(t, e, c, nil, "grep", "^Seccomp", "/proc/self/status")
		for _, flags := range k.execs {
			mustAnswerAlike(t, e, c, flags...)
		}
	}
}

// TestFilteredProcessGoesOn: reading its filters changes nothing for a process, in
// whatever state it is.
func TestFilteredProcessGoesOn(t *testing.T) {
	e := suite.Start(t, engine.Options{})
	c := e.Run(t, engine.Busybox)
	orphan(t, e, c)
	state := func() string {
		r := hostRun(t, "grep", "-E", "^(State|TracerPid|Threads)", fmt.Sprintf("/proc/%d/status", c.PID))
		return r.Stdout
	}
	for _, signal := range []syscall.Signal{syscall.SIGCONT, syscall.SIGSTOP} {
		if err := syscall.Kill(c.PID, signal); err != nil {
			t.Fatal(err)
		}
		want := map[syscall.Signal]string{syscall.SIGCONT: "S (sleeping)", syscall.SIGSTOP: "T (stopped)"}[signal]
		eventually(t, "init is in state "+want, func() bool { return strings.Contains(state(), want) })
		before := state()
		for range 5 {
			if r := e.Dx(t, "exec", c.Name, "true"); r.Code != 0 {
				t.Errorf("%s: %+v", want, r)
			}
		}
		eventually(t, "init is as it was", func() bool { return state() == before })
	}
}

// TestExecOfATracedOrphan: its filters cannot be read, and dx says so.
func TestExecOfATracedOrphan(t *testing.T) {
	e := suite.Start(t, engine.Options{})
	c := e.Run(t, engine.Busybox)
	orphan(t, e, c)
	seize(t, c.PID)
	r := e.Dx(t, "exec", c.Name, "true")
	for _, want := range []string{"traces it already", "--ignore-unknown-filter"} {
		if r.Code == 0 || !strings.Contains(r.Stderr, want) {
			t.Errorf("%+v, want %q", r, want)
		}
	}
	r = e.Dx(t, "exec", "--ignore-unknown-filter", c.Name, "grep", "^Seccomp:", "/proc/self/status")
	if r.Code != 0 || r.Stdout != "Seccomp:\t0\n" || !strings.Contains(r.Stderr, "without the seccomp filters") {
		t.Errorf("%+v, want no filter and a warning", r)
	}
}

// seize traces a process until the test ends.
func seize(t *testing.T, pid int) {
	t.Helper()
	tracing, end, ended := make(chan error), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		_ = nsops.OnOwnThread(func() error { // the tracer is this thread, and ends with it
			tracing <- unix.PtraceSeize(pid)
			<-end
			return nil
		})
	}()
	if err := <-tracing; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { close(end); <-ended })
}
