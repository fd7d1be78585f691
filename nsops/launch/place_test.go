package launch

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dx/e2e/await"
	"dx/nsops/proc"
)

// cgroupOfTest makes a cgroup below one of these directories, or skips.
func cgroupOfTest(t *testing.T, file string, parents ...string) string {
	t.Helper()
	needRoot(t)
	for _, parent := range parents {
		dir, err := os.MkdirTemp(parent, "dx-test-")
		if err != nil {
			continue
		}
		t.Cleanup(func() { _ = os.Remove(dir) })
		if _, err := os.Stat(filepath.Join(dir, file)); err == nil {
			return dir
		}
	}
	t.Skipf("no cgroup with %s can be made in %q here", file, parents)
	return ""
}

// inCgroups compiles a plan with these cgroups for cat /proc/self/cgroup.
func inCgroups(t *testing.T, list ...Cgroup) *Program {
	t.Helper()
	plan := planFor(t, unshared(t, "--pid", "--mount-proc"), "cat", "/proc/self/cgroup")
	plan.Cgroups = list
	return compiled(t, plan)
}

// isIn runs such a program, whose command has to be in the cgroup of a directory.
func isIn(t *testing.T, p *Program, dir string) {
	t.Helper()
	got, status, err := run(t, p)
	if err != nil || status.ExitStatus() != 0 || !strings.Contains(got, "/"+filepath.Base(dir)+"\n") {
		t.Errorf("status %#x, error %v, and the command is not in %s:\n%s", status, err, dir, got)
	}
}

// step is the one of a program that does this.
func step(t *testing.T, p *Program, doing string) *Step {
	t.Helper()
	at := slices.IndexFunc(p.Steps, func(s *Step) bool { return s.Doing == doing })
	if at < 0 {
		t.Fatalf("the program does not %s", doing)
	}
	return p.Steps[at]
}

func openCgroup(t *testing.T, name, dir string) Cgroup {
	t.Helper()
	cg, err := OpenCgroup(name, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cg.Close)
	return cg
}

// P is born in a unified cgroup, without a file to write to.
func TestBornInTheCgroup(t *testing.T) {
	dir := cgroupOfTest(t, "cgroup.events", "/sys/fs/cgroup/unified", "/sys/fs/cgroup")
	p := inCgroups(t, openCgroup(t, "unified", dir))
	step(t, p, "open the unified cgroup").Args[1] = str("no such file")
	isIn(t, p, dir)
}

// Where P cannot be born in it, it enters the cgroup.
func TestEntersTheCgroup(t *testing.T) {
	dir := cgroupOfTest(t, "cgroup.events", "/sys/fs/cgroup/unified", "/sys/fs/cgroup")
	p := inCgroups(t, openCgroup(t, "unified", dir))
	step(t, p, "start the program in the container's cgroup").Nr = 1 << 20 // ENOSYS, as before Linux 5.3
	isIn(t, p, dir)
}

// What P has opened to enter is closed before the command, also one by one.
func TestEntersAndCloses(t *testing.T) {
	dir := cgroupOfTest(t, "cgroup.events", "/sys/fs/cgroup/unified", "/sys/fs/cgroup")
	for _, closeRange := range []bool{true, false} {
		plan := planFor(t, unshared(t, "--pid", "--mount-proc"), "ls", "-l", "/proc/self/fd")
		plan.Kernel.CloseRange, plan.Cgroups = closeRange, []Cgroup{openCgroup(t, "unified", dir)}
		p := compiled(t, plan)
		step(t, p, "start the program in the container's cgroup").Nr = 1 << 20
		step(t, p, "open the unified cgroup").Args[2] = num(unix.O_WRONLY) // which execve does not close
		if got, _, err := run(t, p); err != nil || !strings.Contains(got, " 0 -> ") || strings.Contains(got, procsFile) {
			t.Errorf("with close_range %v: error %v, want streams and no %s among the files:\n%s", closeRange, err, procsFile, got)
		}
	}
}

