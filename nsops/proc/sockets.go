package proc

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Socket is a local port that is open in a network namespace: a TCP socket that
// listens, or a UDP socket that is bound and not connected.
type Socket struct {
	Proto string         // "tcp", "udp"; of both versions of IP
	Addr  netip.AddrPort // Is6 also of a socket of IPv6 for addresses of IPv4
	UID   uint32         // of its owner, as the caller sees it
	Inode uint64         // as /proc/PID/fd shows it: "socket:[…]"
}

// maxNetFile bounds what is read of one file: a container can have as many sockets
// as its limits allow.
const maxNetFile = 64 << 20

// OpenPorts reads /proc/PID/net/{tcp,tcp6,udp,udp6}: of the whole network namespace
// that the process is in, without joining it. It returns a number of them at the
// most; more says that there may be others.
func (p *Process) OpenPorts(most int) (out []Socket, more bool, err error) {
	for _, name := range []string{"tcp", "tcp6", "udp", "udp6"} {
		b, cut, err := p.ReadPrefix("net/"+name, maxNetFile)
		if errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrGone) {
			continue // a kernel without IPv6
		}
		if err != nil {
			return nil, false, err
		}
		if cut {
			b = b[:bytes.LastIndexByte(b, '\n')+1]
		}
		// The kernel lists sockets that listen first (net/ipv4/tcp_ipv4.c).
		list, others, err := ParseSockets(bytes.NewReader(b), name[:3], most-len(out))
		if err != nil {
			return nil, false, fmt.Errorf("/proc/%d/net/%s: %w", p.PID, name, err)
		}
		out, more = append(out, list...), more || cut || others
	}
	return out, more, nil
}

// States of a socket in /proc/net/tcp and udp (kernel include/net/tcp_states.h); a
// UDP socket that is not connected has TCP_CLOSE.
const (
	tcpClose  = "07"
	tcpListen = "0A"
)

// ParseSockets picks the open ports out of a /proc/net/{tcp,tcp6,udp,udp6}
// (proc_pid_net(5)), a number of them at the most; more says that there are others.
// proto is "tcp" or "udp".
func ParseSockets(r io.Reader, proto string, most int) (out []Socket, more bool, err error) {
	open := tcpListen
	if proto == "udp" {
		open = tcpClose
	}
	sc := bufio.NewScanner(r)
	sc.Scan() // the header
	for sc.Scan() {
		f := strings.Fields(sc.Text())
		if len(f) < 10 {
			return nil, false, fmt.Errorf("%d columns in %q, want at least 10", len(f), sc.Text())
		}
		if f[3] != open {
			continue
		}
		if len(out) >= most {
			return out, true, nil
		}
		s, err := parseSocket(f)
		if err != nil {
			return nil, false, fmt.Errorf("%q: %w", sc.Text(), err)
		}
		s.Proto = proto
		out = append(out, s)
	}
	return out, false, sc.Err()
}

// parseSocket takes the columns local_address, uid and inode.
func parseSocket(f []string) (s Socket, err error) {
	if s.Addr, err = parseHexAddr(f[1]); err != nil {
		return s, err
	}
	uid, err := strconv.ParseUint(f[7], 10, 32)
	if err != nil {
		return s, fmt.Errorf("uid: %w", err)
	}
	s.UID = uint32(uid)
	if s.Inode, err = strconv.ParseUint(f[9], 10, 64); err != nil {
		return s, fmt.Errorf("inode: %w", err)
	}
	return s, nil
}

// parseHexAddr parses "0100007F:1F90": the address is printed as 32-bit words in the
// machine's own order (kernel net/ipv4/tcp_ipv4.c, get_tcp4_sock), the port is not.
func parseHexAddr(s string) (netip.AddrPort, error) {
	text, port, _ := strings.Cut(s, ":")
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != 4 && len(b) != 16 {
		return netip.AddrPort{}, fmt.Errorf("malformed address %q", s)
	}
	n, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("malformed port in %q", s)
	}
	for i := 0; i < len(b); i += 4 {
		binary.NativeEndian.PutUint32(b[i:], binary.BigEndian.Uint32(b[i:]))
	}
	addr, _ := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(addr, uint16(n)), nil
}

// maxFDs bounds how many descriptors of one process are looked at.
const maxFDs = 1 << 16

// Sockets returns the inodes of the sockets that the process has open.
func (p *Process) Sockets() ([]uint64, error) {
	dir, err := p.OpenFile("fd", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(maxFDs)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, p.wrap("list", "fd", err)
	}
	var out []uint64
	for _, name := range names {
		link, err := p.Readlink("fd/" + name)
		if err != nil {
			continue // closed meanwhile
		}
		digits, ok := strings.CutPrefix(link, "socket:[")
		if !ok {
			continue
		}
		if n, err := strconv.ParseUint(strings.TrimSuffix(digits, "]"), 10, 64); err == nil {
			out = append(out, n)
		}
	}
	return out, nil
}
