package dockerx

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"dx/dockerx/host"
	"dx/e2e/await"
	"dx/e2e/fakeengine"
	"dx/e2e/standin"
	"dx/nsops/proc"
)

// madeShim is a shell that is called like containerd's shim and stands in a bundle, with
// two children: the init, as init.pid says, and one more.
type madeShim struct {
	id, bundle, state string
	init, other       int
}

// newShim has the shim start its children by these commands.
func newShim(t *testing.T, id, init, other string) *madeShim {
	t.Helper()
	root := t.TempDir()
	s := &madeShim{id: id, bundle: filepath.Join(root, "io.containerd.runtime.v2.task/moby", id), state: filepath.Join(root, "state/moby", id)}
	for _, dir := range []string{s.bundle, s.state} {
		must(t, os.MkdirAll(dir, 0o755))
	}
	s.write(t, s.bundle+"/options.json", `{"root":%q}`, root+"/state")
	shell, err := os.ReadFile("/bin/sh")
	must(t, err)
	program := filepath.Join(root, "containerd-shim-made-v2")
	must(t, os.WriteFile(program, shell, 0o755))
	cmd := exec.Command(program, "-c", fmt.Sprintf("%s & echo $!; %s & echo $!; read end; kill $(jobs -p)", init, other))
	cmd.Dir = s.bundle
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	r := bufio.NewReader(out)
	for _, pid := range []*int{&s.init, &s.other} {
		if _, err := fmt.Fscan(r, pid); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for _, pid := range []int{s.init, s.other} {
			if p, err := os.FindProcess(pid); err == nil {
				_ = p.Kill() // it may have ended
			}
		}
		in.Close()
		_ = cmd.Wait()
	})
	s.write(t, s.bundle+"/init.pid", "%d", s.init)
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (s *madeShim) write(t *testing.T, file, format string, args ...any) {
	t.Helper()
	must(t, os.WriteFile(file, fmt.Appendf(nil, format, args...), 0o644))
}

// says writes the runtime's state.
func (s *madeShim) says(t *testing.T, id string, pid int, start uint64) {
	t.Helper()
	s.write(t, s.state+"/state.json", `{"id":%q,"init_process_pid":%d,"init_process_start":%d}`, id, pid, start)
}

// mustVerify wants a claim to be refused with these words, or with none to hold by a proof
// that says so.
func mustVerify(t *testing.T, c initClaim, proof, refusal string) {
	t.Helper()
	v, err := verify(c)
	var stale *StaleError
	switch {
	case err == nil && refusal == "" && strings.Contains(v.proof, proof) && v.process.PID == c.pid:
	case errors.As(err, &stale) && refusal != "" && strings.Contains(stale.Reason, refusal):
	default:
		t.Errorf("pid %d as %s: %+v, %v; want the proof %q, or the refusal %q", c.pid, c.id, v, err, proof, refusal)
	}
	if err == nil {
		v.close()
	}
}

// TestVerifyByBundle: the shim's word is taken for the process that it names, and holds
// only while the runtime's state does not contradict it.
func TestVerifyByBundle(t *testing.T) {
	id, another := fakeengine.ID("5e1"), fakeengine.ID("5e2")
	s := newShim(t, id, "sleep 1000", "sleep 1000")
	start := startOf(t, s.init)
	const byBundle, byState = "init.pid names", "it started when the runtime's state says"

	mustVerify(t, initClaim{id: id, pid: s.init}, byBundle, "") // no state is left
	s.says(t, id, s.init, start)
	mustVerify(t, initClaim{id: id, pid: s.init}, byState, "")
	mustVerify(t, initClaim{id: another, pid: s.init}, "", "that is the init of container "+id)
	mustVerify(t, initClaim{id: id, pid: s.other}, "", "no shim serves it")
	s.says(t, id, s.init, start+1)
	mustVerify(t, initClaim{id: id, pid: s.init}, "", "that process started at tick")
	s.says(t, another, s.init, start)
	mustVerify(t, initClaim{id: id, pid: s.init}, "", "the runtime's state of it is that of "+another)
	mustVerify(t, initClaim{id: id, pid: 1 << 30}, "", "that process is gone")
	// Whoever is shown only is not verified less: no cgroup tells.
	mustVerify(t, initClaim{id: id, pid: s.other, shown: true}, "", "no shim serves it")
}

func startOf(t *testing.T, pid int) uint64 {
	t.Helper()
	p, err := proc.Open(pid)
	must(t, err)
	defer p.Close()
	return p.StartTime
}

// TestVerifyAgreesWithTheState: what the runtime has not noted contradicts nothing.
func TestVerifyAgreesWithTheState(t *testing.T) {
	c := initClaim{id: "web"}
	p := &proc.Process{PID: 7, StartTime: 100}
	for _, at := range []struct {
		state host.State
		ok    bool
	}{
		{host.State{}, true}, {host.State{ID: "web"}, true}, {host.State{InitStart: 100}, true},
		{host.State{ID: "db"}, false}, {host.State{InitStart: 99}, false}, {host.State{ID: "web", InitStart: 101}, false}, {host.State{ID: "db", InitStart: 100}, false},
	} {
		if err := c.agrees(p, &at.state); (err == nil) != at.ok {
			t.Errorf("%+v: %v, want it to agree: %v", at.state, err, at.ok)
		}
	}
}

// TestVerifyByCgroup: where no shim tells, the cgroup has to; where a shim is above, the
// runtime's state has to name the process as well.
func TestVerifyByCgroup(t *testing.T) {
	standin.NeedRoot(t)
	id, another := standin.ID(t, "5e3c"), fakeengine.ID("5e4")
	enter := "{ cd /; echo 0 >" + standin.Cgroup(t, id)[0] + "/cgroup.procs; exec unshare --pid --mount --fork --kill-child sleep 1000; }"
	s := newShim(t, id, "sleep 1000", enter)
	pid := childOf(t, s.other)
	start := startOf(t, pid)

	s.write(t, s.bundle+"/init.pid", "%d", s.init)
	s.says(t, id, pid, start)
	mustVerify(t, initClaim{id: id, pid: pid}, "the runtime's state names pid", "")
	const notInit = "that is not the init but another process of container %s"
	for what, says := range map[string]func(){
		"no state":      func() { must(t, os.Remove(s.state+"/state.json")) },
		"another":       func() { s.says(t, another, pid, start) },
		"another PID":   func() { s.says(t, id, s.other, start) },
		"another start": func() { s.says(t, id, pid, start+1) },
	} {
		t.Run(what, func(t *testing.T) {
			says()
			mustVerify(t, initClaim{id: id, pid: pid}, "", fmt.Sprintf(notInit, id))
		})
	}
	mustVerify(t, initClaim{id: another, pid: pid}, "", "does not hold the container's ID")
	// In dx's own PID namespace, it takes a file of root's to name it.
	hostPIDs := s.other
	s.says(t, id, hostPIDs, startOf(t, hostPIDs))
	mustVerify(t, initClaim{id: id, pid: hostPIDs}, "", "dx's own PID namespace")
	mustVerify(t, initClaim{id: id, pid: hostPIDs, recorded: true}, "the runtime's state names pid", "")
	mustVerify(t, initClaim{id: id, pid: hostPIDs, shown: true}, "the runtime's state names pid", "")
}

func childOf(t *testing.T, pid int) int {
	t.Helper()
	child := 0
	await.Until(t, fmt.Sprintf("pid %d has a child that sleeps", pid), func() bool {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
		child, _ = strconv.Atoi(strings.TrimSpace(string(b)))
		comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", child))
		return strings.TrimSpace(string(comm)) == "sleep"
	})
	return child
}
