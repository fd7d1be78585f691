package seccomp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"dx/nsops"
	"dx/nsops/proc"
)

// whileStopped runs f while the main thread of p is stopped for this one alone.
//
// PTRACE_SEIZE, unlike PTRACE_ATTACH, sends no signal and leaves a stopped process
// stopped. The tracer is one thread; when that ends, also because dx is killed, the
// kernel lets go of the tracee (kernel/ptrace.c, exit_ptrace), which is also the only
// way to let go of one that has not stopped.
//
// Whoever executes a file of a file system that does not answer holds what PTRACE_SEIZE
// waits for (cred_guard_mutex). That thread is then left waiting; a signal that ends dx
// ends it as well.
func whileStopped(ctx context.Context, p *proc.Process, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- nsops.OnOwnThread(func() error { return stopped(ctx, p, f) }) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-done: // it has seen that as well, and knows more
		return err
	case <-time.After(time.Second):
		return fmt.Errorf("it does not stop: it is in an execve(2) that does not end: %w", context.Cause(ctx))
	}
}

// stopped is whileStopped on the tracer's thread.
func stopped(ctx context.Context, p *proc.Process, f func() error) error {
	_, err := ptrace(unix.PTRACE_SEIZE, p.PID, 0, nil)
	switch {
	case ctx.Err() != nil: // nobody waits any more, and p may be closed
		return context.Cause(ctx)
	case err != nil:
		return seizeError(p, err)
	}
	if err := p.Alive(); err != nil { // else the number may be another's
		return err
	}
	if _, err := ptrace(unix.PTRACE_INTERRUPT, p.PID, 0, nil); err != nil {
		return fmt.Errorf("stop it: %w", err)
	}
	signal, err := awaitStop(ctx, p)
	if err != nil {
		return err
	}
	return errors.Join(f(), letGo(p.PID, signal))
}

// letGo lets the tracee go on with a signal, or with none.
func letGo(pid int, signal unix.Signal) error {
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_DETACH, uintptr(pid), 0, uintptr(signal), 0, 0)
	if errno != 0 && errno != unix.ESRCH { // killed meanwhile
		return fmt.Errorf("let it go on: %w", errno)
	}
	return nil
}

// seizeError says why a process cannot be traced.
func seizeError(p *proc.Process, err error) error {
	if errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("pid %d: %w", p.PID, proc.ErrGone)
	}
	if st, statusErr := p.Status(); statusErr == nil && st.TracerPID != 0 {
		return fmt.Errorf("pid %d traces it already: %w", st.TracerPID, err)
	}
	return fmt.Errorf("trace it, which takes CAP_SYS_PTRACE and kernel.yama.ptrace_scope below 3: %w", err)
}

// awaitStop waits for the tracee to stop and returns the signal that it is to get
// when it goes on: 0, or the one on whose delivery it has stopped.
//
// It asks instead of calling wait(2), of which any other thread could take the
// answer: one that waits for a child of dx's.
func awaitStop(ctx context.Context, p *proc.Process) (unix.Signal, error) {
	for pause := 10 * time.Microsecond; ; pause = min(2*pause, 5*time.Millisecond) {
		var info struct {
			signal, errno, code int32
			_                   [116]byte
		} // siginfo_t
		_, err := ptrace(unix.PTRACE_GETSIGINFO, p.PID, 0, unsafe.Pointer(&info))
		switch {
		case err == nil && info.code>>8 == unix.PTRACE_EVENT_STOP:
			return 0, nil
		case err == nil:
			return unix.Signal(info.signal), nil
		case !errors.Is(err, unix.ESRCH):
			return 0, fmt.Errorf("stop it: %w", err)
		}
		if st, err := p.Stat(); err != nil || st.Dead() { // a zombie is there, and never stops
			return 0, cmp.Or(err, proc.ErrGone)
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("it does not stop: it is frozen, or waits in the kernel for something else: %w", context.Cause(ctx))
		case <-time.After(pause):
		}
	}
}

func ptrace(request, pid int, addr uintptr, data unsafe.Pointer) (int, error) {
	n, _, errno := unix.Syscall6(unix.SYS_PTRACE, uintptr(request), uintptr(pid), addr, uintptr(data), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
