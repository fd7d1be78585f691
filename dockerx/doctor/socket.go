package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"dx/dockerx/engine"
	"dx/nsops/launch"
	"dx/nsops/proc"
	"dx/nsops/unixdiag"
)

// socketPath is the engine's socket; ok is false for an engine on TCP.
func (p *Examination) socketPath() (string, bool) {
	return strings.CutPrefix(p.address.Host, "unix://")
}

// socket looks at the engine's socket, and by it finds dockerd: whoever listens
// there, whatever it is called.
func (p *Examination) socket(context.Context) []Finding {
	path, ok := p.socketPath()
	if !ok {
		return []Finding{found(info, "%s is no unix socket: dockerd's process is not looked for", p.address.Host)}
	}
	s, err := engine.OpenSocket(path)
	if errors.Is(err, launch.ErrSilent) {
		return []Finding{found(mountSilent, "the file system of the socket %s does not answer", path).path(path).evidence(err.Error())}
	}
	l, listens := p.listener(path, s)
	peer := 0
	if err == nil {
		peer, err = listenerPID(s)
		s.Close()
	}
	var d *proc.Process
	if listens {
		d = holder(l.Inode, peer)
	}
	if d == nil && peer > 0 {
		d, _ = proc.Open(peer) // no unix_diag in this kernel
	}
	if d != nil {
		p.keep(d)
	}
	var others []settings
	if d == nil {
		others = p.otherEngines()
	}
	p.mu.Lock()
	p.dockerd, p.connected, p.others = d, err == nil, others
	p.mu.Unlock()
	if d == nil && errors.Is(err, unix.ENOENT) && !p.address.Named() && !p.hasDocker(os.DirFS("/")) {
		return []Finding{p.noDocker()}
	}
	return socketFindings(path, err, l, listens, d)
}

func socketFindings(path string, err error, l unixdiag.Socket, listens bool, d *proc.Process) []Finding {
	pid := 0
	if d != nil {
		pid = d.PID
	}
	queue := ""
	if listens {
		queue = fmt.Sprintf("%d of %d connections wait to be accepted (sock_diag)", l.Waiting, l.Backlog)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return []Finding{found(socketPermission, "you may not connect to %s", path).path(path).evidence(err.Error())}
	case errors.Is(err, unix.EAGAIN):
		return []Finding{found(backlogFull, "the backlog of %s is full", path).path(path).pid(pid).evidence(queue)}
	case listens && pid != 0:
		return []Finding{found(socketUnlinked, "dockerd (pid %d) listens on a socket that %s no longer leads to", pid, path).path(path).pid(pid).evidence(err.Error(), queue)}
	}
	return []Finding{found(dockerdAbsent, "no dockerd listens on %s", path).path(path).evidence(err.Error())}
}

// listener finds the listening socket of a path: by its file, else by its name,
// which stays when the file is removed.
func (p *Examination) listener(path string, file *engine.Socket) (unixdiag.Socket, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var st unix.Stat_t
	errStat := fs.ErrNotExist
	if file != nil {
		st, errStat = file.Stat()
	}
	for _, s := range p.sockets {
		if s.Listening && errStat == nil && s.FileInode != 0 && s.FileInode == uint32(st.Ino) && sameName(s.Name, path) {
			return s, true
		}
	}
	for _, s := range p.sockets {
		if s.Listening && sameName(s.Name, path) {
			return s, true
		}
	}
	return unixdiag.Socket{}, false
}

// sameName compares as far as names go: systemd says /run/docker.sock where docker
// says /var/run/docker.sock.
func sameName(a, b string) bool {
	return strings.TrimPrefix(a, "/var") == strings.TrimPrefix(b, "/var")
}

// listenerPID connects, and returns who called listen(2) at the other end.
func listenerPID(s *engine.Socket) (int, error) {
	fd, err := connect(s.Address())
	if err != nil {
		return 0, fmt.Errorf("connect to %s: %w", s.Path, errors.Unwrap(err))
	}
	defer unix.Close(fd)
	return peerPID(fd), nil
}

// connect connects without waiting: where the backlog is full, that is EAGAIN.
func connect(path string) (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("connect to %s: %w", path, err)
	}
	return fd, nil
}

// connectFile connects to a socket whose file is held open (O_PATH), wherever its
// path would lead here, and however long it is.
func connectFile(f *os.File) (net.Conn, error) {
	fd, err := connect("/proc/self/fd/" + strconv.Itoa(int(f.Fd())))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), errors.Unwrap(err))
	}
	s := os.NewFile(uintptr(fd), f.Name())
	defer s.Close()
	return net.FileConn(s)
}

// peerPID is who called listen(2) at the other end (unix(7), SO_PEERCRED); 0 if it
// has no number here.
func peerPID(fd int) int {
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return 0
	}
	return int(cred.Pid)
}

func connPID(c net.Conn) int {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return 0
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return 0
	}
	pid := 0
	_ = raw.Control(func(fd uintptr) { pid = peerPID(int(fd)) })
	return pid
}

// holder finds the process that has a socket open. Whoever called listen(2) may be
// systemd, which has passed it on: it counts only if nobody else has it.
func holder(inode uint32, hint int) *proc.Process {
	if hint > 1 && holds(hint, inode) {
		if p, err := proc.Open(hint); err == nil {
			return p
		}
	}
	pids, _ := proc.PIDs() // none, where /proc cannot be listed
	for _, named := range []bool{true, false} {
		for _, pid := range pids {
			// The name only decides who is asked first.
			if pid == 1 || (comm(pid) == "dockerd") != named || !holds(pid, inode) {
				continue
			}
			if p, err := proc.Open(pid); err == nil {
				return p
			}
		}
	}
	if holds(1, inode) {
		if p, err := proc.Open(1); err == nil {
			return p
		}
	}
	return nil
}

func holds(pid int, inode uint32) bool {
	want := fmt.Sprintf("socket:[%d]", inode)
	for _, link := range links(pid) {
		if link == want {
			return true
		}
	}
	return false
}

// maxLinks bounds how many descriptors of one process are looked at.
const maxLinks = 1 << 16

// links are what the descriptors of a process lead to; nil if dx may not know.
func links(pid int) []string {
	dir := "/proc/" + strconv.Itoa(pid) + "/fd"
	f, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer f.Close()
	names, _ := f.Readdirnames(maxLinks)
	var out []string
	for _, n := range names {
		if to, err := os.Readlink(dir + "/" + n); err == nil {
			out = append(out, to)
		}
	}
	return out
}

func comm(pid int) string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(string(b), "\n")
}
