package host

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"dx/e2e/await"
	"dx/e2e/standin"
	"dx/nsops/proc"
)

// TestGlances: of a session that was begun in another PID namespace the leader is enough, and
// nobody else is left out: not who has a session of its own there, nor who is in dx's
// namespace, whoever has begun the session.
func TestGlances(t *testing.T) {
	standin.NeedRoot(t)
	const family = "sleep 100000 & sleep 100000 & setsid sleep 100000 & exec cat"
	there := session(t, family, unix.CLONE_NEWPID)
	here := session(t, family, 0)
	// In its session, and the first of a namespace right below dx's.
	born := standin.Start(t, &exec.Cmd{Path: "/bin/cat", SysProcAttr: &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID}})

	pids := slices.Concat([]int{there.PID, here.PID, born.PID}, childrenOf(t, there, 3), childrenOf(t, here, 3))
	own, err := os.Readlink("/proc/self/ns/pid")
	standin.Must(t, err)
	var mu sync.Mutex
	looked := map[int]bool{}
	oneByOne := func(tell func([]int) bool) {
		for _, pid := range pids {
			tell([]int{pid})
		}
	}
	seen := glances(oneByOne, func(pid int) glance {
		mu.Lock()
		defer mu.Unlock()
		looked[pid] = true
		return glanceAt(pid, own)
	})
	for _, pid := range pids {
		sid, err := unix.Getsid(pid)
		standin.Must(t, err)
		if want := sid != there.PID || pid == there.PID; looked[pid] != want {
			t.Errorf("pid %d, of session %d, is looked at: %v, want %v (there: %d, here: %d)", pid, sid, looked[pid], want, there.PID, here.PID)
		}
	}
	if want := len(pids) - 2; len(seen) != want || len(looked) != want {
		t.Errorf("%d are looked at and %d are told of, want %d: %v", len(looked), len(seen), want, looked)
	}
}

// TestHasNoProgram: kernel threads and zombies alone, which are no keepers.
func TestHasNoProgram(t *testing.T) {
	standin.NeedRoot(t)
	pids, err := proc.PIDs()
	standin.Must(t, err)
	kernel := 0
	for _, pid := range pids {
		got := hasNoProgram(pid)
		st, err := proc.StatOf(pid)
		if err != nil || st.Exiting() {
			continue // it has ended meanwhile
		}
		if want := st.Flags&proc.PFKthread != 0; got != want {
			t.Errorf("pid %d (%s) has no program: %v, want %v", pid, st.Comm, got, want)
		} else if want {
			kernel++
		}
	}
	t.Logf("%d kernel threads", kernel) // none, in a PID namespace of its own
}

// session runs a script in a session of its own.
func session(t *testing.T, script string, namespaces uintptr) *proc.Process {
	t.Helper()
	cmd := exec.Command("sh", "-c", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Cloneflags: namespaces}
	p := standin.Start(t, cmd)
	t.Cleanup(func() {
		children, _ := p.Children()
		for _, pid := range children {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	})
	return p
}

// childrenOf is the children of a process, once they are that many sleeps.
func childrenOf(t *testing.T, p *proc.Process, n int) []int {
	t.Helper()
	var out []int
	await.Until(t, "the children run", func() bool {
		children, err := p.Children()
		standin.Must(t, err)
		out = slices.DeleteFunc(children, func(pid int) bool {
			comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
			return string(comm) != "sleep\n"
		})
		return len(out) == n
	})
	return out
}
