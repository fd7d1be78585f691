package e2e

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dx/e2e/await"
	"dx/e2e/engine"
)

// Faults of containers and their processes that TestDoctorNamesTheFault makes.

// docker runs docker, which has to succeed.
func docker(t *testing.T, e *engine.Engine, args ...string) string {
	t.Helper()
	r := e.Docker(t, args...)
	if r.Code != 0 {
		t.Fatalf("docker %q: %v", args, r)
	}
	return strings.TrimSpace(r.Stdout)
}

// inEngine runs a shell where the engine's clients run, which has to succeed.
func inEngine(t *testing.T, e *engine.Engine, script string, env ...string) string {
	t.Helper()
	r := e.Do(t, engine.Command{Args: []string{"sh", "-ec", script}, Env: env})
	if r.Code != 0 {
		t.Fatalf("%s: %v", script, r)
	}
	return strings.TrimSpace(r.Stdout)
}

// freezer is how a shell writes to the freezer of a container, v1 or v2.
const freezer = `path=$(sed -n 's/^[0-9]*:freezer://p' /proc/$INIT/cgroup)
if [ -n "$path" ] && [ -e "/sys/fs/cgroup/freezer$path/freezer.state" ]; then
	echo $V1 >"/sys/fs/cgroup/freezer$path/freezer.state"
else
	path=$(sed -n 's/^0:://p' /proc/$INIT/cgroup)
	echo $V2 >"/sys/fs/cgroup$path/cgroup.freeze"
fi`

// freeze freezes a container without Docker.
func freeze(t *testing.T, e *engine.Engine, c engine.Container) {
	t.Helper()
	init := "INIT=" + strconv.Itoa(c.PID)
	inEngine(t, e, freezer, init, "V1=FROZEN", "V2=1")
	t.Cleanup(func() { inEngine(t, e, freezer, init, "V1=THAWED", "V2=0") })
}

// trace holds a process by ptrace(2) until the test ends.
func trace(t *testing.T, pid int) {
	t.Helper()
	held, end, over := make(chan error), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		runtime.LockOSThread() // whose tracer is a thread; it ends with the goroutine
		err := unix.PtraceAttach(pid)
		if err == nil {
			_, err = unix.Wait4(pid, nil, unix.WALL, nil)
		}
		held <- err
		<-end
		_ = unix.PtraceDetach(pid)
	}()
	t.Cleanup(func() { close(end); <-over })
	if err := <-held; err != nil {
		t.Fatal(err)
	}
}

// crash starts a container that ends at once and is restarted, and waits for a loop.
func crash(t *testing.T, e *engine.Engine) engine.Container {
	t.Helper()
	c := e.Create(t, engine.Busybox, "--restart", "always", "--entrypoint", "false")
	docker(t, e, "start", c.Name)
	await.Until(t, "the container has been restarted four times", func() bool {
		n, err := strconv.Atoi(docker(t, e, "inspect", "-f", "{{.RestartCount}}", c.Name))
		return err == nil && n >= 4
	})
	return c
}

// limitFiles leaves a process no descriptor more than it has.
func limitFiles(t *testing.T, pid int) {
	t.Helper()
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	var before unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &before); err != nil {
		t.Fatal(err)
	}
	after := unix.Rlimit{Cur: uint64(len(open)), Max: before.Max}
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &after, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Prlimit(pid, unix.RLIMIT_NOFILE, &before, nil) })
}

// mountBroken mounts a FUSE file system in a container whose server ends.
func mountBroken(t *testing.T, e *engine.Engine, c engine.Container) {
	t.Helper()
	if err := mountSilent(t, e, c).Close(); err != nil {
		t.Fatal(err)
	}
}

// needControllers skips where the engine's cgroups have no controllers, as v2 beside v1.
func needControllers(t *testing.T, e *engine.Engine) {
	t.Helper()
	if e.Cgroup == engine.V2 && !engine.HostIsCgroup2() {
		t.Skip("the controllers are v1's on this host")
	}
}

// limitPIDs leaves a container no process more than it has.
func limitPIDs(t *testing.T, e *engine.Engine, c engine.Container) {
	t.Helper()
	needControllers(t, e)
	docker(t, e, "update", "--pids-limit", "1", c.Name)
}

// outOfMemory has the kernel kill a process of a container that goes on.
func outOfMemory(t *testing.T, e *engine.Engine) {
	t.Helper()
	needControllers(t, e)
	c := e.Run(t, engine.Busybox, "--memory", "16m")
	if r := e.Docker(t, "exec", c.Name, "tail", "/dev/zero"); r.Code != 137 {
		t.Fatalf("a process that takes more than the limit ends with %v, want SIGKILL", r)
	}
}
