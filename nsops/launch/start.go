package launch

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"dx/nsops/proc"
)

// StepError says which step of a program failed.
type StepError struct {
	Step  *Step
	Errno unix.Errno
}

func (e *StepError) Error() string { return fmt.Sprintf("cannot %s: %v", e.Step.Doing, e.Errno) }
func (e *StepError) Unwrap() error { return e.Errno }

// Process is a started command: a child of the caller, who must Wait for it.
type Process struct {
	PID   int
	pidfd *os.File // nil on kernels before 5.3
}

// Start runs the program with the given files as its descriptors 0, 1 and 2. It
// returns when the command has been executed (execve succeeded), or with a
// *StepError and nothing left behind. Cancelling ctx kills what was started.
func (p *Program) Start(ctx context.Context, stdio [3]*os.File) (*Process, error) {
	report, err := newReport()
	if err != nil {
		return nil, err
	}
	defer report.close()
	img := p.Image()
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
	if err := p.atPause(pid); err != nil {
		return nil, err
	}
	status, err := (&start{p, img, pid, pidfd, report}).wait(ctx)
	if err != nil {
		return nil, err
	}
	if err := awaitInit(ctx, notice, report); err != nil {
		return nil, err
	}
	return p.outcome(ctx, status, report)
}

// fork starts P. syscall.ForkExec, not os.StartProcess: the latter probes pidfd
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

// isChild says whether pid is an unreaped child of this process: a PID from the
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
	if pr.pidfd != nil {
		return unix.PidfdSendSignal(int(pr.pidfd.Fd()), sig, nil, 0)
	}
	return unix.Kill(pr.PID, sig)
}

// Wait waits for the command to end and releases it.
func (pr *Process) Wait() (unix.WaitStatus, error) {
	status, err := reap(pr.PID)
	pr.Release()
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
}

// report is the page that P shares with dx.
type report struct {
	file *os.File
	page []byte
}

func newReport() (*report, error) {
	f, err := memfd("dx-report", unix.MFD_NOEXEC_SEAL)
	if errors.Is(err, unix.EINVAL) { // Linux 6.3
		f, err = memfd("dx-report", 0)
	}
	if err != nil {
		return nil, err
	}
	if err := f.Truncate(pageSize); err != nil {
		f.Close()
		return nil, fmt.Errorf("make the report page: %w", err)
	}
	page, err := unix.Mmap(int(f.Fd()), 0, pageSize, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("map the report page: %w", err)
	}
	return &report{file: f, page: page}, nil
}

func (r *report) close() {
	_ = unix.Munmap(r.page)
	r.file.Close()
}

func (r *report) failure() (step uint64, errno unix.Errno) {
	return binary.NativeEndian.Uint64(r.page[offReportStep:]), unix.Errno(binary.NativeEndian.Uint64(r.page[offReportErrno:]))
}

func (r *report) child() int {
	return int(int32(binary.NativeEndian.Uint32(r.page[offReportChild:])))
}
