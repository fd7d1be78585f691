// Package lookup is the way back: from something that is seen on the host (a PID, a
// namespace, an interface, an address, a cgroup, a directory, a port) to the container
// that it belongs to, with the evidence. What containers there are is dockerx's
// matter; nothing is changed, and nobody but the kernel and Docker's own list of
// published ports is believed.
package lookup

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"

	"dx/nsops"
)

// Kind is what an argument names.
type Kind string

// The kinds.
const (
	PID       Kind = "pid"
	Inode     Kind = "inode" // of a namespace
	Interface Kind = "interface"
	IP        Kind = "ip"
	Cgroup    Kind = "cgroup"
	Path      Kind = "path"
	Port      Kind = "port"
	Socket    Kind = "socket"
)

// Query is one meaning of an argument. Only the fields of its kind are set.
type Query struct {
	Kind  Kind
	PID   int
	Type  nsops.Type // empty: any
	Inode uint64     // of a namespace, or a socket
	Name  string     // of an interface; the path of a cgroup or a file
	Addr  netip.Addr
	Proto string // "tcp", "udp"; empty: either
	Port  uint16
}

// maxPID is PID_MAX_LIMIT (kernel include/linux/threads.h): greater numbers are
// inodes.
const maxPID = 1 << 22

// maxName is IFNAMSIZ without its NUL.
const maxName = 15

// prefixes are the explicit forms.
var prefixes = map[string]func(string) (Query, error){
	"pid":    parsePID,
	"inode":  parseInode,
	"if":     func(s string) (Query, error) { return Query{Kind: Interface, Name: s}, nil },
	"ip":     parseIP,
	"cgroup": func(s string) (Query, error) { return Query{Kind: Cgroup, Name: s}, nil },
	"path":   func(s string) (Query, error) { return Query{Kind: Path, Name: s}, nil },
	"port":   func(s string) (Query, error) { return parsePort("", s) },
	"socket": parseSocket,
	"tcp":    func(s string) (Query, error) { return parsePort("tcp", s) },
	"udp":    func(s string) (Query, error) { return parsePort("udp", s) },
	"":       func(s string) (Query, error) { return parsePort("", s) },
}

// Parse says what an argument may mean, the likeliest first: an explicit form
// ("pid:", "inode:", "if:", "ip:", "cgroup:", "path:", "port:", "socket:", "tcp:", "udp:") means
// one thing; without one, its shape tells.
func Parse(arg string) ([]Query, error) {
	if arg == "" {
		return nil, errors.New("an empty argument names nothing")
	}
	if t, n, ok := nsops.ParseLink(arg); ok {
		return []Query{{Kind: Inode, Type: t, Inode: n}}, nil
	}
	if ip, err := netip.ParseAddr(arg); err == nil {
		return []Query{{Kind: IP, Addr: ip.WithZone("").Unmap()}}, nil
	}
	if to, err := netip.ParseAddrPort(arg); err == nil && to.Port() != 0 { // as ss and netstat print it
		return []Query{{Kind: Port, Port: to.Port()}}, nil
	}
	if path, ok := cgroupLine(arg); ok {
		return []Query{{Kind: Cgroup, Name: path}}, nil
	}
	if prefix, rest, ok := strings.Cut(arg, ":"); ok && prefixes[prefix] != nil {
		q, err := prefixes[prefix](rest)
		if err == nil && rest == "" {
			err = errors.New("nothing follows the colon")
		}
		if err != nil {
			return nil, fmt.Errorf("argument %q: %w", arg, err)
		}
		return []Query{q}, nil
	}
	return shapes(arg), nil
}

