package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"dx/e2e/await"
	"dx/e2e/engine"
)

// forgery is what a container can do to look like a shim of containerd's: a
// directory with the right name and a bundle of its own making, and a child that it
// calls init. %s is a 64-digit ID.
const forgery = `
d=${FORGE_IN:-}/io.containerd.runtime.v2.task/moby/%s; mkdir -p $d; cd $d
echo '{"ociVersion":"1.0.2","root":{"path":"/"},"process":{"args":["x"],"env":["FORGED=1"],"cwd":"/","user":{"uid":0,"gid":0},
"capabilities":{"bounding":["CAP_SYS_ADMIN","CAP_SYS_MODULE"],"permitted":["CAP_SYS_ADMIN","CAP_SYS_MODULE"],"effective":["CAP_SYS_ADMIN","CAP_SYS_MODULE"]}},
"linux":{"namespaces":[],"seccomp":{"defaultAction":"SCMP_ACT_ALLOW"}}}' >config.json
sh -c 'echo $$ >init.pid; exec sleep 4242' & wait`

// inShim runs a script by a busybox that is called like containerd's shim: the kernel
// tells a program by the name of its file, busybox its applet by that of the link.
const inShim = "cp /bin/busybox /containerd-shim-runc-v2; ln -sf /containerd-shim-runc-v2 /tmp/sh; exec /tmp/sh -c \"$1\""

// TestForgedShim: dx believes a shim about a process of its container, but gives
// nothing that the shim itself does not have.
func TestForgedShim(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	id := strings.Repeat("f0", 32)
	const look = "grep -E 'CapBnd|Seccomp:' /proc/self/status; readlink /proc/self/ns/mnt; readlink /proc/self/ns/pid"
	for _, flags := range [][]string{nil, {"--security-opt", "seccomp=unconfined"}} {
		c := e.Run(t, engine.Busybox, flags...)
		e.MustDocker(t, "exec", "-d", c.Name, "sh", "-c", inShim, "sh", fmt.Sprintf(forgery, id))
		victim := findProcess(t, c.ID, "sleep\x004242\x00")
		if r := e.Dx(t, "--source", "host", "exec", id, "true"); !strings.Contains(r.Stderr, "No such container") {
			t.Errorf("a forged shim answers to an ID: %+v", r)
		}
		r := e.Dx(t, "exec", "pid:"+victim, "sh", "-c", look)
		if r.Code != 0 && strings.Contains(r.Stderr, "seccomp filter") {
			continue // refused: the forged profile is not what the forger runs under
		}
		want := e.MustDocker(t, "exec", c.Name, "sh", "-c", look)
		if bits(t, r.Stdout)&^bits(t, want.Stdout) != 0 || namespaceLines(t, r.Stdout) != namespaceLines(t, want.Stdout) {
			t.Errorf("%q: a forged bundle gives\n%swhere the container has\n%s", flags, r.Stdout+r.Stderr, want.Stdout)
		}
	}
}

// TestForgedShimOfAUser: any user of the host can do the same outside of containers,
// and would have root enter what he likes, as what he likes. What lies in a directory of
// his is no bundle; and where all is root's, directory, files and program, his process is
// no shim.
func TestForgedShimOfAUser(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	for _, whose := range []int{nobodyID, 0} {
		t.Run(fmt.Sprint("bundle of uid ", whose), func(t *testing.T) {
			id := strings.Repeat("f1", 31) + fmt.Sprintf("%02x", whose%256)
			forgeAsUser(t, id, whose)
			for _, verb := range []string{"ps", "ns"} {
				if r := e.Dx(t, "--source", "host", verb, "--no-trunc"); strings.Contains(r.Stdout, id) || r.Code != 0 {
					t.Errorf("dx %s believes a user: %+v", verb, r)
				}
			}
			if r := e.Dx(t, "--source", "host", "exec", id, "id"); !strings.Contains(r.Stderr, "No such container") {
				t.Errorf("a user's shim answers to an ID: %+v", r)
			}
		})
	}
}

const nobodyID = 65534

// forgeAsUser runs a forgery as a user, until the test ends, and then gives all that it has
// made to somebody. The shell is root's program and called like a shim.
func forgeAsUser(t *testing.T, id string, owner int) {
	t.Helper()
	dir, programs := t.TempDir(), t.TempDir()
	for _, name := range []string{filepath.Dir(dir), dir, programs} {
		if err := os.Chmod(name, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(dir, nobodyID, nobodyID); err != nil {
		t.Fatal(err)
	}
	shim := filepath.Join(programs, "containerd-shim-runc-v2")
	copyProgram(t, "sh", shim, 0o755)
	forger := exec.Command(shim, "-c", fmt.Sprintf(forgery, id))
	forger.Env = append(os.Environ(), "FORGE_IN="+dir)
	forger.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: &syscall.Credential{Uid: nobodyID, Gid: nobodyID}}
	if err := forger.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Kill(-forger.Process.Pid, syscall.SIGKILL)
		forger.Wait()
	})
	eventually(t, "the forged bundle", func() bool {
		b, _ := os.ReadFile(filepath.Join(dir, "io.containerd.runtime.v2.task/moby", id, "init.pid"))
		return len(b) > 0
	})
	err := filepath.WalkDir(dir, func(name string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Chown(name, owner, owner))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// findProcess waits for a process of a container with that command line and
// returns its PID on the host.
func findProcess(t *testing.T, id, cmdline string) string {
	t.Helper()
	pid := ""
	await.Until(t, fmt.Sprintf("%q runs in container %s", cmdline, id), func() bool {
		files, err := filepath.Glob("/proc/[0-9]*/cmdline")
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			b, _ := os.ReadFile(f) // it may have ended
			cg, _ := os.ReadFile(filepath.Join(filepath.Dir(f), "cgroup"))
			if string(b) == cmdline && strings.Contains(string(cg), id) {
				pid = filepath.Base(filepath.Dir(f))
			}
		}
		return pid != ""
	})
	return pid
}

// bits reads the bounding set of a status file's lines.
func bits(t *testing.T, lines string) uint64 {
	t.Helper()
	var n uint64
	if _, err := fmt.Sscanf(lines, "CapBnd:\t%x", &n); err != nil {
		t.Fatalf("no CapBnd in %q: %v", lines, err)
	}
	return n
}

// namespaceLines are the lines from the first namespace on.
func namespaceLines(t *testing.T, lines string) string {
	t.Helper()
	_, ns, ok := strings.Cut(lines, "mnt:")
	if !ok {
		t.Fatalf("no namespaces in %q", lines)
	}
	return ns
}
