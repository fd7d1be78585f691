package lookup

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"dx/dockerx"
	"dx/e2e/await"
	"dx/nsops"
	"dx/nsops/proc"
)

// endingContainer is a container whose init has been killed and is no zombie yet: the
// kernel lets it wait for a process of its PID namespace that nobody reaps
// (kernel/pid_namespace.c, zap_pid_ns_processes). It is opened before.
func endingContainer(t *testing.T) *dockerx.Container {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("joining a PID namespace takes root")
	}
	init := exec.Command("sleep", "100000")
	init.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET}
	if err := init.Start(); err != nil {
		t.Skipf("no namespaces can be made here: %v", err)
	}
	t.Cleanup(func() { _ = init.Process.Kill(); _ = init.Wait() })
	p, err := proc.Open(init.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	unreaped := exec.Command("sleep", "100000")
	if err := startIn(init.Process.Pid, unreaped); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unreaped.Process.Kill(); _ = unreaped.Wait() })
	if err := init.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	await.Until(t, "the init has left its namespaces", func() bool {
		_, err := os.Stat(fmt.Sprintf("/proc/%d/ns/mnt", p.PID))
		return os.IsNotExist(err)
	})
	if st, err := p.Stat(); err != nil || st.Dead() {
		t.Fatalf("the init is %+v, %v, want one that waits for the other process", st, err)
	}
	return &dockerx.Container{ID: strings.Repeat("cd", 32), Ref: "ending", Name: "ending", Process: p}
}

// startIn starts a command in the PID namespace of a process.
func startIn(pid int, cmd *exec.Cmd) error {
	return nsops.OnOwnThread(func() error {
		f, err := os.Open(fmt.Sprintf("/proc/%d/ns/pid", pid))
		if err != nil {
			return err
		}
		defer f.Close()
		if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWPID); err != nil {
			return fmt.Errorf("join the PID namespace of %d: %w", pid, err)
		}
		return cmd.Start()
	})
}

// TestFindBesideOneThatEnds: what ends in the middle of a look hides no other.
func TestFindBesideOneThatEnds(t *testing.T) {
	c := makeContainer(t)
	list := []*dockerx.Container{endingContainer(t), c.Container}
	pid := c.Process.PID
	for _, arg := range []string{
		fmt.Sprint(pid), fmt.Sprintf("net:[%d]", inode(t, pid, "net")), fmt.Sprintf("ipc:[%d]", inode(t, c.child, "ipc")),
		fmt.Sprintf("tcp:%d", madePort), madeAddress, c.volume,
	} {
		hits, err := New(list).Find(arg)
		if err != nil || len(hits) != 1 || hits[0].Container != c.Container {
			t.Errorf("%s: %+v, %v, want made alone", arg, hits, err)
		}
	}
	for _, arg := range []string{"cgroup:/dx/no/such/cgroup", "if:dxnosuch0"} {
		finder := New(list)
		var unknown *UnknownError
		if _, err := finder.Find(arg); !errors.As(err, &unknown) || len(finder.Unread()) > 0 {
			t.Errorf("%s: %v, not read %q, want an UnknownError and nothing", arg, err, finder.Unread())
		}
	}
}
