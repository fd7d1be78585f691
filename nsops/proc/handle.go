package proc

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Handle is a process's pidfd, by which it is signalled and joined. It owns its
// descriptor.
type Handle struct {
	pid  int
	file *os.File
}

// OpenHandle opens a handle on the process, and on no other that got its number since:
// that the directory is still the process's after pidfd_open(2) proves it. ENOSYS on kernels
// without pidfds (before 5.3).
func (p *Process) OpenHandle() (*Handle, error) {
	fd, err := unix.PidfdOpen(p.PID, 0)
	switch {
	case errors.Is(err, unix.ENOSYS):
		return nil, fmt.Errorf("pid %d: this kernel has no pidfds (Linux 5.3): %w", p.PID, err)
	case err != nil:
		return nil, p.wrap("pidfd_open of", "", err)
	}
	h := &Handle{pid: p.PID, file: os.NewFile(uintptr(fd), fmt.Sprintf("pidfd:%d", p.PID))}
	if err := p.Alive(); err != nil {
		h.Close()
		return nil, err
	}
	return h, nil
}

// Signal sends a signal to the process; ErrGone once it has been reaped.
func (h *Handle) Signal(sig unix.Signal) error {
	err := unix.PidfdSendSignal(int(h.file.Fd()), sig, nil, 0)
	if errors.Is(err, unix.ESRCH) {
		err = ErrGone
	}
	if err != nil {
		return fmt.Errorf("signal pid %d: %w", h.pid, err)
	}
	return nil
}

// File is the pidfd, for setns(2). It stays the handle's.
func (h *Handle) File() *os.File { return h.file }

// Close gives the descriptor back.
func (h *Handle) Close() error { return h.file.Close() }
