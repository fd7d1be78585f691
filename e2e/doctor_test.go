package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dx/e2e/await"
	"dx/e2e/engine"
	"dx/e2e/fakeengine"
)

// doctorReport is what dx doctor --format json is documented to be.
type doctorReport struct {
	Status  string
	Verdict struct {
		Sentence, Layer, Confidence string
		Cause                       *doctorFinding
		Also                        []string
		Next                        []struct {
			Why, Command string
			Changes      bool
		}
	}
	Engine struct {
		Host, Version                  string
		PID                            int
		Process, Unit                  string
		LiveRestore                    bool
		DataRoot, ExecRoot, Containerd string
		ContainerdPID                  int
		ContainerdUnit                 string
		Supervised                     bool
		Running                        int
		Doubt                          string
	}
	Findings []doctorFinding
	Probes   []struct {
		Name string
		Took int64
		Late bool
	}
	Dumps []doctorDump
	Took  int64
}

type doctorFinding struct {
	Kind, Layer, Severity string
	Container, ID         string
	PID                   int
	Path, Text            string
	Evidence              []string
}

type doctorDump struct {
	Of         string
	PID        int
	File       string
	Goroutines int
	Groups     []struct {
		Waits, At, For          string
		Count, Minutes, Longest int
	}
	Error string
}

// examine runs dx doctor and returns its report and exit code.
func examine(t *testing.T, e *engine.Engine, flags ...string) (doctorReport, int) {
	t.Helper()
	return reportOf(t, e, append([]string{e.DxPath(t), "doctor", "--format", "json"}, flags...)...)
}

// reportOf runs a command that ends as dx doctor --format json does.
func reportOf(t *testing.T, e *engine.Engine, args ...string) (doctorReport, int) {
	t.Helper()
	r := e.Do(t, engine.Command{Args: args})
	dec := json.NewDecoder(strings.NewReader(r.Stdout))
	dec.DisallowUnknownFields()
	var report doctorReport
	if err := dec.Decode(&report); err != nil {
		t.Fatalf("%q: %v: %+v", args, err, r)
	}
	return report, r.Code
}

// fault is one that is made for real, and what the verdict has to name.
type fault struct {
	make  func(t *testing.T, e *engine.Engine, c engine.Container) []string // further flags of dx doctor
	layer string
	kind  string
	code  int
}

// patient is for faults with which dockerd answers: a busy test machine must not
// look like a hung one.
var patient = []string{"--timeout", "4s"}

