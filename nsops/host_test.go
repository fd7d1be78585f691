package nsops

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadHost(t *testing.T) {
	set, pid, err := ReadHost()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Readlink("/proc/1/ns/net"); err == nil && pid != 1 {
		t.Errorf("pid %d stands in for init, whose links can be read", pid)
	}
	if diff := cmp.Diff(links(t, pid), set.Own); diff != "" {
		t.Errorf("pid %d (-readlink +got):\n%s", pid, diff)
	}
}

// readHost is ReadHost by a caller that may trace nobody but itself.
func readHost() error {
	if err := errors.Join(syscall.Setgid(65534), syscall.Setuid(65534)); err != nil {
		return err
	}
	set, pid, err := ReadHost()
	fmt.Println(pid == os.Getpid(), set.Own[Net].Inode, err)
	return nil
}

func helperCommand(t *testing.T, helper, name string, args ...string) *exec.Cmd {
	t.Helper()
	needRoot(t)
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), helperVar+"="+helper)
	return cmd
}

func TestReadHostWithoutPermission(t *testing.T) {
	// With -cover a process that ends early has something to say on stderr.
	out, err := helperCommand(t, "read-host", "/proc/self/exe").Output()
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintln(true, links(t, os.Getpid())[Net].Inode, nil)
	if diff := cmp.Diff(want, string(out)); diff != "" {
		t.Errorf("as nobody (-want +got):\n%s", diff)
	}
}

// In another PID namespace than the first, pid 2 may be anybody.
func TestReadHostIgnoresOrdinaryPID2(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	script := `setpriv --reuid 65534 --regid 65534 --clear-groups sleep 1000 &
		until grep -qx 'Name:.sleep' /proc/2/status; do sleep 0.01; done; "$0"; exit`
	cmd := helperCommand(t, "read-host", "unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", script, exe)
	out, err := cmd.Output()
	if err != nil || !strings.HasPrefix(string(out), "true ") {
		t.Errorf("%q, %v, want the caller's own", out, err)
	}
}
