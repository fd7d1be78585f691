package e2e

import (
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"dx/e2e/engine"
	"dx/e2e/fakeengine"
)

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
	keepBusy(t, 4*runtime.NumCPU()) // to whom a nice of 10 leaves one part in seventy-five
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

// engineOnSmallDisk starts one whose data root is in a tmpfs of 64 MiB at dir.
func engineOnSmallDisk(t *testing.T) (e *engine.Engine, dir string) {
	t.Helper()
	engine.Require(t, engine.Root, engine.Dockerd)
	dir = t.TempDir()
	if err := unix.Mount("small", dir, "tmpfs", 0, "size=64m"); err != nil {
		t.Skipf("no tmpfs can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return suite.Start(t, engine.Options{Args: []string{"--data-root", dir + "/data"}}), dir
}

// TestDoctorSeesAFullDisk: an engine whose data root is a small tmpfs with nothing
// left.
func TestDoctorSeesAFullDisk(t *testing.T) {
	e, dir := engineOnSmallDisk(t)
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