var faults = map[string]fault{
	"none": {func(*testing.T, *engine.Engine, engine.Container) []string { return []string{"--timeout", "10s"} }, "", "", 0},
	"dockerd stopped": {func(t *testing.T, e *engine.Engine, _ engine.Container) []string {
		stop(t, e.PID)
		return nil
	}, "dockerd", "dockerd-stopped", 2},
	"containerd stopped": {func(t *testing.T, e *engine.Engine, _ engine.Container) []string {
		stopContainerd(t, e)
		return nil
	}, "containerd", "containerd-stopped", 2},
	"dockerd and containerd stopped": {func(t *testing.T, e *engine.Engine, _ engine.Container) []string {
		stopContainerd(t, e)
		stop(t, e.PID)
		return nil
	}, "dockerd", "dockerd-stopped", 2},
	"shim stopped": {func(t *testing.T, _ *engine.Engine, c engine.Container) []string {
		stop(t, parentOf(t, c.PID))
		return patient
	}, "shim", "shim-stopped", 1},
	"lock held, as its shim is stopped": {func(t *testing.T, e *engine.Engine, c engine.Container) []string {
		stop(t, parentOf(t, c.PID))
		execInBackground(t, e, c)
		return patient
	}, "shim", "shim-stopped", 1},
	"lock held, by a fake engine": {func(t *testing.T, e *engine.Engine, c engine.Container) []string {
		return append(patient, "-H", fakeengine.Proxy(t, e.Host, func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
			if strings.Contains(r.URL.Path, c.ID) {
				fakeengine.Hung(w, r)
				return
			}
			pass.ServeHTTP(w, r)
		}))
	}, "container lock", "container-lock", 1},
	"socket silent": {func(t *testing.T, _ *engine.Engine, _ engine.Container) []string {
		return []string{"-H", "unix://" + deafSocket(t, 64)}
	}, "dockerd", "dockerd-silent", 2},
	"backlog full": {func(t *testing.T, _ *engine.Engine, _ engine.Container) []string {
		path := deafSocket(t, 1)
		for fill(t, path) {
		}
		return []string{"-H", "unix://" + path}
	}, "socket", "backlog-full", 2},
	"socket gone": {func(*testing.T, *engine.Engine, engine.Container) []string {
		return []string{"-H", "unix:///nosuch/docker.sock"}
	}, "dockerd", "dockerd-absent", 2},
	"socket removed under dockerd": {func(t *testing.T, e *engine.Engine, _ engine.Container) []string {
		path := strings.TrimPrefix(e.Host, "unix://")
		if err := os.Rename(path, path+".away"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Rename(path+".away", path) })
		return nil
	}, "socket", "socket-unlinked", 2},
	"container paused": {func(t *testing.T, e *engine.Engine, c engine.Container) []string {
		docker(t, e, "pause", c.Name)
		t.Cleanup(func() { docker(t, e, "unpause", c.Name) })
		return patient
	}, "", "", 0},
	"container frozen": {func(t *testing.T, e *engine.Engine, c engine.Container) []string {
		freeze(t, e, c)
		return patient
	}, "container", "container-frozen", 1},
	"init stopped": {func(t *testing.T, _ *engine.Engine, c engine.Container) []string {
		stop(t, c.PID)
		return patient
	}, "container", "init-stopped", 1},
	"init traced": {func(t *testing.T, _ *engine.Engine, c engine.Container) []string {
		trace(t, c.PID)
		return patient
	}, "container", "init-traced", 1},
	"restart loop": {func(t *testing.T, e *engine.Engine, _ engine.Container) []string {
		crash(t, e)
		return patient
	}, "container", "restart-loop", 1},
	"open files at the limit": {func(t *testing.T, e *engine.Engine, c engine.Container) []string {
		limitFiles(t, parentOf(t, c.PID))
		return patient
	}, "shim", "shim-files", 1},
	"pids at the limit": {func(t *testing.T, e *engine.Engine, c engine.Container) []string {
		limitPIDs(t, e, c)
		return patient
	}, "container", "pids-limit", 1},
	"a process killed for memory": {func(t *testing.T, e *engine.Engine, _ engine.Container) []string {
		outOfMemory(t, e)
		return patient
	}, "container", "oom-killed", 1},
	"broken mount": {func(t *testing.T, e *engine.Engine, c engine.Container) []string {
		mountBroken(t, e, c)
		return patient
	}, "mount", "mount-broken", 1},
	"mount silent": {func(t *testing.T, e *engine.Engine, c engine.Container) []string {
		mountSilent(t, e, c)
		return patient
	}, "mount", "mount-silent", 1},
	"init cannot end": {func(t *testing.T, e *engine.Engine, c engine.Container) []string {
		keepInitFromEnding(t, e, c)
		return patient
	}, "kernel", "init-exiting", 1},
	"init a zombie": {func(t *testing.T, _ *engine.Engine, c engine.Container) []string {
		stop(t, parentOf(t, c.PID))
		if err := syscall.Kill(c.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		return patient
	}, "shim", "shim-stopped", 1},
	"a container that plays dockerd": {func(t *testing.T, e *engine.Engine, c engine.Container) []string {
		playDockerd(t, e)
		return []string{"--timeout", "10s"}
	}, "", "", 0},
}

