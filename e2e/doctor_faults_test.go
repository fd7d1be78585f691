package e2e

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

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
// are, lie in a directory like a bundle, and are stopped.
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
