// Package tty is the standard streams of a process in a container: pipes, or a
// pty of the container's own devpts; the local terminal's raw mode; and the relay
// between the two sides.
//
// The process never gets a file of the caller: a container could reopen those
// through /proc/self/fd. Starting the process, its credentials and what the exit
// status means do not belong here.
package tty

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"dx/nsops/rootfs"
)

// Stdio is both sides of a process's standard streams. It owns all its files.
type Stdio struct {
	// Child is what the process gets as descriptors 0, 1 and 2. With a pty it is
	// three times the same file.
	Child [3]*os.File

	in     *os.File // write end of the process's standard input; nil without one
	out    *os.File // read ends of its outputs; nil with a pty
	err    *os.File
	master *os.File // nil without a pty

	// linger is how long a relay waits, once the process has exited, for outputs
	// that background children hold. It is no time with a pty: as its session's
	// leader has exited the kernel has hung it up (disassociate_ctty), so that
	// nothing new can be written. Children that hold it keep its end from being
	// seen; containerd's shim closes the console then, too.
	linger time.Duration
}

// NewPipes gives the process fresh pipes. Without stdin, its descriptor 0 is
// /dev/null, which is looked for in the container's root.
func NewPipes(root *rootfs.Root, stdin bool) (_ *Stdio, err error) {
	s := &Stdio{linger: linger}
	defer s.closeOn(&err)
	if s.Child[0], s.in, err = inputPipe(root, stdin); err != nil {
		return nil, err
	}
	if s.out, s.Child[1], err = pipe("stdout"); err != nil {
		return nil, err
	}
	if s.err, s.Child[2], err = pipe("stderr"); err != nil {
		return nil, err
	}
	return s, unblock(s.in, s.out, s.err)
}

// NewPTY gives the process a terminal of the container's devpts. The size is set
// if both of its numbers are, as docker exec does since API 1.42.
func NewPTY(root *rootfs.Root, size Size) (_ *Stdio, err error) {
	s := &Stdio{}
	defer s.closeOn(&err)
	master, peer, err := OpenPTY(root)
	if err != nil {
		return nil, err
	}
	s.master, s.Child = master, [3]*os.File{peer, peer, peer}
	if size.Rows != 0 && size.Cols != 0 {
		if err := setSize(master, size); err != nil {
			return nil, err
		}
	}
	return s, unblock(s.master)
}

// Chown gives the streams to a user and pipes to a group, both as the host
// counts, so that the user can reopen them through /proc/self/fd and, with a pty,
// through /dev/pts. A pty keeps the group of its devpts, and /dev/null is left alone: it is not ours (runc's fixStdioPermissions).
// It is for dx to do and not for the process's side: new pipes and terminals belong
// to the caller, and root in a user namespace that does not map the caller cannot
// give them away.
func (s *Stdio) Chown(uid, gid int) error {
	if s.master != nil {
		gid = -1
	}
	for i, f := range s.Child {
		if i == 0 && s.in == nil && s.master == nil {
			continue
		}
		// A caller who is not root keeps them: no reason not to run, as in runc.
		if err := f.Chown(uid, gid); err != nil && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EROFS) {
			return fmt.Errorf("give stream %d of the process to uid %d: %w", i, uid, err)
		}
	}
	return nil
}

// CloseChild closes dx's copies of the process's files; without that the end of
// its output is never seen. More than once does no harm.
func (s *Stdio) CloseChild() error {
	err := closeAll(s.Child[:]...)
	s.Child = [3]*os.File{}
	return err
}

// Close closes everything. A process that still runs on a pty gets a SIGHUP.
func (s *Stdio) Close() error {
	return errors.Join(s.CloseChild(), closeAll(s.in, s.out, s.err, s.master))
}

func (s *Stdio) closeOn(err *error) {
	if *err != nil {
		s.Close()
	}
}

func closeAll(files ...*os.File) error {
	var errs []error
	for _, f := range files {
		if f == nil {
			continue
		}
		// The same file may stand there three times, or be closed by the relay.
		if err := f.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func inputPipe(root *rootfs.Root, stdin bool) (child, ours *os.File, err error) {
	if stdin {
		return pipe("stdin")
	}
	child, err = openNull(root)
	return child, nil, err
}

func pipe(name string) (r, w *os.File, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, fmt.Errorf("pipe for the process's %s: %w", name, err)
	}
	return os.NewFile(uintptr(fds[0]), name), os.NewFile(uintptr(fds[1]), name), nil
}

// unblock sets O_NONBLOCK on dx's ends only: the two ends of a pipe, and master
// and peer of a pty, are separate open file descriptions, so the process does not
// see it. os.NewFile came first: a file that it finds non-blocking goes to Go's
// poller, which cannot wait for the caller's files, and Fd would undo the flag.
func unblock(files ...*os.File) error {
	for _, f := range files {
		if f == nil {
			continue
		}
		if err := syscall.SetNonblock(int(f.Fd()), true); err != nil {
			return fmt.Errorf("make %s non-blocking: %w", f.Name(), err)
		}
	}
	return nil
}
