package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dx/e2e/engine"
	"dx/nsops"
)

// keeper is a process that keeps a namespace in which it is not, and nobody else.
type keeper struct {
	how   string
	inode uint64
	pid   int
	says  string // what dx says of how, in `ns` and in `who`
}

// TestKeptNamespaces: what only a descriptor opened by way of a mount, a thread or a socket
// keeps is found, and who says which container that is. The kernel says what it is.
func TestKeptNamespaces(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox)
	for _, k := range []keeper{keptByFile(t, c), keptByMount(t, c), keptBySocket(t, c)} {
		ref := fmt.Sprintf("inode:%d", k.inode)
		s, ok := dxSpaces(t, e, ref)[k.inode]
		if !ok || s.Type != "net" || len(s.Processes) != 0 || s.Held == 0 {
			t.Errorf("%s: dx ns %s: %+v, want a net namespace that nobody is in", k.how, ref, s)
		}
		isOf(t, e, c, ref, "inode", k.says)
	}
	keptByThread(t, e)
}

// made is a network namespace in which nobody is: this process keeps it by a file, and is
// given back what it has to close.
func made(t *testing.T) (file *os.File, inode uint64) {
	t.Helper()
	err := nsops.OnOwnThread(func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		file, err = os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	return file, st.Ino
}

// within runs a shell script in a container's mount and PID namespaces, with f as its fd 3,
// until the end of the test. It says a line when it has done what it is for, and becomes a
// sleep, whose PID is returned.
func within(t *testing.T, c engine.Container, f *os.File, script string) int {
	t.Helper()
	s := seconds()
	args := []string{"-t", strconv.Itoa(c.PID), "-m", "-p", "/bin/sh", "-c", script + "; exec sleep " + s}
	cmd := exec.Command("nsenter", args...)
	cmd.ExtraFiles = []*os.File{f}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := inside(t, "sleep "+s)
	t.Cleanup(func() {
		if p, err := os.FindProcess(pid); err == nil {
			_ = p.Kill()
		}
	})
	// nsenter waits for the shell, and has fd 3 as well.
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return pid
}

func keptByFile(t *testing.T, c engine.Container) keeper {
	t.Helper()
	f, inode := made(t)
	pid := within(t, c, f, "set -e; touch /f; mount --bind /proc/self/fd/3 /f; exec 9</f 3<&-; umount -l /f")
	link, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/9", pid))
	if err != nil || !strings.HasPrefix(link, "/") {
		t.Fatalf("the descriptor is called %q, %v, want a path", link, err)
	}
	return keeper{"by a descriptor opened by way of a mount", inode, pid, fmt.Sprintf("its process %d has the net namespace open as fd 9", pid)}
}

func keptByMount(t *testing.T, c engine.Container) keeper {
	t.Helper()
	f, inode := made(t)
	pid := within(t, c, f, "set -e; touch /m; mount --bind /proc/self/fd/3 /m; exec 3<&-")
	return keeper{"by a mount", inode, pid, "the net namespace is mounted on /m where its process"}
}

func keptBySocket(t *testing.T, c engine.Container) keeper {
	t.Helper()
	f, inode := made(t)
	var socket *os.File
	err := nsops.OnOwnThread(func() error {
		if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		socket = os.NewFile(uintptr(fd), "socket")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	pid := within(t, c, socket, ":")
	return keeper{"by a socket", inode, pid, fmt.Sprintf("its process %d keeps the net namespace by a socket, fd 3", pid)}
}

// keptByThread is of this process: no container's.
func keptByThread(t *testing.T, e *engine.Engine) {
	t.Helper()
	ready, done := make(chan int), make(chan bool)
	defer close(done)
	go nsops.OnOwnThread(func() error { //nolint:errcheck // said by the channel
		err := unix.Unshare(unix.CLONE_NEWUTS)
		if err != nil {
			t.Error(err)
		}
		ready <- unix.Gettid()
		<-done
		return err
	})
	tid := <-ready
	var st unix.Stat_t
	if err := unix.Stat(fmt.Sprintf("/proc/self/task/%d/ns/uts", tid), &st); err != nil {
		t.Fatal(err)
	}
	s := dxSpaces(t, e, fmt.Sprintf("uts:[%d]", st.Ino))[st.Ino]
	if s.Type != "uts" || !slices.ContainsFunc(s.HeldBy, func(h hold) bool { return h.TID == tid && h.Pid == os.Getpid() }) {
		t.Errorf("%+v, want what thread %d of %d is in", s, tid, os.Getpid())
	}
}
