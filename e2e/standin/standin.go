// Package standin has what stands for a container where there is no engine: processes in
// namespaces and cgroups of their own, and a shim in a bundle. It serves tests only.
package standin

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"dx/e2e/await"
	"dx/nsops"
	"dx/nsops/cgroup"
	"dx/nsops/proc"
)

// Nobody is a user that is neither root nor dx's.
const Nobody = 65534

// NeedRoot skips the test for a plain user.
func NeedRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("processes of other users, in other namespaces and cgroups take root")
	}
}

// Must ends the test if a step that it is made of fails.
func Must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// ID is a container's, of this run and no other. tail is four digits.
func ID(t testing.TB, tail string) string {
	t.Helper()
	return fmt.Sprintf("%060x", os.Getpid()) + tail
}

// Cgroup makes cgroups in each other in one of the test's own, and returns their
// directories, the outermost first. They are removed last if they are made first.
func Cgroup(t testing.TB, path ...string) []string {
	t.Helper()
	own, err := cgroup.Own()
	Must(t, err)
	dirs, err := cgroup.DirsOf(own)
	Must(t, err)
	var last error
	for _, d := range dirs {
		if strings.Contains(d.Controller, "cpuset") {
			continue // takes no process before it is set up
		}
		var made []string
		if made, last = cgroupsIn(t, d.Path, path); last == nil {
			return made
		}
	}
	t.Skipf("no cgroup can be made here: %v", last)
	return nil
}

func cgroupsIn(t testing.TB, dir string, path []string) (made []string, err error) {
	for i := range path {
		dir := filepath.Join(dir, filepath.Join(path[:i+1]...))
		if err := os.Mkdir(dir, 0o755); err != nil {
			return nil, err
		}
		t.Cleanup(func() { // what was killed in it may not have ended yet
			await.Until(t, dir+" is removed", func() bool { return unix.Rmdir(dir) == nil })
		})
		made = append(made, dir)
	}
	return made, nil
}

// Enter moves a process into a cgroup.
func Enter(t testing.TB, dir string, p *proc.Process) {
	t.Helper()
	Must(t, os.WriteFile(dir+"/cgroup.procs", []byte(strconv.Itoa(p.PID)), 0o644))
}

// Cat runs cat in new namespaces of these kinds (CLONE_NEW…), by another command that
// becomes it if one is given, until the test ends.
func Cat(t testing.TB, namespaces uintptr, by ...string) *proc.Process {
	t.Helper()
	args := append(by, "cat")
	cmd := exec.Command(args[0], args[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces}
	return Start(t, cmd)
}

// Start starts a command that copies its input to its output, and returns once it does.
func Start(t testing.TB, cmd *exec.Cmd) *proc.Process {
	t.Helper()
	in, err := cmd.StdinPipe()
	Must(t, err)
	out, err := cmd.StdoutPipe()
	Must(t, err)
	cmd.Stderr = os.Stderr
	Must(t, cmd.Start())
	ended := make(chan struct{})
	t.Cleanup(func() {
		in.Close()
		<-ended
	})
	_, err = in.Write([]byte("x"))
	if err == nil {
		_, err = io.ReadFull(out, make([]byte, 1))
	}
	go func() {
		defer close(ended)
		_ = cmd.Wait() // it may have been killed
	}()
	if err != nil {
		t.Fatalf("%s does not answer: %v", cmd, err)
	}
	return Open(t, cmd.Process.Pid)
}

// Open holds a process until the test ends.
func Open(t testing.TB, pid int) *proc.Process {
	t.Helper()
	p, err := proc.Open(pid)
	Must(t, err)
	t.Cleanup(func() { p.Close() })
	return p
}

// Child is the only child of a process, once it has one.
func Child(t testing.TB, p *proc.Process) *proc.Process {
	t.Helper()
	var children []int
	await.Until(t, fmt.Sprintf("pid %d has a child", p.PID), func() bool {
		var err error
		children, err = p.Children()
		return err != nil || len(children) > 0
	})
	if len(children) != 1 {
		t.Fatalf("pid %d has the children %v, want one", p.PID, children)
	}
	return Open(t, children[0])
}

// End kills a process that the test has started, and waits until it is gone.
func End(t testing.TB, p *proc.Process) {
	t.Helper()
	Must(t, Kill(p))
	await.Until(t, fmt.Sprintf("pid %d has ended", p.PID), func() bool { return errors.Is(p.Alive(), proc.ErrGone) })
}

// OwnStatus is the test's own.
func OwnStatus(t testing.TB) proc.Status {
	t.Helper()
	st, err := proc.OwnStatus()
	Must(t, err)
	return st
}

// Kill kills a process, and no other that has its number.
func Kill(p *proc.Process) error {
	h, err := p.OpenHandle()
	if err != nil {
		return err
	}
	defer h.Close()
	return h.Signal(unix.SIGKILL)
}

// AsNobody runs f on a thread of a plain user's: with its own eyes, nothing of root's
// is seen.
func AsNobody(t testing.TB, f func() error) {
	t.Helper()
	NeedRoot(t)
	Must(t, nsops.OnOwnThread(func() error {
		// The system call, as setresuid(3) would be for all threads.
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, Nobody, Nobody, Nobody); errno != 0 {
			return errno
		}
		return f()
	}))
}
