package launch

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"dx/nsops/proc"
)

// dx's side of the keeper.

// keep waits until the keeper says that P has ended, and then until the child is the
// command or has failed.
func (s *start) keep(ctx context.Context) (*Process, error) {
	noticed := false
	err := s.wait(ctx, func() bool {
		noticed = noticed || s.noticed()
		return noticed && s.decided()
	})
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		s.giveUp()
		return nil, context.Cause(ctx)
	}
	if s.executed(s.report.child()) {
		return s.process(), nil
	}
	return s.ended()
}

// decided waits a moment and reports whether the child is the command, or there is none
// any more and the keeper ends. P ends a little before execve clears PF_FORKNOEXEC
// (fs/exec.c, begin_new_exec), and sooner for a child that is placed.
func (s *start) decided() bool {
	if child := s.report.child(); child <= 0 || s.executed(child) || hasEnded(s.pid) {
		return true
	}
	time.Sleep(50 * time.Microsecond)
	return false
}

// noticed waits a moment for the keeper's word, or its end, and reports whether one of
// them has come.
func (s *start) noticed() bool {
	fds := []unix.PollFd{{Fd: int32(s.notice.Fd()), Events: unix.POLLIN}}
	if s.pidfd != nil {
		fds = append(fds, unix.PollFd{Fd: int32(s.pidfd.Fd()), Events: unix.POLLIN})
	}
	n, err := unix.Poll(fds, int(attention.Milliseconds()))
	return n > 0 || err != nil && !errors.Is(err, unix.EINTR) || s.pidfd == nil && hasEnded(s.pid)
}

// child is what the report page calls the command, held from the moment it is there.
type child struct {
	pid   int
	pidfd *os.File // nil on kernels before 5.3
	stat  *proc.StatFile
	done  bool // it has been seen to be the command
}

// hold takes the pidfd first: if the stat file is that of the keeper's child, so is the
// pidfd, as the keeper may reap the child at any moment. nil: it has done so.
func hold(pid int) *child {
	c := &child{pid: pid}
	if fd, err := unix.PidfdOpen(pid, 0); err == nil {
		c.pidfd = os.NewFile(uintptr(fd), "pidfd")
	}
	var err error
	if c.stat, err = proc.OpenStat(pid); err != nil {
		c.close()
		return nil
	}
	return c
}

func (c *child) close() {
	if c == nil {
		return
	}
	if c.stat != nil {
		c.stat.Close()
	}
	if c.pidfd != nil {
		c.pidfd.Close()
	}
}

// executed reports whether a child of the keeper's has become the command.
func (s *start) executed(pid int) bool {
	if pid <= 0 {
		return false
	}
	if s.child == nil {
		s.child = hold(pid)
	}
	if c := s.child; c != nil && !c.done {
		st, err := c.stat.Read()
		c.done = err == nil && st.PPID == s.pid && st.Flags&proc.PFForkNoExec == 0
	}
	return s.child != nil && s.child.done
}

// isChildOf reports whether a process is an unreaped child of another, whose PID cannot
// be anybody else's meanwhile. It is no adopted one: a keeper adopts nobody. It
// may be the command's sibling (CLONE_PARENT), whose PID no page has.
func isChildOf(pid, parent int) bool {
	st, err := proc.StatOf(pid)
	return err == nil && st.PPID == parent
}

// process is the command that was seen, with its pidfd.
func (s *start) process() *Process {
	pr := &Process{PID: s.child.pid, pidfd: s.child.pidfd, keeper: s.pid, report: s.report}
	s.child.pidfd = nil
	return pr
}

// ended reads what a keeper has left that has nobody to keep any more.
func (s *start) ended() (*Process, error) {
	status, err := reap(s.pid)
	if err != nil {
		return nil, fmt.Errorf("wait for the program: %w", err)
	}
	r := s.report
	last, child := r.status(offReportStatus), r.child()
	switch step, errno := r.failure(); {
	case step != 0:
		return nil, s.program.stepError(step, errno)
	case status != 0:
		return nil, fmt.Errorf("start the command: its keeper has ended before: %s", statusText(status))
	case r.unborn():
		err := s.program.childError(last)
		if step := (*StepError)(nil); errors.As(err, &step) && step.Step.Stage == StageExec {
			step.Path = s.searched()
		}
		return nil, err
	case child <= 0:
		return nil, fmt.Errorf("the program ended without starting the command: %s", statusText(r.status(offReportLast)))
	}
	return &Process{PID: child, over: &last}, nil
}

// searched returns the path at which P has found the command in PATH: what the page has
// is its place in the image.
func (s *start) searched() string {
	at := binary.NativeEndian.Uint64(s.report.page[offReportPath:])
	if at < dataBase || at-dataBase >= uint64(len(s.image.data)) {
		return ""
	}
	path, _, _ := bytes.Cut(s.image.data[at-dataBase:], []byte{0})
	return string(path)
}

// waitKeeper waits for the keeper, which ends when the command has.
func (pr *Process) waitKeeper() (unix.WaitStatus, error) {
	status, err := reap(pr.keeper)
	switch {
	case err != nil:
		return 0, fmt.Errorf("wait for the command: %w", err)
	case status != 0:
		awaitEnd(pr.pidfd)
		return 0, fmt.Errorf("the exit code of the command (pid %d) is not known: its keeper was ended: %s", pr.PID, statusText(status))
	}
	return pr.report.status(offReportStatus), nil
}

// awaitEnd waits for a process that somebody else reaps.
func awaitEnd(pidfd *os.File) {
	if pidfd == nil {
		return
	}
	fds := []unix.PollFd{{Fd: int32(pidfd.Fd()), Events: unix.POLLIN}}
	for {
		if _, err := unix.Poll(fds, -1); !errors.Is(err, unix.EINTR) {
			return
		}
	}
}
