package tty

import (
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// event is raised once, for good, and wakes every poll that waits for it too.
// Go's own poller would not do: the caller's terminal and files cannot be in it
// without O_NONBLOCK, which dx must not set on files it shares with a shell.
type event struct {
	fd  int
	set atomic.Bool
}

func newEvent() (*event, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("eventfd for the relay: %w", err)
	}
	return &event{fd: fd}, nil
}

func (e *event) raise() {
	if e.set.CompareAndSwap(false, true) {
		// The counter is never read, so that this cannot be refused.
		_, _ = unix.Write(e.fd, []byte{7: 1})
	}
}

func (e *event) raised() bool { return e.set.Load() }

func (e *event) close() { unix.Close(e.fd) }

// poll waits until fd is ready for what is asked, has failed, or one of the events
// is raised. The answer is about fd: 0 if it was an event or the time that ended it.
func poll(fd int, want int16, timeout int, events ...*event) (got int16, err error) {
	fds := []unix.PollFd{{Fd: int32(fd), Events: want}}
	for _, e := range events {
		fds = append(fds, unix.PollFd{Fd: int32(e.fd), Events: unix.POLLIN})
	}
	for {
		_, err := unix.Poll(fds, timeout)
		if err != unix.EINTR {
			return fds[0].Revents, err
		}
	}
}
