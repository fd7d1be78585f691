package launch

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrMountChanged says that another mount is at a place than the one that was meant.
var ErrMountChanged = fmt.Errorf("another mount is there now: %w", unix.ESTALE)

// mountFile is the descriptor at which P has the mount.
const mountFile = 98

// Unmount takes the mount with the given ID (mountinfo, proc_pid_mountinfo(5)) away
// from the target's path: no program of the target's runs, and the file system is not
// asked, which may have stopped answering. Who waits for it goes on waiting.
//
// P finds the mount by the path, which the target can bend with links and renames, and
// stops; dx compares the ID, and P goes on to unmount what it holds, whatever is at the
// path by then. Where the way there does not answer either, P is left when ctx ends.
func Unmount(ctx context.Context, t *Target, path string, id int) error {
	if err := checkStrings([]string{path}); err != nil {
		return err
	}
	p, err := unmountProgram(t, path)
	if err != nil {
		return err
	}
	p.paused = func(pid int) error { return isMount(pid, id) }
	report, err := newReport()
	if err != nil {
		return err
	}
	exe, err := executable(p.image())
	if err != nil {
		report.close()
		return err
	}
	defer exe.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		report.close()
		return err
	}
	defer null.Close()
	pid, pidfd, err := p.fork([3]*os.File{null, null, null}, exe, report.file, nil)
	if err != nil {
		report.close()
		return err
	}
	return p.settle(ctx, pid, pidfd, report)
}

// settle waits for P, which may hang for as long as a file system does.
func (p *Program) settle(ctx context.Context, pid int, pidfd *os.File, r *report) error {
	ended := make(chan error, 1)
	go func() {
		err := p.atPause(pid)
		if err == nil {
			_, err = reap(pid)
		}
		if step, errno := r.failure(); step != 0 && err == nil {
			err = p.stepError(step, errno)
		}
		ended <- err
	}()
	release := func() {
		r.close()
		if pidfd != nil {
			pidfd.Close()
		}
	}
	select {
	case err := <-ended:
		release()
		return err
	case <-ctx.Done():
	}
	kill(pid, pidfd)
	select {
	case <-ended: // it could be ended, which is not to say that it was done
		release()
	case <-time.After(dying):
		go func() { <-ended; release() }()
	}
	return context.Cause(ctx)
}

func unmountProgram(t *Target, path string) (*Program, error) {
	c := &compiler{plan: &Plan{Joins: t.Joins, Root: t.Root}}
	c.begin()
	// Through the host's /proc: what the target has at /proc is its own affair.
	open := c.call("open its own descriptors", "", "openat", unix.SYS_OPENAT, named(atFdcwd, "AT_FDCWD"), str("/proc/self/fd"),
		named(unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, "O_PATH|O_DIRECTORY|O_CLOEXEC"))
	c.join(false)
	c.enterRoot()
	// O_PATH asks the file system of the mount for nothing.
	find := c.call("find "+path, "", "openat", unix.SYS_OPENAT, named(atFdcwd, "AT_FDCWD"), str(path),
		named(unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, "O_PATH|O_NOFOLLOW|O_CLOEXEC"))
	hold := c.call("hold it", "", "dup3", unix.SYS_DUP3, named(0, "mount"), num(mountFile), named(unix.O_CLOEXEC, "O_CLOEXEC"))
	find.into = &slot{step: hold, arg: 0}
	c.stop("stop until it is known to be the mount that is meant")
	back := c.call("go to its own descriptors", "", "fchdir", unix.SYS_FCHDIR, named(0, "descriptors"))
	open.into = &slot{step: back, arg: 0}
	c.call("unmount "+path, "", "umount2", unix.SYS_UMOUNT2, str(strconv.Itoa(mountFile)), named(unix.MNT_DETACH, "MNT_DETACH"))
	c.call("end", "", "exit_group", unix.SYS_EXIT_GROUP, num(0))
	return &Program{Steps: c.steps, files: c.files, names: c.names}, c.err
}

// isMount makes sure that P holds the mount with that ID.
func isMount(pid, id int) error {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%d", pid, mountFile))
	if err != nil {
		return err
	}
	for line := range bytes.Lines(b) {
		if got, ok := strings.CutPrefix(string(line), "mnt_id:"); ok {
			if strings.TrimSpace(got) != strconv.Itoa(id) {
				return ErrMountChanged
			}
			return nil
		}
	}
	return fmt.Errorf("the kernel does not tell the mount of a descriptor: %w", ErrMountChanged)
}
