// Package proc reads what the kernel says of one process under /proc.
//
// A Process is bound to a process, not to its number: the /proc/PID directory
// and the pidfd are opened once and everything is read through them, so that a
// recycled PID answers with ErrGone and never with somebody else's facts.
// What is done to a process (joining, launching) does not belong here.
package proc

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// ErrGone says that the process has exited (a zombie counts as exited: its
// namespaces, root and cgroups are gone).
var ErrGone = errors.New("process is gone")

// maxFile bounds what is read of any one file under /proc.
const maxFile = 4 << 20

// Process is an open handle on one process. It owns its descriptors.
type Process struct {
	PID       int
	StartTime uint64 // clock ticks since boot: field 22 of /proc/PID/stat

	dir   *os.File // /proc/PID
	pidfd *os.File // nil on kernels before 5.3
}

// Open takes hold of the process that has the number pid now.
//
// The pidfd is taken first and the directory second; a pidfd that still signals
// after that proves that both mean the same process (pidfd_open(2)).
func Open(pid int) (*Process, error) {
	if pid <= 0 {
		return nil, fmt.Errorf("pid %d: %w", pid, ErrGone)
	}
	pidfd, err := openPidfd(pid)
	if err != nil {
		return nil, err
	}
	p := &Process{PID: pid, pidfd: pidfd}
	if err := p.openDir(); err != nil {
		p.Close()
		return nil, err
	}
	st, err := p.Stat()
	if err == nil && st.Dead() {
		err = fmt.Errorf("pid %d is a zombie: %w", pid, ErrGone)
	}
	if err == nil {
		err = p.Alive()
	}
	if err != nil {
		p.Close()
		return nil, err
	}
	p.StartTime = st.StartTime
	return p, nil
}

// Self opens the calling process.
func Self() (*Process, error) { return Open(os.Getpid()) }

func openPidfd(pid int) (*os.File, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	switch {
	case err == nil:
		return os.NewFile(uintptr(fd), fmt.Sprintf("pidfd:%d", pid)), nil
	case errors.Is(err, unix.ENOSYS):
		return nil, nil
	case errors.Is(err, unix.ESRCH):
		return nil, fmt.Errorf("pid %d: %w", pid, ErrGone)
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOENT):
		// ENOENT since 6.16 (kernel/pid.c, pidfd_prepare), EINVAL before.
		return nil, fmt.Errorf("%d is a thread, not a process", pid)
	}
	return nil, fmt.Errorf("pidfd_open of pid %d: %w", pid, err)
}

func (p *Process) openDir() error {
	fd, err := unix.Open("/proc/"+strconv.Itoa(p.PID), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return p.wrap("open", "", err)
	}
	p.dir = os.NewFile(uintptr(fd), fmt.Sprintf("/proc/%d", p.PID))
	return nil
}

// Close releases the handle.
func (p *Process) Close() error {
	var errs []error
	for _, f := range []*os.File{p.dir, p.pidfd} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

// Pidfd is the process's pidfd, owned by p; nil on kernels before 5.3.
func (p *Process) Pidfd() *os.File { return p.pidfd }

// Alive returns ErrGone once the process has exited and been reaped.
func (p *Process) Alive() error {
	if p.pidfd == nil {
		_, err := p.Stat()
		return err
	}
	err := unix.PidfdSendSignal(int(p.pidfd.Fd()), 0, nil, 0)
	if err == nil || errors.Is(err, unix.EPERM) {
		return nil
	}
	return p.wrap("signal", "", err)
}

// OpenFile opens a file of the process's directory ("root", "ns/net", "status").
// Magic links are followed by the kernel to what they mean for that process.
func (p *Process) OpenFile(name string, flags int) (*os.File, error) {
	fd, err := unix.Openat(int(p.dir.Fd()), name, flags|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, p.wrap("open", name, err)
	}
	return os.NewFile(uintptr(fd), fmt.Sprintf("/proc/%d/%s", p.PID, name)), nil
}

// ReadFile reads a file of the process's directory, 4 MiB at the most.
func (p *Process) ReadFile(name string) ([]byte, error) {
	f, err := p.OpenFile(name, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return nil, p.wrap("read", name, err)
	}
	return b, nil
}

// Readlink reads a link of the process's directory as text.
func (p *Process) Readlink(name string) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(p.dir.Fd()), name, buf)
	if err != nil {
		return "", p.wrap("readlink", name, err)
	}
	return string(buf[:n]), nil
}

// Has says whether the directory has an entry of that name, wherever it leads: a
// link stays listed when what it meant is gone (a zombie's ns/net).
func (p *Process) Has(name string) (bool, error) {
	var st unix.Stat_t
	err := unix.Fstatat(int(p.dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if err == nil {
		return true, nil
	}
	if err = p.wrap("stat", name, err); errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	return false, err
}

// Identity returns what a link of the directory leads to (ns/net, root, exe): its
// device and inode are what tells two of them apart.
func (p *Process) Identity(name string) (unix.Stat_t, error) {
	var st unix.Stat_t
	if err := unix.Fstatat(int(p.dir.Fd()), name, &st, 0); err != nil {
		return st, p.wrap("stat", name, err)
	}
	return st, nil
}

// wrap names the file and turns the kernel's ways to say "exited" into ErrGone.
// ENOENT says that only of the directory itself and of all its files together:
// one file can be missing because this kernel does not have it.
func (p *Process) wrap(op, name string, err error) error {
	path := "/proc/" + strconv.Itoa(p.PID)
	if name != "" {
		path += "/" + name
	}
	if errors.Is(err, unix.ESRCH) || (errors.Is(err, unix.ENOENT) && p.reaped()) {
		return fmt.Errorf("%s %s: %w", op, path, ErrGone)
	}
	return fmt.Errorf("%s %s: %w", op, path, err)
}

// reaped says that the directory is empty: nothing of the process is left.
func (p *Process) reaped() bool {
	if p.dir == nil {
		return true
	}
	var st unix.Stat_t
	return unix.Fstatat(int(p.dir.Fd()), "stat", &st, unix.AT_SYMLINK_NOFOLLOW) != nil
}

// userHZ is USER_HZ: what /proc counts in, on every architecture that dx runs on.
const userHZ = 100

// Started is when the process began, by the wall clock as it is set now.
func (p *Process) Started() (time.Time, error) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return time.Time{}, fmt.Errorf("read the boot clock: %w", err)
	}
	age := time.Duration(now.Nano()) - time.Duration(p.StartTime)*(time.Second/userHZ)
	return time.Now().Add(-age), nil
}