// Where it may not enter either, the keeper places the child.
func TestPlacedInTheUnifiedCgroup(t *testing.T) {
	dir := cgroupOfTest(t, "cgroup.events", "/sys/fs/cgroup/unified", "/sys/fs/cgroup")
	p, err := inCgroups(t, openCgroup(t, "unified", dir)).atLimit()
	if err != nil {
		t.Fatal(err)
	}
	step(t, p, "place the child in the unified cgroup")
	isIn(t, p, dir)
}

// Where no process may be born, the child is placed.
func TestPlacedInTheCgroup(t *testing.T) {
	dir := cgroupOfTest(t, "pids.max", "/sys/fs/cgroup/pids", "/sys/fs/cgroup")
	if err := os.WriteFile(filepath.Join(dir, "pids.max"), []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
	isIn(t, inCgroups(t, openCgroup(t, "pids", dir)), dir)
}

// A child that is placed is traced before the filter could deny it, and by its birth.
func TestPlacedChildIsHeld(t *testing.T) {
	plan := samplePlan()
	plan.Cgroups = append(plan.Cgroups, Cgroup{Name: "pids", Procs: os.NewFile(93, "pids")})
	plan.Seccomp = denying(t)
	p, err := compiled(t, plan).atLimit()
	if err != nil {
		t.Fatal(err)
	}
	if got := calls(p, "ptrace")[0]; got != "ptrace" || index(t, p, "ptrace") > index(t, p, "seccomp") {
		t.Errorf("P is not traced before the filter")
	}
	if clone := p.Steps[index(t, p, "clone")]; clone.Args[0].value&unix.CLONE_PTRACE == 0 || clone.Args[0].value&unix.CLONE_VFORK != 0 {
		t.Errorf("the child is born by %s", clone)
	}
	for _, s := range p.Steps {
		if s.kept && s.Doing == "enter the pids cgroup" {
			t.Error("P enters the cgroup in which nobody may be born")
		}
	}
	if step(t, p, "place the child in the pids cgroup").kept {
		t.Error("the keeper does not place the child")
	}
}

// A container that sees the host's processes may end the keeper while it holds the child,
// which is not in its cgroup yet.
func TestPlacedChildDiesWithTheKeeper(t *testing.T) {
	dir := cgroupOfTest(t, "pids.max", "/sys/fs/cgroup/pids", "/sys/fs/cgroup")
	mark := filepath.Join(t.TempDir(), "ran")
	plan := planFor(t, unshared(t, "--mount"), "touch", mark)
	plan.Cgroups = []Cgroup{openCgroup(t, "pids", dir)}
	first, err := Compile(plan)
	if err != nil {
		t.Fatal(err)
	}
	p, err := first.atLimit()
	if err != nil {
		t.Fatal(err)
	}
	stop := &compiler{plan: &Plan{}}
	stop.stop("be stopped by the container")
	held := slices.Index(p.Steps, step(t, p, "wait until the child is held"))
	p.Steps = slices.Insert(p.Steps, held, stop.steps...)
	child := 0
	go func() {
		keeper := 0
		await.Holds(func() bool { keeper = stoppedChildOf(os.Getpid()); return keeper != 0 })
		await.Holds(func() bool { child = stoppedChildOf(keeper); return child != 0 })
		_ = unix.Kill(keeper, unix.SIGKILL)
	}()
	null := devNull(t)
	if _, err := p.Start(t.Context(), [3]*os.File{null, null, null}); err == nil {
		t.Error("the command was started, though its keeper had ended")
	}
	_ = unix.Kill(child, unix.SIGCONT)
	await.Holds(func() bool { st, err := proc.StatOf(child); return err != nil || st.Dead() })
	if _, err := os.Stat(mark); err == nil {
		t.Error("the command ran outside of the container's cgroup")
	}
}
