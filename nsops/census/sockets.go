package census

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"dx/nsops"
	"dx/nsops/launch"
)

// maxSockets bounds how many sockets are asked. Each takes some 100 µs.
const maxSockets = 20_000

// Sockets looks for network namespaces that no process, mount or file was seen to keep: a
// socket keeps the one in which it was made, wherever the process goes, and tells which
// (SIOCGSKNS, since Linux 4.10). The error says why not all sockets were asked: it takes Linux
// 5.6, CAP_SYS_PTRACE and CAP_NET_ADMIN.
//
// A deputy asks, by a copy of the descriptor (pidfd_getfd(2)) that it closes at once. If the
// process closes the socket in that moment, the deputy's is the last, and its close may
// linger as long as the process has chosen (socket(7), SO_LINGER): then it is killed.
func (c *Census) Sockets() error {
	defer c.deputy.Close()
	c.deputy.Patience = mountPatience
	s := socketSearch{Census: c, asked: map[string]bool{}, new: map[nsops.ID]bool{}}
	for _, p := range c.Processes {
		if p.PID == os.Getpid() {
			continue
		}
		if err := s.process(p); err != nil {
			return err
		}
	}
	return s.refused
}

type socketSearch struct {
	*Census
	asked   map[string]bool // "socket:[4711]"
	new     map[nsops.ID]bool
	refused error // the first refusal
}

func (s *socketSearch) process(p Process) error {
	fds, err := os.Open(fmt.Sprintf("/proc/%d/fd", p.PID))
	if err != nil {
		return nil //nolint:nilerr // it has ended, or is counted as one that may not be looked at
	}
	defer fds.Close()
	names, _ := fds.Readdirnames(maxFilesOfOne)
	var pidfd *os.File
	for _, name := range names {
		link := readlinkAt(fds, name)
		if !strings.HasPrefix(link, "socket:[") || s.asked[link] {
			continue
		}
		if len(s.asked) >= maxSockets {
			return fmt.Errorf("there are more than %d", maxSockets)
		}
		s.asked[link] = true
		if pidfd == nil {
			fd, err := unix.PidfdOpen(p.PID, 0)
			if errors.Is(err, unix.ENOSYS) {
				return errNoGetfd
			}
			if err != nil {
				return nil //nolint:nilerr // it has ended
			}
			pidfd = os.NewFile(uintptr(fd), "pidfd")
			defer pidfd.Close()
		}
		number, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		switch err := s.socket(pidfd, Hold{PID: p.PID, Comm: p.Comm, FD: number, Socket: true}); {
		case errors.Is(err, errNoGetfd), errors.Is(err, launch.ErrSilent):
			return err
		case errors.Is(err, unix.EPERM) && s.refused == nil:
			s.refused = err
		}
	}
	return nil
}

var errNoGetfd = errors.New("it takes Linux 5.6")

func readlinkAt(dir *os.File, name string) string {
	var b [64]byte
	n, err := unix.Readlinkat(int(dir.Fd()), name, b[:])
	if err != nil {
		return ""
	}
	return string(b[:n])
}

// socket notes a socket whose namespace nothing else was seen to keep.
func (s *socketSearch) socket(pidfd *os.File, h Hold) error {
	ns, err := s.openSocket(pidfd, h.FD, func(id nsops.ID) bool { return s.Namespaces[id] == nil || s.new[id] })
	if err != nil || ns == nil {
		return err
	}
	defer ns.Close()
	if known := s.namespace(ns.ID, ns.Type); known != nil {
		s.new[ns.ID] = true
		known.hold(h)
	}
	return nil
}

// openSocket opens the namespace of a process's socket, if wanted says so; else nil.
func (c *Census) openSocket(pidfd *os.File, fd int, wanted func(nsops.ID) bool) (*nsops.Handle, error) {
	var f *os.File
	err := c.deputy.Do(func(call *launch.Call) error {
		p, err := call.Give(pidfd)
		if err != nil {
			return err
		}
		defer call.Post(unix.SYS_CLOSE, uint64(p)) //nolint:errcheck // then the deputy is gone
		socket, err := call.Syscall(unix.SYS_PIDFD_GETFD, uint64(p), uint64(fd), 0)
		if errors.Is(err, unix.ENOSYS) {
			return errNoGetfd
		}
		if err != nil {
			return err
		}
		defer call.Post(unix.SYS_CLOSE, socket) //nolint:errcheck
		ns, err := call.Syscall(unix.SYS_IOCTL, socket, unix.SIOCGSKNS, 0)
		if err != nil {
			return err
		}
		defer call.Post(unix.SYS_CLOSE, ns) //nolint:errcheck
		if _, err := call.Syscall(unix.SYS_FSTAT, ns, call.Address(atStat)); err != nil {
			return err
		}
		st := *(*unix.Stat_t)(unsafe.Pointer(&call.Room()[atStat]))
		if wanted(nsops.IDOf(&st)) {
			f, err = call.Take(int(ns), "namespace of a socket")
		}
		return err
	})
	if err != nil || f == nil {
		return nil, err
	}
	defer f.Close()
	return nsops.OpenFile(f)
}

// atStat is where the deputy's room has a struct stat: behind what Give and Take need.
const atStat = 1024
