// Package proc reads what the kernel says of one process under /proc.
//
// A Process is bound to a process, not to its number: the /proc/PID directory
// is opened once and everything is read through it, so that a recycled PID
// answers with ErrGone and never with somebody else's facts. A Handle is for who
// signals or joins the process.
// What is done to a process (joining, launching) does not belong here.
package proc

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// ErrGone says that the process has exited (a zombie counts as exited: its
// namespaces, root and cgroups are gone).
var ErrGone = errors.New("process is gone")

// ErrThread says that a number is that of a thread: see LeaderOf.
var ErrThread = errors.New("is a thread, not a process")

// maxFile bounds what is read of any one file under /proc.
const maxFile = 4 << 20

// Process is the /proc directory of one process, held open: what can be read of it. It
// owns its descriptor, which is a bare number: a list of containers opens thousands, and
// an os.File costs more than the system call behind it.
type Process struct {
	PID       int
	ParentPID int    // when it was opened
	StartTime uint64 // clock ticks since boot: field 22 of /proc/PID/stat
	Comm      string // its name, when it was opened
	State     byte   // the same: see Stat

	dir    int  // /proc/PID; none: not open
	shared bool // it is Self's, and stays open
}

// none is no descriptor.
const none = -1

// Open opens the process that has the number pid now, and sees who it is.
func Open(pid int) (*Process, error) {
	p, err := OpenDir(pid)
	if err == nil {
		err = p.identify()
	}
	if err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// identify reads who the process is.
func (p *Process) identify() error {
	st, err := p.Stat()
	switch {
	case err != nil:
	case st.IsThread(): // /proc does not list it, but opens it
		err = fmt.Errorf("%d %w", p.PID, ErrThread)
	case st.Dead():
		err = fmt.Errorf("pid %d is a zombie: %w", p.PID, ErrGone)
	}
	p.ParentPID, p.StartTime, p.Comm, p.State = st.PPID, st.StartTime, st.Comm, st.State
	return err
}

// Self returns the calling process, by OpenDir. It is opened once, and stays open: Close of
// it does nothing. It is an error if /proc is not that of the caller's own PID namespace, as
// after `unshare --pid` without --mount-proc: numbers in it are those of other processes than
// pidfd_open(2) and kill(2) take them for.
func Self() (*Process, error) { return self() }

var self = sync.OnceValues(func() (*Process, error) {
	if err := isOwnProc(); err != nil {
		return nil, err
	}
	p, err := OpenDir(os.Getpid())
	if err == nil {
		p.shared = true
	}
	return p, err
})

func isOwnProc() error {
	there, err := os.Readlink("/proc/self") // in the namespace of that /proc
	switch {
	case err != nil:
		return fmt.Errorf("/proc does not show dx itself: %w; mount one: mount -t proc proc /proc", err)
	case there != strconv.Itoa(os.Getpid()):
		// Not to mount one: that /proc may be the whole host's.
		return fmt.Errorf("/proc is that of another PID namespace, where dx is process %s and not %d; run dx in that namespace, or with a /proc of its own (unshare --mount-proc)",
			there, os.Getpid())
	}
	return nil
}

// OpenDir is Open without a look at who it is, zombies included: for lists, where a
// Process must be cheap, and for who knows it by what is read of it afterwards. ParentPID
// and StartTime stay 0.
func OpenDir(pid int) (*Process, error) {
	p := &Process{PID: pid, dir: none}
	if pid <= 0 {
		return p, fmt.Errorf("pid %d: %w", pid, ErrGone)
	}
	return p, p.openDir()
}

func (p *Process) openDir() error {
	fd, err := unix.Open("/proc/"+strconv.Itoa(p.PID), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return p.wrap("open", "", err)
	}
	p.dir = fd
	return nil
}

// Close gives the directory back. Whatever is asked of it afterwards fails with EBADF.
func (p *Process) Close() error {
	if p.shared || p.dir == none {
		return nil
	}
	fd := p.dir
	p.dir = none
	return unix.Close(fd)
}

// Dup returns another Process of the same process.
func (p *Process) Dup() (*Process, error) {
	dir, err := unix.FcntlInt(uintptr(p.dir), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, p.wrap("duplicate", "", err)
	}
	again := *p
	again.dir, again.shared = dir, false
	return &again, nil
}

// Alive returns ErrGone once the process has exited and been reaped.
func (p *Process) Alive() error {
	if p.reaped() {
		return p.wrap("look at", "", unix.ESRCH)
	}
	return nil
}

// OpenFile opens a file of the process's directory ("root", "ns/net", "status").
// Magic links are followed by the kernel to what they mean for that process.
func (p *Process) OpenFile(name string, flags int) (*os.File, error) {
	fd, err := p.OpenFD(name, flags)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), fmt.Sprintf("/proc/%d/%s", p.PID, name)), nil
}

