package nsops

import (
	"bufio"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"

	"dx/nsops/proc"
)

// TestOpenRoot: a process in a mount namespace of its own has gone into a jail. Its
// namespace has the root that nsenter(1) finds.
func TestOpenRoot(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("unshare and chroot need root")
	}
	jail := t.TempDir()
	cmd := exec.Command("unshare", "--mount", "sh", "-c", `mount -t tmpfs dx "$0" && mkdir "$0/jail" && echo ready && exec cat`, jail)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stdin.Close(); _ = cmd.Wait() })
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || line != "ready\n" {
		t.Skipf("no mount namespace can be made here: %q, %v", line, err)
	}
	p, err := proc.Open(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	root, err := OpenRoot(p)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	// The tmpfs is mounted in its namespace only.
	var fs unix.Statfs_t
	fd, err := unix.Openat(int(root.Fd()), jail[1:], unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Fstatfs(fd, &fs); err != nil || fs.Type != unix.TMPFS_MAGIC {
		t.Errorf("%s beneath the root is of type %#x, %v: not the mount of that namespace", jail, fs.Type, err)
	}
}
