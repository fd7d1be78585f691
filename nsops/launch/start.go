package launch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"dx/nsops/proc"
)

// StepError says which step of a program failed.
type StepError struct {
	Step  *Step
	Errno unix.Errno
	Path  string // of an execve: where the command was found in PATH; empty: not searched for
}

func (e *StepError) Error() string { return fmt.Sprintf("cannot %s: %v", e.Step.Doing, e.Errno) }
func (e *StepError) Unwrap() error { return e.Errno }

// Process is a started command, which the caller must Wait for or Release.
type Process struct {
	PID   int
	pidfd *os.File // nil on kernels before 5.3, and for a process that is gone

	// A command that is kept is a child of the keeper's, which is a child of the caller's.
	keeper int // its PID; 0: the command is the caller's own child
	report *report
	over   *unix.WaitStatus // of a command whose keeper has ended already
}

// Start runs the program with the given files as its descriptors 0, 1 and 2. It
// returns when the command has been executed (execve succeeded), or with a
// *StepError and nothing left behind. Cancelling ctx kills what was started.
//
// A child that may not be born where the container's processes are limited is placed
// there.
func (p *Program) Start(ctx context.Context, stdio [3]*os.File) (*Process, error) {
	pr, err := p.start(ctx, stdio)
	var denied *StepError
	if p.atLimit == nil || !errors.As(err, &denied) || denied.Errno != unix.EAGAIN || !denied.Step.birth {
		return pr, err
	}
	again, cannot := p.atLimit()
	if cannot != nil {
		return nil, cannot
	}
	pr, cannot = again.start(ctx, stdio)
	if errors.As(cannot, &denied) && denied.Step.Stage == StageSetup {
		return nil, fmt.Errorf("%w, nor %w", err, cannot)
	}
	return pr, cannot
}

func (p *Program) start(ctx context.Context, stdio [3]*os.File) (*Process, error) {
	report, err := newReport()
	if err != nil {
		return nil, err
	}
	pr, err := p.startWith(ctx, stdio, report)
	if err != nil || pr.report == nil {
		report.close()
	}
	return pr, err
}

func (p *Program) startWith(ctx context.Context, stdio [3]*os.File, report *report) (*Process, error) {
	img := p.image()
	exe, err := executable(img)
	if err != nil {
		return nil, err
	}
	defer exe.Close()
	notice, other, err := p.openNotice()
	if err != nil {
		return nil, err
	}
	defer notice.Close()
	pid, pidfd, err := p.fork(stdio, exe, report.file, other)
	other.Close()
	if err != nil {
		return nil, err
	}
	defer pidfd.Close()
	s := &start{program: p, image: img, pid: pid, pidfd: pidfd, report: report, notice: notice}
	if p.kept {
		defer func() { s.child.close() }()
		return s.keep(ctx)
	}
	return s.adopt(ctx)
}

// adopt waits for a command that is dx's own child.
func (s *start) adopt(ctx context.Context) (*Process, error) {
	p := s.program
	if err := p.atPause(s.pid); err != nil {
		return nil, err
	}
	if err := s.wait(ctx, s.exited); err != nil {
		return nil, err
	}
	status, err := reap(s.pid)
	if err != nil {
		return nil, fmt.Errorf("wait for the program: %w", err)
	}
	if ctx.Err() != nil {
		s.giveUp()
		return nil, context.Cause(ctx)
	}
	if err := awaitInit(ctx, s.notice, s.report); err != nil {
		return nil, err
	}
	return p.outcome(ctx, status, s.report)
}

// shedInherited keeps the descriptors that dx was started with, but for its streams, from what
// dx starts: a directory of the host's would be a way out of the container.
func shedInherited() error {
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("list dx's own descriptors: %w", err)
	}
	for _, entry := range open {
		if fd, err := strconv.Atoi(entry.Name()); err == nil && fd >= firstFile {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}

// fork starts the program's first process. syscall.ForkExec, not os.StartProcess: the latter probes pidfd
// support with a child of its own.
func (p *Program) fork(stdio [3]*os.File, exe, report, notice *os.File) (pid int, pidfd *os.File, err error) {
	files := []uintptr{stdio[0].Fd(), stdio[1].Fd(), stdio[2].Fd()}
	for _, f := range p.files {
		switch f {
		case statusFile:
			f = report
		case noticeFile:
			f = notice
		}
		files = append(files, f.Fd())
	}
	files = append(files, exe.Fd())
	if p.shed {
		if err := shedInherited(); err != nil {
			return 0, nil, err
		}
	}
	fd := -1 // stays so before Linux 5.2
	pid, err = syscall.ForkExec(fmt.Sprintf("/proc/self/fd/%d", len(files)-1), []string{"dx"},
		&syscall.ProcAttr{Env: []string{}, Files: files, Sys: &syscall.SysProcAttr{PidFD: &fd}})
	if err != nil {
		return 0, nil, fmt.Errorf("start the program: %w", err)
	}
	if fd >= 0 {
		pidfd = os.NewFile(uintptr(fd), "pidfd")
	}
	return pid, pidfd, nil
}

// kill kills a process that may have been reaped meanwhile.
func kill(pid int, pidfd *os.File) {
	if pidfd == nil {
		_ = unix.Kill(pid, unix.SIGKILL)
		return
	}
	_ = unix.PidfdSendSignal(int(pidfd.Fd()), unix.SIGKILL, nil, 0)
}

func reap(pid int) (unix.WaitStatus, error) {
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(pid, &status, 0, nil)
		if !errors.Is(err, unix.EINTR) {
			return status, err
		}
	}
}

