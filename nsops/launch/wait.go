package launch

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"dx/nsops/proc"
)

// startPatience is how long P may be at one step that asks the container's file
// systems: the working directory, the search for the command, execve.
const startPatience = 10 * time.Second

// SilentStepError says at which step a program waits for a file system. errors.Is
// finds ErrSilent in it.
type SilentStepError struct{ Step *Step }

func (e *SilentStepError) Error() string {
	return fmt.Sprintf("cannot %s within %v: %s: its file system does not answer", e.Step.Doing, startPatience, e.Step)
}

func (e *SilentStepError) Unwrap() error { return ErrSilent }

// start is a program whose first process runs.
type start struct {
	program *Program
	image   image
	pid     int      // of P, or of the keeper
	pidfd   *os.File // nil on kernels before 5.2
	report  *report
	notice  *os.File // nil: the program gives none
	child   *child   // of a keeper's; nil: it has not been seen yet
}

// wait waits until it is over. What cannot be killed then is left to the kernel.
func (s *start) wait(ctx context.Context, over func() bool) error {
	begin := time.Now()
	for !over() {
		var cause error
		if ctx.Err() != nil {
			cause = context.Cause(ctx)
		} else if step := s.silentStep(begin); step != nil {
			cause = &SilentStepError{Step: step}
		}
		if cause != nil {
			s.giveUp()
			return cause
		}
	}
	return nil
}

// attention is how soon the end of a context is seen.
const attention = 50 * time.Millisecond

// exited waits a moment for the end of the first process and reports whether it has come.
func (s *start) exited() bool {
	if s.pidfd == nil {
		time.Sleep(100 * time.Microsecond)
		return hasEnded(s.pid)
	}
	fds := []unix.PollFd{{Fd: int32(s.pidfd.Fd()), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, int(attention.Milliseconds()))
	return n > 0 || err != nil && !errors.Is(err, unix.EINTR)
}

// hasEnded reports whether a child is there to be reaped.
func hasEnded(pid int) bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	return err == nil && info.Signo != 0
}

// giveUp kills what was started. A keeper ends by itself, once P and what was born
// have: it is theirs to wait for.
func (s *start) giveUp() {
	if !s.program.kept {
		for _, pid := range []int{s.pid, s.report.child()} {
			s.end(pid)
			abandon(pid)
		}
		return
	}
	for end := time.Now().Add(dying); !hasEnded(s.pid) && time.Now().Before(end); time.Sleep(time.Millisecond) {
		s.end(s.report.program())
		s.end(s.report.child())
	}
	if s.report.program() <= 0 { // it has had no processor yet, or is stopped: there is nobody to keep
		kill(s.pid, s.pidfd)
	}
	abandon(s.pid)
}

// end kills a process of the program's, if it is one: pidfd first, so that whoever has
// the number then is the one that is asked about.
func (s *start) end(pid int) {
	if pid <= 0 {
		return
	}
	var pidfd *os.File
	if fd, err := unix.PidfdOpen(pid, 0); err == nil {
		pidfd = os.NewFile(uintptr(fd), "pidfd")
		defer pidfd.Close()
	}
	if s.owns(pid) {
		kill(pid, pidfd)
	}
}

// owns reports whether a process is an unreaped child of dx's own, or of the keeper's: a
// PID from the report page is believed only then.
func (s *start) owns(pid int) bool {
	if pid <= 0 {
		return false
	}
	if pid == s.pid || !s.program.kept {
		return isChild(pid)
	}
	return isChildOf(pid, s.pid)
}

// abandon reaps a process that was killed. One that sleeps uninterruptibly is left
// to the kernel.
func abandon(pid int) {
	if pid <= 0 || !isChild(pid) {
		return
	}
	for end := time.Now().Add(dying); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if hasEnded(pid) {
			_, _ = reap(pid)
			return
		}
	}
	go func() { _, _ = reap(pid) }()
}

// silentStep is the step at which a program waits for a file system, if it does so
// for long; nil also where that cannot be told. A program that is frozen with its
// cgroup, stopped, or not given a processor is at none.
func (s *start) silentStep(begin time.Time) *Step {
	if time.Since(begin) < startPatience {
		return nil
	}
	pid := s.pid
	for _, later := range []int{s.report.program(), s.report.child()} {
		if s.owns(later) {
			pid = later
		}
	}
	text, err := proc.ReadKernelFile("/proc/"+strconv.Itoa(pid)+"/syscall", 256)
	if err != nil {
		return nil // not for this caller to see
	}
	return s.program.stepOf(s.image.data, string(text))
}

// stepOf finds the step whose system call a line of /proc/PID/syscall tells: its
// number, then its arguments. Only steps that ask the container's file systems count.
func (p *Program) stepOf(data []byte, text string) *Step {
	call := strings.Fields(text)
	if len(call) < 7 {
		return nil // "running", or -1: in none
	}
	for i, step := range p.Steps {
		if step.Stage == StageSetup || call[0] != strconv.FormatUint(step.Nr, 10) {
			continue
		}
		at := headerSize + i*stepSize + offArgs
		same := true
		for n := range step.Args {
			// What a step stores there later is not in the image.
			value := binary.NativeEndian.Uint64(data[at+8*n:])
			same = same && (value == 0 || call[1+n] == fmt.Sprintf("%#x", value))
		}
		if same {
			return step
		}
	}
	return nil
}
