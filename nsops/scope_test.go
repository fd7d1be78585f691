package nsops

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dx/e2e/await"
	"dx/nsops/proc"
)

func TestBelow(t *testing.T) {
	for _, c := range []struct {
		path, base string
		want       bool
	}{
		{"/docker/a", "/docker/a", true}, {"/docker/a/b", "/docker/a", true}, {"/docker/ab", "/docker/a", false},
		{"/docker", "/docker/a", false}, {"/x", "/", true}, {"/", "/", true}, {"/../docker/a", "/../docker/a", true},
	} {
		if got := Below(c.path, c.base); got != c.want {
			t.Errorf("%s below %s: %v", c.path, c.base, got)
		}
	}
}

// TestScopeOfTheCaller: what is like the caller has a scope of nothing.
func TestScopeOfTheCaller(t *testing.T) {
	self, err := proc.Self()
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	cgroups, err := self.Cgroups()
	if err != nil {
		t.Fatal(err)
	}
	s, err := ScopeOf(self, cgroups)
	if err != nil || !s.IsEmpty() {
		t.Errorf("the scope of what is like the caller is %+v, %v, want an empty one", s, err)
	}
}

// TestScopeOfAProcessThatEnds: one that has ended since it was opened is gone, whatever is
// missing of it.
func TestScopeOfAProcessThatEnds(t *testing.T) {
	cmd := exec.Command("sleep", "100000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	p, err := proc.Open(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	await.Zombie(t, cmd)
	if s, err := ScopeOf(p, nil); !errors.Is(err, proc.ErrGone) {
		t.Errorf("the scope of a zombie: %+v, %v, want ErrGone", s, err)
	}
}

// TestLineageOfPIDNamespaces: one in another, as the processes were started.
func TestLineageOfPIDNamespaces(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("making PID namespaces takes root")
	}
	script := `sleep 61 & unshare --fork --kill-child -p sleep 62 & echo ready; wait`
	outer := exec.Command("unshare", "--fork", "--kill-child", "-p", "sh", "-c", script)
	ready, err := outer.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := outer.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { outer.Process.Kill(); outer.Wait() }()
	if _, err := ready.Read(make([]byte, 16)); err != nil {
		t.Fatal(err)
	}
	init := waitForChild(t, outer.Process.Pid, "sh")
	p, err := proc.Open(init)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	cgroups, err := p.Cgroups()
	if err != nil {
		t.Fatal(err)
	}
	s, err := ScopeOf(p, cgroups)
	if err != nil || s.PID.IsZero() || len(s.Cgroups) != 0 {
		t.Fatalf("%+v %v", s, err)
	}
	nested := waitForChild(t, waitForChild(t, init, "unshare"), "sleep")
	own, err := Ancestors(p, PID)
	if err != nil || len(own) == 0 || own[0] != s.PID {
		t.Fatalf("the PID namespaces around %d are %v, %v, want %v first", init, own, err, s.PID)
	}
	inner := identified(t, nested)
	var l Lineage
	for pid, want := range map[int][]ID{
		init: own, waitForChild(t, init, "sleep"): own, waitForChild(t, init, "unshare"): own,
		nested: append([]ID{inner}, own...), os.Getpid(): own[1:], outer.Process.Pid: own[1:],
	} {
		if got := l.Around(identified(t, pid), pid); !slices.Equal(got, want) {
			t.Errorf("around %d are %v, want %v", pid, got, want)
		}
	}
}

// identified is a process's PID namespace, as stat(2) has it.
func identified(t *testing.T, pid int) ID {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(fmt.Sprintf("/proc/%d/ns/pid", pid), &st); err != nil {
		t.Fatal(err)
	}
	return IDOf(&st)
}

// waitForChild waits for a child with that name.
func waitForChild(t *testing.T, parent int, comm string) (pid int) {
	t.Helper()
	await.Until(t, fmt.Sprintf("pid %d has a child %s", parent, comm), func() bool {
		proc.Each(func(p *proc.Process) error {
			if st, err := p.Stat(); err == nil && st.PPID == parent && strings.TrimSpace(st.Comm) == comm {
				pid = p.PID
			}
			return nil
		})
		return pid != 0
	})
	return pid
}
