package tools

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"dx/e2e/standin"
	"dx/nsops/proc"
)

// started is a process in new namespaces: a shell that runs script, says "ready", and
// waits.
func started(t *testing.T, flags uintptr, script string) *proc.Process {
	t.Helper()
	needRoot(t)
	cmd := exec.Command("sh", "-c", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags &^ unix.CLONE_NEWNS, Unshareflags: flags & unix.CLONE_NEWNS}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("%s: %q, %v, want ready", script, line, err)
	}
	p, err := proc.Open(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

const waits = "echo ready; read line"

// TestTracers: root of the same user namespace has power over a command in its PID
// namespace; who has no capability and can get none has not.
func TestTracers(t *testing.T) {
	strong := started(t, unix.CLONE_NEWPID, waits)
	list, err := Tracers(strong, standin.OwnStatus(t))
	if err != nil {
		t.Fatal(err)
	}
	if i := slices.IndexFunc(list, func(w Watcher) bool { return w.PID == strong.PID }); i < 0 || list[i].Reason == "" {
		t.Errorf("%+v, want pid %d among them, which has all rights", list, strong.PID)
	}
	if len(list) != 1 {
		t.Errorf("%+v, want the one process of that PID namespace", list)
	}

	if _, err := exec.LookPath("setpriv"); err != nil {
		t.Skip(err)
	}
	weak := started(t, unix.CLONE_NEWPID, "exec setpriv --reuid 65534 --regid 65534 --clear-groups --bounding-set -all sh -c '"+waits+"'")
	if list, err := Tracers(weak, standin.OwnStatus(t)); err != nil || len(list) > 0 {
		t.Errorf("%+v, %v, want nobody: pid %d has no rights", list, err, weak.PID)
	}
}

// TestHostView: nsenter(1) sees the host's files, the container's at /container, and
// can write neither to the view's root nor anything that the host would see.
func TestHostView(t *testing.T) {
	if _, err := exec.LookPath("nsenter"); err != nil {
		t.Skip(err)
	}
	host := t.TempDir()
	if err := os.WriteFile(filepath.Join(host, "file"), []byte("the host's\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	p := started(t, unix.CLONE_NEWNS, fmt.Sprintf("mount -t tmpfs none %s && echo \"the container's\" >%[1]s/file && %s", host, waits))
	v, err := NewHostView(p, false)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	within := func(script string) string {
		cmd := exec.Command("nsenter", "--mount=/proc/self/fd/3", "sh", "-c", script)
		cmd.ExtraFiles = []*os.File{v.Mnt}
		out, err := cmd.CombinedOutput()
		return strings.TrimSpace(fmt.Sprint(string(out), err))
	}
	for _, step := range []struct{ script, want string }{
		{"cat " + host + "/file", "the host's\n<nil>"},
		{"cat " + ContainerDir + host + "/file", "the container's\n<nil>"},
		{"touch /dx-made 2>/dev/null || echo refused", "refused\n<nil>"},
		{"test -e /proc/self/status && echo the procfs is there", "the procfs is there\n<nil>"},
		{"mount -t tmpfs none " + host + " && ls -A " + host, "<nil>"},
	} {
		if got := within(step.script); got != step.want {
			t.Errorf("%s: %q, want %q", step.script, got, step.want)
		}
	}
	if b, err := os.ReadFile(filepath.Join(host, "file")); string(b) != "the host's\n" {
		t.Errorf("what was mounted in the view is seen outside: %q, %v", b, err)
	}
	if mounts := hostMounts(t); mounts != "" {
		t.Errorf("mounts are left: %s", mounts)
	}
}