// TestDoctorNamesTheFault makes each fault on a real engine; the verdict has to name
// its layer, also where much else follows from it.
func TestDoctorNamesTheFault(t *testing.T) {
	for name, cgroup := range cgroups {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := suite.Start(t, engine.Options{Cgroup: cgroup, Args: []string{"--live-restore"}})
			e.Run(t, engine.Busybox) // one with which nothing is wrong
			for name, f := range faults {
				t.Run(name, func(t *testing.T) {
					c := e.Run(t, engine.Busybox)
					r, code := examine(t, e, f.make(t, e, c)...)
					cause := ""
					if r.Verdict.Cause != nil {
						cause = r.Verdict.Cause.Kind
					}
					if code != f.code || r.Verdict.Layer != f.layer || cause != f.kind {
						t.Errorf("exit %d, layer %q, cause %q; want %d, %q, %q\n%+v\n%+v", code, r.Verdict.Layer, cause, f.code, f.layer, f.kind, r.Verdict, r.Findings)
					}
				})
			}
		})
	}
}

// TestDoctorOnABusyMachine: where a host is in trouble it often is busy, too. dx gets
// little of its processors here, and is asked as soon as the signal has been sent: a
// stopped process comes to a stop only when it next runs.
func TestDoctorOnABusyMachine(t *testing.T) {
	e := suite.Start(t, engine.Options{Args: []string{"--live-restore"}})
	c := e.Run(t, engine.Busybox)
	containerd, err := e.ContainerdPID()
	if err != nil {
		t.Fatal(err)
	}
	dx := e.DxPath(t)
	keepBusy(t, 10*runtime.NumCPU())
	for _, test := range []struct {
		name, kind string
		pids       []int
	}{
		{"dockerd", "dockerd-stopped", []int{e.PID}},
		{"containerd", "containerd-stopped", []int{containerd}},
		{"both", "dockerd-stopped", []int{containerd, e.PID}},
		{"shim", "shim-stopped", []int{parentOf(t, c.PID)}},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, pid := range test.pids {
				stop(t, pid)
			}
			r, _ := reportOf(t, e, "nice", "-n", "10", dx, "doctor", "--format", "json")
			if !slices.ContainsFunc(r.Findings, func(f doctorFinding) bool { return f.Kind == test.kind && f.PID == test.pids[len(test.pids)-1] }) {
				t.Errorf("no %s of pid %v: %+v", test.kind, test.pids, r)
			}
			for _, f := range r.Findings {
				if f.Kind == "probe-late" || f.Kind == "mount-silent" {
					t.Errorf("dx blames the kernel for what the load does: %s", f.Text)
				}
			}
		})
	}
}

// busyEnv says that others keep the processors busy already.
const busyEnv = "DX_TEST_BUSY"

// keepBusy has n processes that do nothing but run until the test ends.
func keepBusy(t *testing.T, n int) {
	t.Helper()
	if os.Getenv(busyEnv) != "" {
		return
	}
	for range n {
		cmd := exec.Command("sh", "-c", "while :; do :; done")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	}
}

