package posture

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// maxSockets bounds how many open ports are kept of one process.
const maxSockets = 4096

// Port is one on which a process of the network namespace takes what comes: a TCP
// socket that listens, or a UDP socket that is not connected.
type Port struct {
	Protocol string // tcp, tcp6, udp, udp6
	Address  netip.AddrPort
	UID      uint32 // of the socket's owner, as the caller sees it
	Inode    uint64
}

// The states of include/net/tcp_states.h that mean an open port.
const (
	tcpClose  = 7  // an unconnected UDP socket
	tcpListen = 10 // a TCP socket that accepts
)

// ports reads the tables that the process sees, which are those of its namespace.
func (r *reader) ports(n *Network) error {
	for _, protocol := range []string{"tcp", "tcp6", "udp", "udp6"} {
		b, err := r.p.ReadFile("net/" + protocol)
		if errors.Is(err, unix.ENOENT) {
			continue // a kernel without IPv6
		}
		if err != nil {
			return err
		}
		// The kernel lists sockets that listen first (net/ipv4/tcp_ipv4.c).
		b, cut := wholeLines(b)
		list, more, err := ParsePorts(bytes.NewReader(b), protocol, maxSockets-len(n.Ports))
		if err != nil {
			return fmt.Errorf("%s: %w", file(r.p.PID, "net/"+protocol), err)
		}
		n.Ports, n.Truncated = append(n.Ports, list...), n.Truncated || cut || more
	}
	return nil
}

// ParsePorts parses /proc/PID/net/{tcp,tcp6,udp,udp6} and returns the open ports, a
// number of them at the most; more says that there are others.
func ParsePorts(r io.Reader, protocol string, most int) (out []Port, more bool, err error) {
	open := uint64(tcpListen)
	if strings.HasPrefix(protocol, "udp") {
		open = tcpClose
	}
	sc := bufio.NewScanner(r)
	for first := true; sc.Scan(); first = false {
		if first {
			continue // the names of the columns
		}
		f := strings.Fields(sc.Text())
		if len(f) < 10 {
			return nil, false, fmt.Errorf("%d columns in %q, want at least 10", len(f), sc.Text())
		}
		if state, err := strconv.ParseUint(f[3], 16, 8); err != nil || state != open {
			continue
		}
		if len(out) >= most {
			return out, true, nil
		}
		p, err := parsePort(f)
		if err != nil {
			return nil, false, fmt.Errorf("%q: %w", sc.Text(), err)
		}
		p.Protocol = protocol
		out = append(out, p)
	}
	return out, false, sc.Err()
}

// parsePort takes the columns local_address, uid and inode.
func parsePort(f []string) (p Port, err error) {
	if p.Address, err = parseAddrPort(f[1]); err != nil {
		return p, err
	}
	uid, err := strconv.ParseUint(f[7], 10, 32)
	if err != nil {
		return p, err
	}
	p.UID = uint32(uid)
	p.Inode, err = strconv.ParseUint(f[9], 10, 64)
	return p, err
}

// parseAddrPort parses "0100007F:1F90": words of 32 bits in the machine's order, each
// printed as a number, and the port as one.
func parseAddrPort(s string) (netip.AddrPort, error) {
	addr, port, ok := strings.Cut(s, ":")
	n, err := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q is no address and port", s)
	}
	b, err := hex.DecodeString(addr)
	if err != nil || len(b) != 4 && len(b) != 16 {
		return netip.AddrPort{}, fmt.Errorf("%q is no address", addr)
	}
	for i := 0; i < len(b); i += 4 {
		binary.NativeEndian.PutUint32(b[i:], binary.BigEndian.Uint32(b[i:]))
	}
	ip, _ := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(ip, uint16(n)), nil
}
