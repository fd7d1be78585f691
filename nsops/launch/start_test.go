package launch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"dx/e2e/await"
	"dx/nsops"
	"dx/nsops/caps"
	"dx/nsops/proc"
)

func TestMain(m *testing.M) {
	switch os.Getenv("DX_TEST_HELPER") {
	case "no-new-calls":
		denyNewCalls()
	case "sibling":
		haveSibling()
	}
	os.Exit(m.Run())
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("joining namespaces needs root")
	}
	if runner != "" {
		t.Skip("namespaces are joined on the machine's own architecture only")
	}
}

// unshared starts a process in fresh namespaces and returns the process that is
// inside.
func unshared(t *testing.T, flags ...string) *proc.Process {
	t.Helper()
	cmd := exec.Command("unshare", append(flags, "--fork", "--kill-child", "sh", "-c", "echo ready; exec sleep 1000")...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if _, err := io.ReadFull(out, make([]byte, 6)); err != nil {
		t.Fatalf("unshare %v did not start: %v", flags, err)
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", cmd.Process.Pid, cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	p, err := proc.Open(pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// planFor is a plan that joins all of p and keeps root's capabilities.
func planFor(t *testing.T, p *proc.Process, args ...string) *Plan {
	t.Helper()
	target, err := OpenTarget(p, nil, nsops.Types)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(target.Close)
	kernel, err := ThisKernel()
	if err != nil {
		t.Fatal(err)
	}
	own := ownCapabilities(t)
	return &Plan{
		Process: &specs.Process{
			Args: args, Cwd: "/", Env: []string{"PATH=/usr/bin:/bin"},
			Capabilities: &specs.LinuxCapabilities{Bounding: own, Permitted: own, Effective: own},
		},
		Joins: target.Joins, Root: target.Root, SetgroupsDenied: target.SetgroupsDenied, Kernel: kernel,
	}
}

func ownCapabilities(t *testing.T) []string {
	t.Helper()
	self, err := proc.Self()
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	st, err := self.Status()
	if err != nil {
		t.Fatal(err)
	}
	return caps.Names(st.CapBnd)
}

// runPlan runs a plan and returns its output and exit status.
func runPlan(t *testing.T, plan *Plan) (string, unix.WaitStatus, error) {
	t.Helper()
	prog, err := Compile(plan)
	if err != nil {
		t.Fatal(err)
	}
	return run(t, prog)
}

// run runs a program and returns its output and exit status.
func run(t *testing.T, prog *Program) (string, unix.WaitStatus, error) {
	t.Helper()
	null := devNull(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	pr, err := prog.Start(context.Background(), [3]*os.File{null, w, w})
	w.Close()
	if err != nil {
		return "", 0, err
	}
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	status, err := pr.Wait()
	return string(out), status, err
}

func devNull(t *testing.T) *os.File {
	t.Helper()
	f, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func mustRun(t *testing.T, plan *Plan) string {
	t.Helper()
	out, status, err := runPlan(t, plan)
	if err != nil || status.ExitStatus() != 0 {
		t.Fatalf("status %#x, error %v, output %q", status, err, out)
	}
	return out
}

// What a process sees of its namespaces after dx is what it sees after nsenter.
func TestStartJoinsAsNsenter(t *testing.T) {
	needRoot(t)
	const look = "readlink /proc/self/ns/* ; pwd; id -u"
	kinds := map[string][]string{
		"all but user": {"--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--time", "--mount-proc"},
		"user too":     {"--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--time", "--user", "--map-root-user", "--mount-proc"},
		"net only":     {"--net"},
	}
	for name, flags := range kinds {
		t.Run(name, func(t *testing.T) {
			p := unshared(t, flags...)
			args := []string{"-a", "-t", strconv.Itoa(p.PID)}
			want, err := exec.Command("nsenter", append(args, "sh", "-c", look)...).CombinedOutput()
			if err != nil {
				t.Fatalf("nsenter: %v: %s", err, want)
			}
			if diff := cmp.Diff(string(want), mustRun(t, planFor(t, p, "sh", "-c", look))); diff != "" {
				t.Errorf("nsenter (-) and dx (+) differ:\n%s", diff)
			}
		})
	}
}

func TestStartedProcessIsBornAsPID2(t *testing.T) {
	needRoot(t)
	p := unshared(t, "--pid", "--mount-proc")
	out := mustRun(t, planFor(t, p, "sh", "-c", `read -r pid comm state ppid pgrp sid rest </proc/self/stat; echo $pid $ppid $pgrp $sid; ls /proc/$$/fd`))
	lines := strings.SplitN(out, "\n", 2)
	if lines[0] != "2 0 2 2" {
		t.Errorf("pid, ppid, pgrp, sid are %q, want 2 0 2 2", lines[0])
	}
	if strings.TrimSpace(lines[1]) != "0\n1\n2" {
		t.Errorf("open descriptors: %q, want 0, 1 and 2", lines[1])
	}
}

func TestExitStatus(t *testing.T) {
	needRoot(t)
	p := unshared(t, "--pid", "--mount-proc")
	for script, want := range map[string]func(unix.WaitStatus) bool{
		"exit 0":            func(s unix.WaitStatus) bool { return s.Exited() && s.ExitStatus() == 0 },
		"exit 7":            func(s unix.WaitStatus) bool { return s.Exited() && s.ExitStatus() == 7 },
		"exit 255":          func(s unix.WaitStatus) bool { return s.Exited() && s.ExitStatus() == 255 },
		"kill -TERM $$":     func(s unix.WaitStatus) bool { return s.Signaled() && s.Signal() == unix.SIGTERM },
		"kill -KILL $$":     func(s unix.WaitStatus) bool { return s.Signaled() && s.Signal() == unix.SIGKILL },
		"trap '' 1; exit 2": func(s unix.WaitStatus) bool { return s.ExitStatus() == 2 },
	} {
		_, status, err := runPlan(t, planFor(t, p, "sh", "-c", script))
		if err != nil || !want(status) {
			t.Errorf("%q ended with %#x, %v", script, status, err)
		}
	}
}

// Each failure names its step, and no child is left behind.
func TestFailures(t *testing.T) {
	needRoot(t)
	p := unshared(t, "--mount")
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	tests := map[string]struct {
		change func(*Plan)
		stage  Stage
		errno  unix.Errno
	}{
		"no such command":      {func(p *Plan) { p.Process.Args[0] = "no-such-command" }, StageLookup, unix.ENOENT},
		"no such path":         {func(p *Plan) { p.Process.Args[0] = "/no/such" }, StageLookup, unix.ENOENT},
		"a directory":          {func(p *Plan) { p.Process.Args[0] = "/etc" }, StageLookup, unix.EISDIR},
		"not executable":       {func(p *Plan) { p.Process.Args[0] = write("plain", "x", 0o644) }, StageLookup, unix.EACCES},
		"below a file":         {func(p *Plan) { p.Process.Args[0] = "/etc/passwd/x" }, StageLookup, unix.ENOTDIR},
		"not a program":        {func(p *Plan) { p.Process.Args[0] = write("odd", "\x00\x01", 0o755) }, StageExec, unix.ENOEXEC},
		"no interpreter":       {func(p *Plan) { p.Process.Args[0] = write("script", "#!/no/such\n", 0o755) }, StageExec, unix.ENOENT},
		"relative in PATH":     {func(p *Plan) { p.Process.Args[0], p.Process.Cwd, p.Process.Env = "sh", "/bin", []string{"PATH=."} }, StageLookup, unix.EXDEV},
		"no working directory": {func(p *Plan) { p.Process.Cwd = "/no/such" }, StageCwd, unix.ENOENT},
		"cwd is a file":        {func(p *Plan) { p.Process.Cwd = "/etc/passwd" }, StageCwd, unix.ENOTDIR},
		"cwd of another mount": {func(p *Plan) { p.Process.Cwd = fmt.Sprintf("/proc/%d/root/etc", os.Getpid()) }, StageCwd, unix.EBADF},
		"no terminal to take":  {func(p *Plan) { p.Process.Terminal = true }, StageSetup, unix.ENOTTY},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			plan := planFor(t, p, "true")
			test.change(plan)
			_, _, err := runPlan(t, plan)
			var step *StepError
			if !errors.As(err, &step) || step.Errno != test.errno || step.Step.Stage != test.stage {
				t.Errorf("got %v, want stage %d and %v", err, test.stage, test.errno)
			}
			if err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil); err == nil {
				checkNoChildren(t)
			}
		})
	}
}

// checkNoChildren fails for zombies; unshare(1) of the test is a living child.
func checkNoChildren(t *testing.T) {
	t.Helper()
	b, err := os.ReadFile("/proc/thread-self/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range strings.Fields(string(b)) {
		n, _ := strconv.Atoi(pid)
		if st, err := proc.StatOf(n); err == nil && st.Dead() {
			t.Errorf("child %d (%s) was left as a zombie", n, st.Comm)
		}
	}
}

// TestStartCanBeCancelled: a command whose execve does not come back (its file
// system is silent; here a lease holds it) must not hold dx for ever.
func TestStartCanBeCancelled(t *testing.T) {
	needRoot(t)
	p := unshared(t, "--mount")
	leased := copyOfTrue(t)
	if _, err := unix.FcntlInt(leased.Fd(), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		t.Skipf("no leases on this file system: %v", err)
	}
	prog, err := Compile(planFor(t, p, leased.Name()))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		// The lease is broken to what the kernel asks of its holder: somebody opens.
		await.Holds(func() bool {
			lease, err := unix.FcntlInt(leased.Fd(), unix.F_GETLEASE, 0)
			return err != nil || lease != unix.F_WRLCK
		})
		cancel()
	}()
	null := devNull(t)
	if _, err := prog.Start(ctx, [3]*os.File{null, null, null}); !errors.Is(err, context.Canceled) {
		t.Errorf("a start that was cancelled in execve: %v, want %v", err, context.Canceled)
	}
	checkNoChildren(t)
}

// copyOfTrue is an executable file of the test's own, open for reading.
func copyOfTrue(t *testing.T) *os.File {
	t.Helper()
	b, err := os.ReadFile("/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "true")
	if err := os.WriteFile(path, b, 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestStartOfFileOpenForWriting(t *testing.T) {
	needRoot(t)
	path := copyOfTrue(t).Name()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, _, err := runPlan(t, planFor(t, unshared(t, "--mount"), path)); !errors.Is(err, unix.ETXTBSY) {
		t.Errorf("a file open for writing: %v, want ETXTBSY", err)
	}
}

// Kernels from 4.18 on: the new calls answer ENOSYS and all works the same.
func TestOldKernel(t *testing.T) {
	needRoot(t)
	cmd := exec.Command(os.Args[0], "-test.run", "^(TestStartJoinsAsNsenter|TestFailures|TestExitStatus|TestEntersTheCgroup|TestPlacedInTheCgroup|TestDeputyIsConfined)$")
	cmd.Env = append(os.Environ(), "DX_TEST_HELPER=no-new-calls")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("without the new system calls: %v\n%s", err, out)
	}
}

// A drained pipe never blocks its writer, and its reader ends with it.
func TestDrain(t *testing.T) {
	if runner != "" {
		t.Skip("runs a program on the machine's own architecture")
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := Drain(r); err != nil {
		t.Fatal(err)
	}
	r.Close()
	if n, err := w.Write(make([]byte, 1<<20)); n != 1<<20 || err != nil {
		t.Errorf("wrote %d bytes, %v", n, err)
	}
	w.Close()
	var status unix.WaitStatus
	if _, err := unix.Wait4(-1, &status, 0, nil); err != nil || status != 0 {
		t.Errorf("the reader ended with %#x, %v", status, err)
	}
}

// Where memfds must not be executed, an unlinked file serves. The sysctl is that
// of a PID namespace of the test's own.
func TestMemfdNoexec(t *testing.T) {
	needRoot(t)
	if _, err := os.Stat("/proc/sys/vm/memfd_noexec"); err != nil {
		t.Skip("this kernel has no vm.memfd_noexec (Linux 6.3)")
	}
	const script = `echo 2 >/proc/sys/vm/memfd_noexec && exec "$0" -test.v -test.run '^TestExitStatus$'`
	out, err := exec.Command("unshare", "--pid", "--fork", "--mount-proc", "sh", "-c", script, os.Args[0]).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestExitStatus") {
		t.Errorf("with vm.memfd_noexec=2: %v\n%s", err, out)
	}
}
