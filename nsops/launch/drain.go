package launch

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Drain leaves a process behind that reads f until it ends and throws away what
// it reads: the part of containerd's shim for a command that outlives dx. It is
// a program of five steps, holds f and nothing else, and belongs to no session.
func Drain(f *os.File) error {
	if err := unix.SetNonblock(int(f.Fd()), false); err != nil {
		return fmt.Errorf("make %s blocking: %w", f.Name(), err)
	}
	exe, err := executable((&Program{Steps: drainSteps()}).image())
	if err != nil {
		return err
	}
	defer exe.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	files := []uintptr{null.Fd(), null.Fd(), null.Fd(), f.Fd(), exe.Fd()}
	_, err = syscall.ForkExec("/proc/self/fd/4", []string{"dx-drain"}, &syscall.ProcAttr{Dir: "/", Env: []string{}, Files: files})
	if err != nil {
		return fmt.Errorf("start the reader of %s: %w", f.Name(), err)
	}
	return nil
}

func drainSteps() []*Step {
	const size = 64 << 10
	c := &compiler{plan: &Plan{}}
	c.hide("become undumpable")
	c.call("leave the caller's session", "", "setsid", unix.SYS_SETSID)
	c.call("close the program's file", "", "close", unix.SYS_CLOSE, num(firstFile+1))
	read := c.call("read", "", "read", unix.SYS_READ, num(firstFile), space(size, "buffer"), num(size))
	read.onPositive = read
	end := c.call("end", "", "exit_group", unix.SYS_EXIT_GROUP, num(0))
	read.onZero, read.onError = end, end // EIO: a terminal that nobody has open
	return c.steps
}
