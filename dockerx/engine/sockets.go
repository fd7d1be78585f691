package engine

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
)

// socket is a TCP socket of dx's network namespace.
type socket struct {
	ip       net.IP // 4 bytes, or 16
	port     int
	peer     net.IP
	peerPort int
	listens  bool
	uid      uint32
	inode    uint64
}

// maxSockets bounds how many lines of a list of sockets are read.
const maxSockets = 1 << 20

// stateListen is TCP_LISTEN of include/net/tcp_states.h.
const stateListen = "0A"

// parseSockets reads /proc/net/tcp or tcp6 (proc(5)). A line that cannot be understood is
// an error: one that is skipped could be the one that counts.
func parseSockets(r io.Reader) ([]socket, error) {
	var out []socket
	sc := bufio.NewScanner(r)
	sc.Scan() // the headings
	for n := 0; sc.Scan(); n++ {
		if n == maxSockets {
			return nil, fmt.Errorf("more than %d sockets", maxSockets)
		}
		s, err := parseSocket(strings.Fields(sc.Text()))
		if err != nil {
			return nil, fmt.Errorf("%q: %w", sc.Text(), err)
		}
		out = append(out, s)
	}
	return out, sc.Err()
}

func parseSocket(f []string) (s socket, err error) {
	if len(f) < 10 {
		return s, fmt.Errorf("%d fields, want at least 10", len(f))
	}
	s.listens = f[3] == stateListen
	if s.ip, s.port, err = parseAddress(f[1]); err != nil {
		return s, err
	}
	if s.peer, s.peerPort, err = parseAddress(f[2]); err != nil {
		return s, err
	}
	uid, err := strconv.ParseUint(f[7], 10, 32)
	if err != nil {
		return s, fmt.Errorf("uid: %w", err)
	}
	s.uid = uint32(uid)
	s.inode, err = strconv.ParseUint(f[9], 10, 64)
	return s, err
}

// parseAddress reads an address: words of four bytes, each in the machine's order, and
// the port.
func parseAddress(s string) (net.IP, int, error) {
	address, port, _ := strings.Cut(s, ":")
	b, err := hex.DecodeString(address)
	if err != nil || len(b) != net.IPv4len && len(b) != net.IPv6len {
		return nil, 0, fmt.Errorf("%q is no address", s)
	}
	for i := 0; i < len(b); i += 4 {
		binary.NativeEndian.PutUint32(b[i:], binary.BigEndian.Uint32(b[i:]))
	}
	n, err := strconv.ParseUint(port, 16, 16)
	return b, int(n), err
}
