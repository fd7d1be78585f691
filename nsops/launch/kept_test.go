package launch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dx/e2e/await"
	"dx/nsops/proc"
)

// haveSibling is a command that starts a child of its own parent's, which ends with 7,
// and ends with 3 when the keeper has had time to see that.
func haveSibling() {
	pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, unix.CLONE_PARENT, 0, 0, 0, 0, 0)
	if errno != 0 {
		os.Exit(1)
	}
	if pid == 0 {
		_, _, _ = unix.RawSyscall(unix.SYS_EXIT_GROUP, 7, 0, 0)
	}
	time.Sleep(200 * time.Millisecond)
	os.Exit(3)
}

// A command's siblings are the keeper's children, too: none of them is the command.
func TestSiblingIsNotTheCommand(t *testing.T) {
	needRoot(t)
	self, err := filepath.Abs(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	plan := planFor(t, unshared(t, "--pid", "--mount-proc"), self)
	plan.Process.Env = append(plan.Process.Env, "DX_TEST_HELPER=sibling")
	out, status, err := runPlan(t, plan)
	if err != nil || !status.Exited() || status.ExitStatus() != 3 {
		t.Errorf("%q, %s, %v, want exit code 3", out, statusText(status), err)
	}
	checkNoChildren(t)
}

// A command has the timer slack of dx's caller, whichever thread of dx starts it.
func TestTimerSlackIsTheCallers(t *testing.T) {
	needRoot(t)
	plan := planFor(t, unshared(t, "--mount"), "cat", "/proc/self/timerslack_ns")
	plan.TimerSlack = proc.OwnTimerSlack
	joining, err := Compile(plan)
	if err != nil {
		t.Fatal(err)
	}
	making, err := CompileUnshare(&Unshare{Args: plan.Process.Args, Env: plan.Process.Env, Kernel: plan.Kernel, TimerSlack: plan.TimerSlack})
	if err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread() // without an unlock: the thread ends with the test
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(2*proc.OwnTimerSlack), 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	for name, prog := range map[string]*Program{"of a container": joining, "of new namespaces": making} {
		got, status, err := run(t, prog)
		if want := fmt.Sprintln(proc.OwnTimerSlack); err != nil || status != 0 || got != want {
			t.Errorf("%s: timer slack %q, status %#x, error %v, want %q", name, got, status, err, want)
		}
	}
}

// A keeper that has borne nobody when the start is given up bears nobody later.
func TestGivenUpBeforeBirth(t *testing.T) {
	needRoot(t)
	mark := filepath.Join(t.TempDir(), "ran")
	prog, err := Compile(planFor(t, unshared(t, "--mount"), "touch", mark))
	if err != nil {
		t.Fatal(err)
	}
	stop := &compiler{plan: &Plan{}}
	stop.stop("be slow")
	early := slices.IndexFunc(prog.Steps, func(s *Step) bool { return s.Name == "setsid" })
	prog.Steps = slices.Insert(prog.Steps, early, stop.steps...)
	ctx, cancel := context.WithCancel(context.Background())
	keeper := 0
	go func() {
		await.Holds(func() bool { keeper = stoppedChildOf(os.Getpid()); return keeper != 0 })
		cancel()
	}()
	null := devNull(t)
	if _, err := prog.Start(ctx, [3]*os.File{null, null, null}); !errors.Is(err, context.Canceled) {
		t.Errorf("a start that was cancelled before P was born: %v, want %v", err, context.Canceled)
	}
	_ = unix.Kill(keeper, unix.SIGCONT)
	await.Holds(func() bool { st, err := proc.StatOf(keeper); return err != nil || st.Dead() })
	if _, err := os.Stat(mark); err == nil {
		t.Error("the command ran after its start had been given up")
	}
	checkNoChildren(t)
}

// stoppedChildOf is the PID of a child that is stopped, or held by a tracer; 0: there is none.
func stoppedChildOf(parent int) int {
	pids, err := proc.PIDs()
	if err != nil {
		return 0
	}
	for _, pid := range pids {
		if st, err := proc.StatOf(pid); err == nil && st.PPID == parent && (st.State == 'T' || st.State == 't') {
			return pid
		}
	}
	return 0
}
