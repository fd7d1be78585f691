// Package unixdiag asks the kernel for the unix sockets of dx's network
// namespace, as ss -x does: who listens where, how many wait to be accepted, and
// which two sockets are connected (sock_diag(7), linux/unix_diag.h).
//
// Which process has a socket open, and what it is for, does not belong here.
package unixdiag

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Socket is one unix socket.
type Socket struct {
	Inode     uint32
	Name      string // path; abstract ones begin with "@"; empty: unnamed
	Listening bool
	Peer      uint32 // inode of the other end; 0: none

	Waiting uint32 // listening: connections that nobody has accepted yet
	Backlog uint32 // listening: how many may wait

	FileInode uint32 // of the socket's file, also when it has been removed
}

// From linux/unix_diag.h, linux/sock_diag.h and net/tcp_states.h.
const (
	sockDiagByFamily = 20

	showName  = 0x1
	showFile  = 0x2
	showPeer  = 0x4
	showQueue = 0x10

	attrName  = 0
	attrFile  = 1
	attrPeer  = 2
	attrQueue = 4

	established = 1
	listening   = 10

	requestSize = 24
	messageSize = 16
)

// maxSockets bounds what is believed of one dump.
const maxSockets = 1 << 20

// timeout bounds the wait for each part of the kernel's answer.
const timeout = time.Second

// Sockets lists connected and listening unix sockets.
func Sockets() ([]Socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, fmt.Errorf("open a sock_diag socket: %w", err)
	}
	defer unix.Close(fd)
	limit := unix.NsecToTimeval(timeout.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
		return nil, fmt.Errorf("set a deadline: %w", err)
	}
	if err := unix.Sendto(fd, request(), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, fmt.Errorf("ask for unix sockets: %w", err)
	}
	return receive(fd)
}

func request() []byte {
	b := make([]byte, unix.SizeofNlMsghdr+requestSize)
	binary.NativeEndian.PutUint32(b[0:], uint32(len(b)))
	binary.NativeEndian.PutUint16(b[4:], sockDiagByFamily)
	binary.NativeEndian.PutUint16(b[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	body := b[unix.SizeofNlMsghdr:]
	body[0] = unix.AF_UNIX
	binary.NativeEndian.PutUint32(body[4:], 1<<established|1<<listening)
	binary.NativeEndian.PutUint32(body[12:], showName|showFile|showPeer|showQueue)
	return b
}

func receive(fd int) ([]Socket, error) {
	var out []Socket
	buf := make([]byte, 64<<10)
	for {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read the list of unix sockets: %w", err)
		}
		done, err := Parse(buf[:n], func(s Socket) { out = append(out, s) })
		if err != nil || done {
			return out, err
		}
		if len(out) > maxSockets {
			return out, fmt.Errorf("more than %d unix sockets", maxSockets)
		}
	}
}

// Parse reads one datagram of the answer. done says that it was the last.
func Parse(b []byte, add func(Socket)) (done bool, err error) {
	for len(b) >= unix.SizeofNlMsghdr {
		size := binary.NativeEndian.Uint32(b)
		if size < unix.SizeofNlMsghdr || uint64(size) > uint64(len(b)) {
			return false, fmt.Errorf("a netlink message of %d bytes in %d", size, len(b))
		}
		body := b[unix.SizeofNlMsghdr:size]
		switch binary.NativeEndian.Uint16(b[4:]) {
		case unix.NLMSG_DONE:
			return true, nil
		case unix.NLMSG_ERROR:
			return false, parseError(body)
		case sockDiagByFamily:
			if s, ok := parseSocket(body); ok {
				add(s)
			}
		}
		b = b[min(align(int(size)), len(b)):]
	}
	return false, nil
}

func parseError(b []byte) error {
	if len(b) < 4 {
		return errors.New("a netlink error without a number")
	}
	return fmt.Errorf("sock_diag: %w", unix.Errno(-int32(binary.NativeEndian.Uint32(b))))
}

func parseSocket(b []byte) (Socket, bool) {
	if len(b) < messageSize || b[0] != unix.AF_UNIX {
		return Socket{}, false
	}
	s := Socket{Listening: b[2] == listening, Inode: binary.NativeEndian.Uint32(b[4:])}
	for b = b[messageSize:]; len(b) >= unix.SizeofRtAttr; {
		size := int(binary.NativeEndian.Uint16(b))
		if size < unix.SizeofRtAttr || size > len(b) {
			return Socket{}, false
		}
		s.attribute(binary.NativeEndian.Uint16(b[2:]), b[unix.SizeofRtAttr:size])
		b = b[min(align(size), len(b)):]
	}
	return s, true
}

func (s *Socket) attribute(kind uint16, b []byte) {
	switch {
	case kind == attrName:
		s.Name = name(b)
	case kind == attrFile && len(b) >= 4:
		s.FileInode = binary.NativeEndian.Uint32(b)
	case kind == attrPeer && len(b) >= 4:
		s.Peer = binary.NativeEndian.Uint32(b)
	case kind == attrQueue && len(b) >= 8 && s.Listening:
		s.Waiting, s.Backlog = binary.NativeEndian.Uint32(b), binary.NativeEndian.Uint32(b[4:])
	}
}

func name(b []byte) string {
	if len(b) > 0 && b[0] == 0 {
		return "@" + string(b[1:])
	}
	return strings.TrimRight(string(b), "\x00")
}

func align(n int) int { return (n + 3) &^ 3 }
