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

// listener is a TCP socket that listens.
type listener struct {
	ip    net.IP // 4 bytes, or 16
	port  int
	uid   uint32
	inode uint64
}

// maxSockets bounds how many lines of a list of sockets are read.
const maxSockets = 1 << 20

// stateListen is TCP_LISTEN of include/net/tcp_states.h.
const stateListen = "0A"

// parseListeners reads the listening sockets of /proc/net/tcp or tcp6 (proc(5)). A line
// that cannot be understood is an error: one that is skipped could be the one that counts.
func parseListeners(r io.Reader) ([]listener, error) {
	var out []listener
	sc := bufio.NewScanner(r)
	sc.Scan() // the headings
	for n := 0; sc.Scan(); n++ {
		if n == maxSockets {
			return nil, fmt.Errorf("more than %d sockets", maxSockets)
		}
		f := strings.Fields(sc.Text())
		if len(f) < 10 {
			return nil, fmt.Errorf("%d fields in %q", len(f), sc.Text())
		}
		if f[3] != stateListen {
			continue
		}
		l, err := parseListener(f)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", sc.Text(), err)
		}
		out = append(out, l)
	}
	return out, sc.Err()
}

func parseListener(f []string) (l listener, err error) {
	if l.ip, l.port, err = parseAddress(f[1]); err != nil {
		return l, err
	}
	uid, err := strconv.ParseUint(f[7], 10, 32)
	if err != nil {
		return l, fmt.Errorf("uid: %w", err)
	}
	l.uid = uint32(uid)
	l.inode, err = strconv.ParseUint(f[9], 10, 64)
	return l, err
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