func shapes(arg string) []Query {
	if n, err := strconv.ParseUint(arg, 10, 64); err == nil {
		if n > 0 && n <= math.MaxUint16 {
			return []Query{{Kind: PID, PID: int(n)}, {Kind: Port, Port: uint16(n)}}
		}
		if n > 0 && n <= maxPID {
			return []Query{{Kind: PID, PID: int(n)}}
		}
		return []Query{{Kind: Inode, Inode: n}}
	}
	if q, err := parseIP(arg); err == nil && strings.Contains(arg, "/") {
		return []Query{q}
	}
	if port, proto, ok := strings.Cut(arg, "/"); ok && (proto == "tcp" || proto == "udp") {
		if q, err := parsePort(proto, port); err == nil {
			return []Query{q} // as docker writes it
		}
	}
	if pid, ok := procPID(arg); ok {
		return []Query{{Kind: Path, Name: arg}, {Kind: PID, PID: pid}}
	}
	if strings.HasPrefix(arg, "/") {
		return []Query{{Kind: Path, Name: arg}, {Kind: Cgroup, Name: arg}}
	}
	if strings.Contains(arg, "/") || arg == "." || arg == ".." {
		return []Query{{Kind: Path, Name: arg}}
	}
	if name, index, ok := strings.Cut(arg, "@if"); ok && isNumber(index) { // as ip link prints a veth
		return []Query{{Kind: Interface, Name: name}}
	}
	var out []Query
	if len(arg) <= maxName {
		out = append(out, Query{Kind: Interface, Name: arg})
	}
	return append(out, Query{Kind: Path, Name: arg})
}

func isNumber(s string) bool {
	_, err := strconv.ParseUint(s, 10, 31)
	return err == nil
}

func parsePID(s string) (Query, error) {
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil || n == 0 {
		return Query{}, fmt.Errorf("%q is not a process number", s)
	}
	return Query{Kind: PID, PID: int(n)}, nil
}

func parseInode(s string) (Query, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return Query{}, fmt.Errorf("%q is not an inode number", s)
	}
	return Query{Kind: Inode, Inode: n}, nil
}

// parseSocket takes a number, and "[123]" of "socket:[123]", as /proc/PID/fd and ss -e have it.
func parseSocket(s string) (Query, error) {
	digits := s
	if inside, ok := strings.CutPrefix(s, "["); ok && strings.HasSuffix(inside, "]") {
		digits = strings.TrimSuffix(inside, "]")
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || n == 0 {
		return Query{}, fmt.Errorf("%q is not a socket number", s)
	}
	return Query{Kind: Socket, Inode: n}, nil
}

// parseIP takes "10.0.0.2", "10.0.0.2/24", "fe80::1%eth0".
func parseIP(s string) (Query, error) {
	text, _, _ := strings.Cut(s, "/")
	if text != s {
		if _, err := netip.ParsePrefix(s); err != nil {
			return Query{}, fmt.Errorf("%q is not an IP address", s)
		}
	}
	ip, err := netip.ParseAddr(text)
	if err != nil {
		return Query{}, fmt.Errorf("%q is not an IP address", s)
	}
	return Query{Kind: IP, Addr: ip.WithZone("").Unmap()}, nil
}

func parsePort(proto, s string) (Query, error) {
	if number, p, ok := strings.Cut(s, "/"); ok && proto == "" && (p == "tcp" || p == "udp") {
		s, proto = number, p
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(s, ":"), 10, 16)
	if err != nil || n == 0 {
		return Query{}, fmt.Errorf("%q is not a port number", s)
	}
	return Query{Kind: Port, Proto: proto, Port: uint16(n)}, nil
}

// cgroupLine takes a line of /proc/PID/cgroup, "4:memory:/docker/1791…".
func cgroupLine(s string) (path string, ok bool) {
	number, rest, _ := strings.Cut(s, ":")
	_, path, ok = strings.Cut(rest, ":")
	if _, err := strconv.Atoi(number); err != nil || !ok || !strings.HasPrefix(path, "/") {
		return "", false
	}
	return path, true
}

// procPID is the process of a path below /proc.
func procPID(s string) (int, bool) {
	rest, ok := strings.CutPrefix(filepath.Clean(s), "/proc/")
	number, _, _ := strings.Cut(rest, "/")
	n, err := strconv.ParseUint(number, 10, 31)
	return int(n), ok && err == nil && n > 0
}
