package engine

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPeers: the kernel says who listens, for every kind of address.
func TestPeers(t *testing.T) {
	for _, address := range []string{"unix " + filepath.Join(t.TempDir(), "s"), "tcp 127.0.0.1:0", "tcp [::1]:0", "tcp 0.0.0.0:0"} {
		network, addr, _ := strings.Cut(address, " ")
		l, err := net.Listen(network, addr)
		if err != nil {
			t.Logf("%s: %v", address, err) // no IPv6 here
			continue
		}
		defer l.Close()
		to := l.Addr().String()
		if _, port, err := net.SplitHostPort(to); err == nil && addr == "0.0.0.0:0" {
			to = "127.0.0.1:" + port
		}
		conn, err := net.Dial(network, to)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		p, err := peerOf(conn, to)
		if err != nil || len(p.UIDs) != 1 || int(p.UIDs[0]) != os.Geteuid() || p.Elsewhere {
			t.Errorf("the peer at %s: %+v, %v, want one uid, this process's, of this host", address, p, err)
		}
		if network == "unix" && (p.Process == nil || p.Process.PID != os.Getpid() || p.Path != to) {
			t.Errorf("the peer at %s: %+v, want pid %d and path %s", address, p, os.Getpid(), to)
		}
		if p.Process != nil {
			p.Process.Close()
		}
		if network == "tcp" && len(p.Inodes) != 1 {
			t.Errorf("the peer at %s: %+v, want one inode", address, p)
		}
	}
}

// TestReached: a socket for any address never hides one for the address itself.
func TestReached(t *testing.T) {
	listen := func(ip string, port int, uid uint32) socket {
		parsed := net.ParseIP(ip)
		if v4 := parsed.To4(); v4 != nil {
			parsed = v4
		}
		return socket{ip: parsed, port: port, uid: uid, listens: true}
	}
	to := &net.TCPAddr{IP: net.ParseIP("127.0.0.1"), Port: 1}
	for want, all := range map[uint32][]socket{
		1: {listen("::", 1, 3), listen("0.0.0.0", 1, 2), listen("127.0.0.1", 1, 1), listen("127.0.0.2", 1, 4)},
		2: {listen("::", 1, 3), listen("0.0.0.0", 1, 2), listen("127.0.0.1", 2, 1)},
		3: {listen("::", 1, 3), listen("::1", 1, 5)},
	} {
		if got := reached(all, to); len(got) != 1 || got[0].uid != want {
			t.Errorf("%+v, want that of uid %d", got, want)
		}
	}
}

// procNetTCP is /proc/net/tcp of a host of little-endian words, and a line of tcp6.
const procNetTCP = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0947 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 23456 1 0000000000000000 100 0 0 10 0
   1: 0100007F:0948 0100007F:0947 01 00000000:00000000 00:00000000 00000000     0        0 0 1 0000000000000000 100 0 0 10 0
   2: 00000000000000000000000001000000:0947 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 777 1 0000000000000000 100 0 0 10 0
`

func FuzzParseSockets(f *testing.F) {
	f.Add(procNetTCP)
	f.Fuzz(func(t *testing.T, text string) {
		list, err := parseSockets(strings.NewReader(text))
		for _, l := range list {
			if err == nil && (len(l.ip) != net.IPv4len && len(l.ip) != net.IPv6len || l.port < 0 || l.port > 65535) {
				t.Errorf("parsed %+v, want an address of 4 or 16 bytes, and a port", l)
			}
		}
	})
}

func TestParseSockets(t *testing.T) {
	list, err := parseSockets(strings.NewReader(procNetTCP))
	if err != nil || len(list) != 3 {
		t.Fatalf("%+v, %v", list, err)
	}
	if l := list[0]; l.ip.String() != "127.0.0.1" || l.port != 2375 || l.uid != 1000 || l.inode != 23456 || !l.listens {
		t.Errorf("the first listener is %+v, want 127.0.0.1:2375 of uid 1000, inode 23456", l)
	}
	if l := list[1]; l.listens || l.peerPort != 2375 || l.peer.String() != "127.0.0.1" {
		t.Errorf("%+v", l)
	}
	if l := list[2]; l.ip.String() != "::1" || l.uid != 0 {
		t.Errorf("the second listener is %+v, want ::1 of root", l)
	}
}