// isChild reports whether pid is an unreaped child of this process: a PID from the
// report page is believed only then.
func isChild(pid int) bool {
	return unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil) == nil
}

// outcome reads how P ended.
func (p *Program) outcome(ctx context.Context, status unix.WaitStatus, r *report) (*Process, error) {
	child := r.child()
	born := child > 0 && isChild(child)
	if step, errno := r.failure(); step != 0 {
		if born {
			_, _ = reap(child)
		}
		return nil, p.stepError(step, errno)
	}
	if !born {
		return nil, fmt.Errorf("the program ended without starting the command: %s", statusText(status))
	}
	if p.init { // the child stays a program, and has started the command
		return newProcess(child), nil
	}
	return p.becameCommand(ctx, child)
}

// becameCommand waits for the moment when the kernel calls the child executed or
// dead. The vfork is over a little before execve clears PF_FORKNOEXEC
// (fs/exec.c, begin_new_exec), so the answer may take some microseconds.
func (p *Program) becameCommand(ctx context.Context, pid int) (*Process, error) {
	for {
		st, err := proc.StatOf(pid)
		switch {
		case err != nil:
			return nil, fmt.Errorf("watch the command start: %w", err)
		case st.Flags&proc.PFForkNoExec == 0:
			return newProcess(pid), nil
		case st.Dead():
			status, err := reap(pid)
			if err != nil {
				return nil, fmt.Errorf("wait for the child: %w", err)
			}
			return nil, p.childError(status)
		}
		select {
		case <-ctx.Done():
			kill(pid, nil)
			_, _ = reap(pid)
			return nil, context.Cause(ctx)
		case <-time.After(50 * time.Microsecond):
		}
	}
}

// childError turns the exit code of a child that never became the command into
// the step that failed: see exitExec and its like.
func (p *Program) childError(status unix.WaitStatus) error {
	if !status.Exited() {
		return fmt.Errorf("the command was not started: its process was ended: %s", statusText(status))
	}
	code := uint64(status.ExitStatus())
	var best *Step
	for _, s := range p.Steps {
		if s.child && s.Nr < opFail && s.exit <= code && (best == nil || s.exit > best.exit || s.exit == best.exit && s.Stage == StageExec) {
			best = s
		}
	}
	return &StepError{Step: best, Errno: unix.Errno(code - best.exit)}
}

func statusText(s unix.WaitStatus) string {
	if s.Signaled() {
		return "killed by " + unix.SignalName(s.Signal())
	}
	return fmt.Sprintf("exit code %d", s.ExitStatus())
}

func (p *Program) stepError(addr uint64, errno unix.Errno) error {
	i := (addr - dataBase - headerSize) / stepSize
	if i >= uint64(len(p.Steps)) {
		return fmt.Errorf("the program reports an impossible step at %#x", addr)
	}
	return &StepError{Step: p.Steps[i], Errno: errno}
}

func newProcess(pid int) *Process {
	pr := &Process{PID: pid}
	if fd, err := unix.PidfdOpen(pid, 0); err == nil {
		pr.pidfd = os.NewFile(uintptr(fd), "pidfd")
	}
	return pr
}

// Signal sends a signal to the command.
func (pr *Process) Signal(sig unix.Signal) error {
	switch {
	case pr.pidfd != nil:
		return unix.PidfdSendSignal(int(pr.pidfd.Fd()), sig, nil, 0)
	case pr.over != nil || pr.keeper != 0 && !isChildOf(pr.PID, pr.keeper):
		return unix.ESRCH
	}
	return unix.Kill(pr.PID, sig)
}

// Wait waits for the command to end and releases it.
func (pr *Process) Wait() (unix.WaitStatus, error) {
	defer pr.Release()
	if pr.over != nil {
		return *pr.over, nil
	}
	if pr.keeper != 0 {
		return pr.waitKeeper()
	}
	status, err := reap(pr.PID)
	if err != nil {
		return status, fmt.Errorf("wait for the command: %w", err)
	}
	return status, nil
}

// Release forgets the command without waiting.
func (pr *Process) Release() {
	if pr.pidfd != nil {
		pr.pidfd.Close()
	}
	if pr.report != nil {
		pr.report.close()
		pr.report = nil
	}
}