// TestDoctorSeesAFullDisk: an engine whose data root is a small tmpfs with nothing
// left.
func TestDoctorSeesAFullDisk(t *testing.T) {
	engine.Require(t, engine.Root, engine.Dockerd)
	dir := t.TempDir()
	if err := unix.Mount("small", dir, "tmpfs", 0, "size=64m"); err != nil {
		t.Skipf("no tmpfs can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	e := suite.Start(t, engine.Options{Args: []string{"--data-root", dir + "/data"}})
	r, code := examine(t, e, "--timeout", "10s")
	if code != 0 || r.Engine.DataRoot != dir+"/data" {
		t.Errorf("before: exit %d, data root %s: %+v", code, r.Engine.DataRoot, r.Findings)
	}
	fillDisk(t, dir+"/filler")
	r, code = examine(t, e, "--timeout", "10s")
	if code != 1 || r.Verdict.Layer != "storage" || r.Verdict.Cause.Path != dir+"/data" {
		t.Errorf("full: exit %d, %+v", code, r.Verdict)
	}
	if err := os.Remove(dir + "/filler"); err != nil {
		t.Fatal(err)
	}
}

func fillDisk(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 1<<20); ; {
		if _, err := f.Write(block); err != nil {
			return // ENOSPC
		}
	}
}

// TestDoctorDump: the goroutines of a real dockerd whose lock is held, and a bundle
// that holds no secret.
func TestDoctorDump(t *testing.T) {
	e := suite.Start(t, engine.Options{})
	c := e.Run(t, engine.Busybox, "-e", "PASSWORD=hunter2hunter2")
	shim := parentOf(t, c.PID)
	stop(t, shim)
	execInBackground(t, e, c)
	file := filepath.Join(t.TempDir(), "bundle.tar.gz")
	r, _ := examine(t, e, append(patient, "--dump", "--bundle", file)...)
	waits := map[string][]string{}
	for _, d := range r.Dumps {
		if d.Error != "" || d.Goroutines < 10 {
			t.Errorf("%+v", d)
		}
		t.Cleanup(func() { _ = os.Remove(d.File) }) // containerd's lies in /tmp
		for _, g := range d.Groups {
			waits[d.Of] = append(waits[d.Of], g.Waits)
		}
	}
	// dockerd: inspect waits for the lock that exec holds, which waits for
	// containerd; containerd waits for the shim.
	for of, want := range map[string][]string{"dockerd": {"lock", "containerd"}, "containerd": {"shim"}} {
		for _, w := range want {
			if !slices.Contains(waits[of], w) {
				t.Errorf("%s waits for %v, not for %s", of, waits[of], w)
			}
		}
	}
	names, err := exec.Command("tar", "tzf", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"report.json", "dumps/dockerd.txt", "/shim/stack", "config.v2.json"} {
		if !strings.Contains(string(names), want) {
			t.Errorf("the bundle lacks %s:\n%s", want, names)
		}
	}
	content, err := exec.Command("tar", "xzOf", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(content), "hunter2") || !strings.Contains(string(content), "PASSWORD=***") {
		t.Error("the bundle holds the value of an environment variable")
	}
}

// TestDoctorLeavesAlone: whatever it finds, it ends nobody; dockerd's stand-in gets
// no signal, as it would die of it.
func TestDoctorLeavesAlone(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	r, _ := examine(t, e, "-H", "unix://"+deafSocket(t, 8), "--dump")
	if len(r.Dumps) != 1 || !strings.Contains(r.Dumps[0].Error, "no signal") {
		t.Errorf("%+v", r.Dumps)
	}
}

func stopContainerd(t *testing.T, e *engine.Engine) {
	t.Helper()
	pid, err := e.ContainerdPID()
	if err != nil {
		t.Fatal(err)
	}
	stop(t, pid)
}

func parentOf(t *testing.T, pid int) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	var ppid int
	var state string
	if _, err := fmt.Sscan(string(b[strings.LastIndexByte(string(b), ')')+1:]), &state, &ppid); err != nil {
		t.Fatal(err)
	}
	return ppid
}

// execInBackground starts a docker exec that does not return, and waits until
// docker inspect does not return either.
func execInBackground(t *testing.T, e *engine.Engine, c engine.Container) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := e.Command(ctx, "docker", "exec", c.Name, "true")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = cmd.Wait() })
	for range 20 {
		ask, cancel := context.WithTimeout(context.Background(), time.Second)
		err := e.Command(ask, "docker", "inspect", c.Name).Run()
		hangs := ask.Err() != nil
		cancel()
		if err != nil && hangs {
			return
		}
	}
	t.Fatal("docker inspect answers while docker exec hangs: no lock is held")
}

// deafSocket listens and accepts nobody.
func deafSocket(t *testing.T, backlog int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, backlog); err != nil {
		t.Fatal(err)
	}
	return path
}

