package launch

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"dx/nsops/proc"
)

// MountPoint is a place to ask whether its file system answers: a path below a
// root, which may be another process's.
type MountPoint struct {
	Root *os.File // O_PATH; stays the caller's
	Path string
}

// Answer is what became of a question to a file system.
type Answer uint8

// The answers.
const (
	Unasked Answer = iota // one before it did not answer
	Silent                // it did not answer in time
	Answered
	Failed // it answered with an error
)

// Results lie behind the report.
const (
	offAnswers     = 32
	maxMountPoints = (pageSize - offAnswers) / 8
)

// dying bounds the wait for a killed process to be gone: one that sleeps
// uninterruptibly is left to the kernel.
const dying = 100 * time.Millisecond

// StatFS calls statfs(2) for one mount point after the other, in a process of its
// own: a file system that does not answer holds that process and never dx, which
// kills it when ctx ends. It asks no more than some 500.
func StatFS(ctx context.Context, points []MountPoint) ([]Answer, error) {
	points = points[:min(len(points), maxMountPoints)]
	for _, pt := range points {
		if err := checkStrings([]string{pt.Path}); err != nil {
			return nil, err
		}
	}
	report, err := newReport()
	if err != nil {
		return nil, err
	}
	p := statfsProgram(points)
	exe, err := executable(p.image())
	if err != nil {
		report.close()
		return nil, err
	}
	defer exe.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		report.close()
		return nil, err
	}
	defer null.Close()
	pid, pidfd, err := p.fork([3]*os.File{null, null, null}, exe, report.file, nil)
	if err != nil {
		report.close()
		return nil, err
	}
	return answers(ctx, p, pid, pidfd, report, len(points))
}

// answers waits for the program and reads the page. The page and the pidfd go when
// the process is reaped, which may be after the return.
func answers(ctx context.Context, p *Program, pid int, pidfd *os.File, r *report, n int) ([]Answer, error) {
	reaped := make(chan error, 1)
	go func() {
		_, err := reap(pid)
		reaped <- err
	}()
	release := func() {
		r.close()
		if pidfd != nil {
			pidfd.Close()
		}
	}
	if err, ended := awaitAnswers(ctx, pid, reaped); ended {
		defer release()
		if step, errno := r.failure(); step != 0 && err == nil {
			err = p.stepError(step, errno)
		}
		return r.answers(n, false), err
	}
	out := r.answers(n, true)
	kill(pid, pidfd)
	select {
	case <-reaped:
		release()
	case <-time.After(dying):
		go func() { <-reaped; release() }()
	}
	return out, nil
}

// waiting bounds how long a process that only waits for a processor is waited for.
const waiting = 20 * time.Second

// awaitAnswers waits for a process until ctx ends, and on while the process is ready to run:
// on a busy machine it may not have asked yet, and a file system is silent only if
// somebody sleeps for it.
func awaitAnswers(ctx context.Context, pid int, reaped <-chan error) (err error, ended bool) {
	select {
	case err := <-reaped:
		return err, true
	case <-ctx.Done():
	}
	for end := time.Now().Add(waiting); runnable(pid) && time.Now().Before(end); {
		select {
		case err := <-reaped:
			return err, true
		case <-time.After(dying / 10):
		}
	}
	return nil, false
}

// runnable reports whether a child waits for nothing but a processor. If it is reaped
// meanwhile, the answer does not matter.
func runnable(pid int) bool {
	st, err := proc.StatOf(pid)
	return err == nil && (st.State == 'R' || st.Dead())
}

func (r *report) answers(n int, killed bool) []Answer {
	out := make([]Answer, n)
	for i := range out {
		out[i] = Answer(binary.NativeEndian.Uint64(r.page[offAnswers+8*i:]))
		if out[i] == Unasked {
			if killed {
				out[i] = Silent
			}
			break
		}
	}
	return out
}

func statfsProgram(points []MountPoint) *Program {
	c := &compiler{plan: &Plan{}}
	c.begin()
	for i, pt := range points {
		c.askMount(pt, i)
	}
	c.call("end", "", "exit_group", unix.SYS_EXIT_GROUP, num(0))
	return &Program{Steps: c.steps, files: c.files, names: c.names}
}

// askMount goes to the root first, so that links of the path lead where they do
// for a process that lives there; the next one gets out by its descriptor.
func (c *compiler) askMount(pt MountPoint, i int) {
	answer := func(a Answer) *Step {
		return c.set("note the answer", &slot{addr: statusBase + offAnswers + 8*uint64(i)}, num(uint64(a)))
	}
	failed, done := newLabel(), newLabel()
	c.call("go to the root", "", "fchdir", unix.SYS_FCHDIR, c.file(pt.Root, fmt.Sprintf("root %d", i)))
	c.call("make it the root", "", "chroot", unix.SYS_CHROOT, str("."))
	c.call("ask "+pt.Path, "", "statfs", unix.SYS_STATFS, str(pt.Path), space(256, "statfs")).onError = failed
	answer(Answered).onPositive = done
	c.add(failed)
	answer(Failed)
	c.add(done)
}
