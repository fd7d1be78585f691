package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"dx/e2e/engine"
)

// TestAttackLockedMemory: a process has its memory locked, so that nobody can read its
// command line, for as long as its FUSE server likes.
func TestAttackLockedMemory(t *testing.T) {
	needFUSE(t)
	e := suite.Start(t, engine.Options{})
	c := silentContainer(t, e, "lookup,getattr,open,read", "/etc/hosts")
	e.MustDocker(t, "cp", suite.Build(t, "dx/e2e/attacker/mmlock"), c.Name+":/mmlock")
	e.MustDocker(t, "exec", "-d", c.Name, "/mmlock", "/etc/hosts")
	locked := ""
	eventually(t, "a process waits with its memory locked", func() bool {
		files, _ := filepath.Glob("/proc/[0-9]*/stat") // ps(1) would hang
		for _, file := range files {
			if b, _ := os.ReadFile(file); strings.Contains(string(b), " (mmlock) D ") {
				locked = filepath.Base(filepath.Dir(file))
			}
		}
		return locked != ""
	})
	pid := "pid:" + locked
	for _, args := range [][]string{{"top", c.Name}, {"top", pid}, {"inspect", pid}, {"diff", c.Name, pid}, {"ns", "--procs"}, {"doctor"}} {
		r := bounded(t, e, args...)
		if args[0] == "top" && (r.Code != 0 || !strings.Contains(r.Stdout, "[mmlock]")) {
			t.Errorf("dx %q: %+v, want the process by its name", args, r)
		}
	}
}

// TestAttackSilentExecve: a process in no container, whose filters would have to be read
// of the kernel, is in an execve(2) that never ends. Nobody can begin to trace it.
func TestAttackSilentExecve(t *testing.T) {
	needFUSE(t)
	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	attack := exec.Command("unshare", "-m", "sh", "-c", `"$0" -answer getattr,open "$2" & until grep -q silentfuse /proc/self/mounts; do sleep 0.1; done; exec "$1" "$2"`,
		suite.Build(t, "dx/e2e/attacker/silentfuse"), suite.Build(t, "dx/e2e/attacker/execer"), file)
	attack.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := attack.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-attack.Process.Pid, syscall.SIGKILL)
		_ = attack.Wait()
	})
	eventually(t, "the process waits in execve", func() bool {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", attack.Process.Pid))
		return strings.Contains(string(b), "Name:\texecer") && strings.Contains(string(b), "Seccomp:\t2") && executes(attack.Process.Pid)
	})
	r := boundedCommand(t, exec.Command(suite.Dx(t), "exec", "--ignore-caller-limits", fmt.Sprintf("pid:%d", attack.Process.Pid), "true"))
	if r.Code == 0 || !strings.Contains(r.Stderr, "execve") {
		t.Errorf("%+v, want that it waits in execve", r)
	}
}

// executes reports whether a thread of a process is in that call, and holds what
// PTRACE_SEIZE waits for: it reads the file, which it has opened before it did.
func executes(pid int) bool {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stack", pid))
	for _, file := range files {
		if b, _ := os.ReadFile(file); bytes.Contains(b, []byte("execve")) && bytes.Contains(b, []byte("kernel_read")) {
			return true
		}
	}
	return false
}