// fill connects once more; false when the kernel takes no more.
func fill(t *testing.T, path string) bool {
	c, err := net.Dial("unix", path)
	if err != nil {
		return false
	}
	t.Cleanup(func() { c.Close() })
	return true
}

// mountSilent mounts a FUSE file system in a container whose server, this test,
// never answers, and returns the server's end.
func mountSilent(t *testing.T, e *engine.Engine, c engine.Container) *os.File {
	t.Helper()
	dev, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no FUSE here: %v", err)
	}
	t.Cleanup(func() { dev.Close() }) // aborts: who waits gets an error
	e.Docker(t, "exec", c.Name, "mkdir", "/tmp/silent")
	ctx, cancel := context.WithTimeout(context.Background(), await.Patience)
	defer cancel()
	cmd := e.Command(ctx, "nsenter", "-m", "-t", fmt.Sprint(c.PID), "mount", "-t", "fuse", "-o", "fd=3,rootmode=40000,user_id=0,group_id=0", "silent", "/tmp/silent")
	cmd.ExtraFiles = []*os.File{dev}
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("mount: %v: %s", err, b)
	}
	return dev
}

// keepInitFromEnding has a process of the host's in the container's PID namespace,
// and a parent outside that does not reap it; then it kills init, which has to wait
// in the kernel (zap_pid_ns_processes).
func keepInitFromEnding(t *testing.T, e *engine.Engine, c engine.Container) {
	t.Helper()
	cmd := exec.Command("nsenter", "-p", "-t", fmt.Sprint(c.PID), "sleep", "424243")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	child := childOf(t, cmd.Process.Pid)
	stop(t, cmd.Process.Pid)
	if err := syscall.Kill(c.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	await.Until(t, fmt.Sprintf("pid %d is a zombie", child), func() bool {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child))
		return strings.Contains(string(b), ") Z ")
	})
}

func childOf(t *testing.T, pid int) int {
	t.Helper()
	child := 0
	await.Until(t, fmt.Sprintf("pid %d has a child", pid), func() bool {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
		_, err := fmt.Sscan(string(b), &child)
		return err == nil
	})
	return child
}

// playDockerd runs processes in a container that are called as the host's daemons
// are, lie in a folder like a bundle, and are stopped.
func playDockerd(t *testing.T, e *engine.Engine) {
	t.Helper()
	c := e.Run(t, engine.Bash)
	script := `d=/io.containerd.runtime.v2.task/moby/` + strings.Repeat("f0", 32) + `; mkdir -p $d; cd $d
for n in dockerd containerd containerd-shim-runc-v2 runc; do cp /bin/bash $n; (exec ./$n -c 'kill -STOP $$; :') & done
echo $$ >init.pid; echo unix:///nosuch >address; wait`
	e.Docker(t, "exec", "-d", c.Name, "bash", "-c", script)
	await.Until(t, "four processes of the container play the host's daemons and are stopped", func() bool {
		b := e.Docker(t, "exec", c.Name, "bash", "-c", "cat /proc/[0-9]*/stat")
		return strings.Count(b.Stdout, ") T ") == 4
	})
}

// TestDoctorWatch: a line for each change, none while nothing changes.
func TestDoctorWatch(t *testing.T) {
	e := suite.Start(t, engine.Options{})
	dx := e.DxPath(t)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := e.Command(ctx, dx, "doctor", "--watch", "--interval", "100ms", "--timeout", "4s", "--format", "{{.Status}}")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for _, step := range []struct {
		signal syscall.Signal
		want   string
	}{{0, "healthy"}, {syscall.SIGSTOP, "hung"}, {syscall.SIGCONT, "healthy"}} {
		if err := syscall.Kill(e.PID, step.signal); err != nil {
			t.Fatal(err)
		}
		if !lines.Scan() || lines.Text() != step.want {
			t.Errorf("after signal %d: %q %v, want %q", step.signal, lines.Text(), lines.Err(), step.want)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 130 {
		t.Errorf("SIGINT ends it with exit code %d", code)
	}
}
