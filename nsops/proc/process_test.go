package proc

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"dx/e2e/await"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// start runs a sleep that the test ends.
func start(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { reap(cmd) })
	return cmd
}

func reap(cmd *exec.Cmd) {
	cmd.Process.Kill()
	cmd.Wait()
}

func openPID(t *testing.T, pid int) *Process {
	t.Helper()
	checkFDs(t)
	p, err := Open(pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// checkFDs fails the test if it ends with more descriptors than it began with.
func checkFDs(t *testing.T) {
	t.Helper()
	before := countFDs(t)
	t.Cleanup(func() {
		if after := countFDs(t); after > before {
			t.Errorf("%d descriptors, %d when the test began", after, before)
		}
	})
}

func countFDs(t *testing.T) int {
	t.Helper()
	fds, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	return len(fds)
}

// What a pidfd tells is what status tells, and nothing once the process is gone.
func TestUIDs(t *testing.T) {
	const helper = "DX_TEST_HELPER=uids"
	if slices.Contains(os.Environ(), helper) {
		if err := unix.Setresuid(1, 2, 3); err != nil {
			t.Fatal(err)
		}
		fmt.Println()
		_, _ = os.Stdin.Read(make([]byte, 1))
		os.Exit(0)
	}
	if os.Geteuid() != 0 {
		t.Skip("other uids need root")
	}
	cmd := exec.Command("/proc/self/exe", "-test.run", "^TestUIDs$")
	cmd.Env = append(os.Environ(), helper)
	stdin, err := cmd.StdinPipe()
	must(t, err)
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	if _, err := stdout.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	p, err := OpenDir(cmd.Process.Pid)
	must(t, err)
	defer p.Close()
	st, err := p.Status()
	must(t, err)
	got, ok := p.UIDs()
	stdin.Close()
	must(t, cmd.Wait())
	if pidfdsAreMute.Load() {
		t.Skip("pidfds of this kernel do not tell")
	}
	if want := [4]uint32{1, 2, 3, 2}; !ok || got != want || st.UID != want {
		t.Errorf("%v, %v, and status says %v, want %v", got, ok, st.UID, want)
	}
	p.PID = os.Getpid() // as if its number were another's now
	if got, ok := p.UIDs(); ok {
		t.Errorf("one that has ended has the uids %v", got)
	}
}

// A /proc of another PID namespace has other processes under dx's numbers.
func TestSelfInAnotherProc(t *testing.T) {
	const helper = "DX_TEST_HELPER=self"
	if slices.Contains(os.Environ(), helper) {
		_, err := Self()
		fmt.Print(err)
		os.Exit(0)
	}
	if os.Geteuid() != 0 {
		t.Skip("a PID namespace needs root")
	}
	cmd := exec.Command("/proc/self/exe", "-test.run", "^TestSelfInAnotherProc$")
	cmd.Env = append(os.Environ(), helper)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "another PID namespace") || !strings.Contains(string(out), "and not 1;") {
		t.Errorf("%v, %s", err, out)
	}
}

func TestOpenSelf(t *testing.T) {
	checkFDs(t)
	if p, err := Self(); err != nil || p.PID != os.Getpid() {
		t.Errorf("Self is %+v, %v", p, err)
	}
	p, err := Open(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if p.PID != os.Getpid() || p.StartTime == 0 {
		t.Errorf("pid %d, start time %d", p.PID, p.StartTime)
	}
	if err := p.Alive(); err != nil {
		t.Error(err)
	}
	root, err := p.Readlink("root")
	if err != nil || root != "/" {
		t.Errorf("root %q, %v", root, err)
	}
}

func TestOpenWhatIsNoProcess(t *testing.T) {
	checkFDs(t)
	dead := start(t)
	reap(dead)
	zombie := start(t)
	await.Zombie(t, zombie)
	for name, pid := range map[string]int{
		"zero": 0, "negative": -7, "beyond pid_max": 1 << 30, "reaped": dead.Process.Pid, "zombie": zombie.Process.Pid,
	} {
		if _, err := Open(pid); !errors.Is(err, ErrGone) {
			t.Errorf("%s (%d): %v, want ErrGone", name, pid, err)
		}
	}
}

func TestOpenThread(t *testing.T) {
	checkFDs(t)
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range threads {
		tid, _ := strconv.Atoi(e.Name())
		if tid == os.Getpid() {
			continue
		}
		if _, err := Open(tid); err == nil || errors.Is(err, ErrGone) {
			t.Errorf("thread %d: %v, want an error that is not ErrGone", tid, err)
		}
	}
}

func TestReadAfterDeath(t *testing.T) {
	cmd := start(t)
	p := openPID(t, cmd.Process.Pid)
	reap(cmd)
	wantGone(t, p)
}

func wantGone(t *testing.T, p *Process) {
	t.Helper()
	reads := map[string]func() error{
		"Alive":    p.Alive,
		"Stat":     func() error { _, err := p.Stat(); return err },
		"Status":   func() error { _, err := p.Status(); return err },
		"Cgroups":  func() error { _, err := p.Cgroups(); return err },
		"Readlink": func() error { _, err := p.Readlink("exe"); return err },
		"Identity": func() error { _, err := p.Identity("ns/net"); return err },
		"Has":      func() error { _, err := p.Has("ns/net"); return err },
		"OpenFile": func() error { _, err := p.OpenFile("root", unix.O_PATH); return err },
	}
	for name, read := range reads {
		if err := read(); !errors.Is(err, ErrGone) {
			t.Errorf("%s: %v, want ErrGone", name, err)
		}
	}
}

func TestHandle(t *testing.T) {
	cmd := start(t)
	p := openPID(t, cmd.Process.Pid)
	h, err := p.OpenHandle()
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if err := h.Signal(unix.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err == nil || err.Error() != "signal: terminated" {
		t.Errorf("the process ended with %v", err)
	}
	if err := h.Signal(unix.SIGTERM); !errors.Is(err, ErrGone) {
		t.Errorf("signal what was reaped: %v, want ErrGone", err)
	}
}

// A number that somebody else got since opens no handle.
func TestNoHandleOfRecycledPID(t *testing.T) {
	cmd := start(t)
	p := openPID(t, cmd.Process.Pid)
	reap(cmd)
	if _, err := p.OpenHandle(); !errors.Is(err, ErrGone) {
		t.Errorf("of a process that was reaped: %v, want ErrGone", err)
	}
	startAs(t, cmd.Process.Pid)
	if _, err := p.OpenHandle(); !errors.Is(err, ErrGone) {
		t.Errorf("of one whose number is another's: %v, want ErrGone", err)
	}
}

func TestReadOfRecycledPID(t *testing.T) {
	cmd := start(t)
	p := openPID(t, cmd.Process.Pid)
	reap(cmd)
	startAs(t, cmd.Process.Pid)
	wantGone(t, p)
	q := openPID(t, cmd.Process.Pid)
	if q.StartTime == p.StartTime {
		t.Errorf("both started at %d", p.StartTime)
	}
}

// startAs starts a process that has the number pid. Others start processes, too: whose
// comes first gets it.
func startAs(t *testing.T, pid int) {
	t.Helper()
	time.Sleep(20 * time.Millisecond) // two clock ticks: another start time
	await.Until(t, fmt.Sprintf("a process of the test has pid %d", pid), func() bool {
		err := os.WriteFile("/proc/sys/kernel/ns_last_pid", []byte(strconv.Itoa(pid-1)), 0)
		if err != nil {
			t.Skipf("choosing a pid needs root and CONFIG_CHECKPOINT_RESTORE: %v", err)
		}
		cmd := start(t)
		if cmd.Process.Pid == pid {
			return true
		}
		reap(cmd)
		return false
	})
}

// TestAttributesOfAnEndingProcess: what tells of its memory is empty once that has gone.
func TestAttributesOfAnEndingProcess(t *testing.T) {
	cmd := start(t)
	p := openPID(t, cmd.Process.Pid)
	await.Zombie(t, cmd)
	if a, err := p.Attributes(); !errors.Is(err, ErrGone) {
		t.Errorf("attributes of a zombie: %+v, %v, want ErrGone", a, err)
	}
}

func TestZombieLosesItsNamespaces(t *testing.T) {
	cmd := start(t)
	p := openPID(t, cmd.Process.Pid)
	await.Zombie(t, cmd)
	st, err := p.Stat()
	if err != nil || !st.Dead() {
		t.Errorf("state %q, %v, want Z", st.State, err)
	}
	if _, err := p.Identity("ns/net"); !errors.Is(err, unix.ENOENT) {
		t.Errorf("its net namespace: %v, want ENOENT", err)
	}
	if listed, err := p.Has("ns/net"); !listed || err != nil {
		t.Errorf("its link is listed: %v, %v, want true", listed, err)
	}
}

func TestMissingFileIsNotGone(t *testing.T) {
	p := openPID(t, os.Getpid())
	if _, err := p.ReadFile("nosuch"); !errors.Is(err, unix.ENOENT) || errors.Is(err, ErrGone) {
		t.Errorf("%v, want ENOENT and not ErrGone", err)
	}
	if listed, err := p.Has("ns/nosuch"); listed || err != nil {
		t.Errorf("ns/nosuch is listed: %v, %v", listed, err)
	}
}

func TestStatAgainstPS(t *testing.T) {
	cmd := start(t)
	p := openPID(t, cmd.Process.Pid)
	st, err := p.Stat()
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(st.Comm, " ", st.PPID, " ", st.PGRP, " ", st.Session, " ", st.Nice, " ", st.NumThreads)
	want := output(t, "ps", "-o", "comm=,ppid=,pgid=,sid=,ni=,nlwp=", "-p", strconv.Itoa(p.PID))
	if diff := cmp.Diff(want, strings.Fields(got)); diff != "" {
		t.Errorf("(-ps +got):\n%s", diff)
	}
}

func TestStatusAgainstPS(t *testing.T) {
	cmd := start(t)
	p := openPID(t, cmd.Process.Pid)
	st, err := p.Status()
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%d %d %d %d %016x", st.UID[0], st.UID[1], st.GID[0], st.GID[1], st.SigIgn)
	want := output(t, "ps", "-o", "ruid=,euid=,rgid=,egid=,ignored=", "-p", strconv.Itoa(p.PID))
	if diff := cmp.Diff(want, strings.Fields(got)); diff != "" {
		t.Errorf("(-ps +got):\n%s", diff)
	}
}

func output(t *testing.T, name string, args ...string) []string {
	t.Helper()
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return strings.Fields(string(out))
}

// What prlimit(2) says is what the kernel writes into /proc/PID/limits.
func TestRlimits(t *testing.T) {
	checkFDs(t)
	p := openPID(t, start(t).Process.Pid)
	defer p.Close()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", p.PID))
	if err != nil {
		t.Fatal(err)
	}
	want, err := ParseLimits(bytes.NewReader(data))
	if err != nil || len(want) == 0 {
		t.Fatalf("%v, %v", want, err)
	}
	asked, ok := p.prlimits()
	if !ok || !slices.Equal(asked, want) {
		t.Errorf("prlimit %v, %v; the file has %v", asked, ok, want)
	}
	if got, err := p.Rlimits(); err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