// OpenFD is OpenFile with nothing but the descriptor, which is the caller's to close.
func (p *Process) OpenFD(name string, flags int) (int, error) {
	fd, err := unix.Openat(p.dir, name, flags|unix.O_CLOEXEC, 0)
	if err != nil {
		return none, p.wrap("open", name, err)
	}
	return fd, nil
}

// OnProcfs returns an error if /proc is something else than procfs, so that the names in
// it could mean anything.
func (p *Process) OnProcfs() error {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(p.dir, &fs); err != nil {
		return p.wrap("statfs", "", err)
	}
	if fs.Type != unix.PROC_SUPER_MAGIC {
		return fmt.Errorf("/proc is no procfs (magic %#x): mount one", fs.Type)
	}
	return nil
}

// Readlink reads a link of the process's directory as text.
func (p *Process) Readlink(name string) (string, error) {
	var buf [unix.PathMax]byte
	n, err := unix.Readlinkat(p.dir, name, buf[:])
	if err != nil {
		return "", p.wrap("readlink", name, err)
	}
	return string(buf[:n]), nil
}

// NamespaceInode returns the inode of a namespace by the text of a link ("ns/net"), which is
// the same on all kernels ("net:[4026531840]") and costs less than stat(2) of what it leads to.
func (p *Process) NamespaceInode(name string) (uint64, error) {
	var buf [64]byte
	n, err := unix.Readlinkat(p.dir, name, buf[:])
	if err != nil {
		return 0, p.wrap("readlink", name, err)
	}
	_, number, _ := bytes.Cut(buf[:n], []byte(":["))
	inode, err := strconv.ParseUint(string(bytes.TrimSuffix(number, []byte("]"))), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("/proc/%d/%s leads to %q, which is no namespace", p.PID, name, buf[:n])
	}
	return inode, nil
}

// Has says whether the directory has an entry of that name, wherever it leads: a
// link stays listed when what it meant is gone (a zombie's ns/net).
func (p *Process) Has(name string) (bool, error) {
	var st unix.Stat_t
	err := unix.Fstatat(p.dir, name, &st, unix.AT_SYMLINK_NOFOLLOW)
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
	if err := unix.Fstatat(p.dir, name, &st, 0); err != nil {
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

// reaped reports whether the directory is empty: nothing of the process is left.
func (p *Process) reaped() bool {
	if p.dir == none {
		return true
	}
	var st unix.Stat_t
	return unix.Fstatat(p.dir, "stat", &st, unix.AT_SYMLINK_NOFOLLOW) != nil
}

// userHZ is USER_HZ: what /proc counts in, on every architecture that dx runs on.
const userHZ = 100

// Started is when the process began, by the wall clock.
func (p *Process) Started() (time.Time, error) {
	boot, err := booted()
	return boot.Add(time.Duration(p.StartTime) * (time.Second / userHZ)), err
}

// booted is when the machine was started, by the wall clock at the first call.
var booted = sync.OnceValues(func() (time.Time, error) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return time.Time{}, fmt.Errorf("read the boot clock: %w", err)
	}
	return time.Now().Add(-time.Duration(now.Nano())), nil
})
