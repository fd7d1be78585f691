package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"dx/nsops/proc"
)

// Peer is who listens where an engine is asked, as the kernel says.
type Peer struct {
	// UIDs are those whose the listening socket is; more than one if several share it.
	UIDs []uint32
	// Process is who called listen(2), held open; it may have passed the socket on since.
	// nil: it is not one that dx sees, or it has ended, or for TCP: it must be looked
	// for by Inodes. It is the client's, until Close.
	Process *proc.Process
	// Inodes are those of the listening sockets, for TCP.
	Inodes []uint64
	// Path is the socket's file, for a unix socket.
	Path string
	// File is what stat(2) said of that file when it was connected to; nil: not known.
	File *unix.Stat_t
	// Elsewhere says that the address is not one of this host alone.
	Elsewhere bool
}

// peers are those of all connections that a client has made.
type peers struct {
	mu   sync.Mutex
	list []Peer
	err  error
}

// Peers returns who was at the other end of each connection that has been made so far.
// An error says that it could not be found out for one of them.
func (c *Client) Peers() ([]Peer, error) {
	c.peers.mu.Lock()
	defer c.peers.mu.Unlock()
	return append([]Peer{}, c.peers.list...), c.peers.err
}

func (p *peers) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, peer := range p.list {
		if peer.Process != nil {
			errs = append(errs, peer.Process.Close())
		}
	}
	p.list = nil
	return errors.Join(errs...)
}

// note looks at a new connection before anything is asked over it.
func (p *peers) note(conn net.Conn, addr string, file *unix.Stat_t) {
	peer, err := peerOf(conn, addr)
	peer.File = file
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.err = err
		return
	}
	p.list = append(p.list, peer)
}

func peerOf(conn net.Conn, addr string) (Peer, error) {
	switch c := conn.(type) {
	case *net.UnixConn:
		return unixPeer(c, addr)
	case *net.TCPConn:
		return tcpPeer(c)
	}
	return Peer{}, fmt.Errorf("a connection of an unknown kind to %s", addr)
}

// unixPeer asks the connection itself (unix(7), SO_PEERCRED): a path may lead to
// another socket by now.
func unixPeer(c *net.UnixConn, path string) (Peer, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return Peer{}, err
	}
	peer := Peer{Path: path}
	errControl := raw.Control(func(fd uintptr) {
		var cred *unix.Ucred
		if cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err != nil {
			return
		}
		peer.UIDs = []uint32{cred.Uid}
		peer.Process = listenerOf(int(fd), int(cred.Pid))
	})
	if err = errors.Join(err, errControl); err != nil {
		return Peer{}, fmt.Errorf("who listens on %s: %w", path, err)
	}
	return peer, nil
}

// listenerOf takes hold of the process with that number, if it is still the one that
// called listen(2).
func listenerOf(fd, pid int) *proc.Process {
	p, err := proc.OpenDir(pid)
	if err != nil {
		return nil
	}
	if ended(fd) {
		p.Close()
		return nil
	}
	return p
}

// soPeerPidfd is SO_PEERPIDFD of include/uapi/asm-generic/socket.h, Linux 6.5.
const soPeerPidfd = 77

// ended reports whether the process that called listen(2) has ended, so that its number
// may be somebody else's. Kernels before 6.5 do not tell.
func ended(fd int) bool {
	pidfd, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, soPeerPidfd)
	if err != nil {
		return !errors.Is(err, unix.ENOPROTOOPT)
	}
	defer unix.Close(pidfd)
	return errors.Is(unix.PidfdSendSignal(pidfd, 0, nil, 0), syscall.ESRCH)
}

// tcpPeer finds the sockets that listen at the other end, if that is on this host.
func tcpPeer(c *net.TCPConn) (Peer, error) {
	remote, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok || !remote.IP.IsLoopback() {
		return Peer{Elsewhere: true}, nil
	}
	var all []socket
	for _, name := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		f, err := os.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // no IPv6
		}
		if err != nil {
			return Peer{}, err
		}
		list, err := parseSockets(f)
		f.Close()
		if err != nil {
			return Peer{}, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, list...)
	}
	if !accepted(all, c) {
		// A container's published port is one of the host's, and its packets are
		// translated before anybody who listens here gets them.
		return Peer{Elsewhere: true}, nil
	}
	var peer Peer
	for _, l := range reached(all, remote) {
		peer.Inodes = append(peer.Inodes, l.inode)
		peer.UIDs = append(peer.UIDs, l.uid)
	}
	if peer.Inodes == nil {
		return Peer{}, fmt.Errorf("nobody listens on %s any more", remote)
	}
	return peer, nil
}

// reached are the sockets to which the kernel gives a connection: those that listen on
// the address itself, else on any of its family, else on any of IPv6
// (net/ipv4/inet_hashtables.c, __inet_lookup_listener). Another user may listen on the
// same port with a lesser claim to it.
func reached(all []socket, to *net.TCPAddr) []socket {
	var exact, any, any6 []socket
	for _, l := range all {
		switch {
		case !l.listens || l.port != to.Port:
		case l.ip.Equal(to.IP):
			exact = append(exact, l)
		case !l.ip.IsUnspecified():
		case (len(l.ip) == net.IPv4len) == (to.IP.To4() != nil):
			any = append(any, l)
		default:
			any6 = append(any6, l)
		}
	}
	switch {
	case exact != nil:
		return exact
	case any != nil:
		return any
	}
	return any6
}

// accepted reports whether the other end of a connection is a socket of this network
// namespace, in whatever state.
func accepted(all []socket, c *net.TCPConn) bool {
	local, ok := c.LocalAddr().(*net.TCPAddr)
	remote, okRemote := c.RemoteAddr().(*net.TCPAddr)
	if !ok || !okRemote {
		return false
	}
	return slices.ContainsFunc(all, func(s socket) bool {
		return !s.listens && s.port == remote.Port && s.ip.Equal(remote.IP) && s.peerPort == local.Port && s.peer.Equal(local.IP)
	})
}
