package proc

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"dx/e2e/await"
)

func TestEachVisitsWhatPsLists(t *testing.T) {
	before := openDescriptors(t)
	child := exec.Command("sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { child.Process.Kill(); child.Wait() }()
	seen := map[int]bool{}
	err := Each(func(p *Process) error {
		if seen[p.PID] {
			t.Errorf("%d is visited twice", p.PID)
		}
		seen[p.PID] = true
		return nil
	})
	if err != nil || !seen[os.Getpid()] || !seen[child.Process.Pid] {
		t.Errorf("%v: self %v, child %v", err, seen[os.Getpid()], seen[child.Process.Pid])
	}
	want := errors.New("enough")
	if err := Each(func(*Process) error { return want }); !errors.Is(err, want) {
		t.Errorf("an error of visit gives %v", err)
	}
	if after := openDescriptors(t); after > before+2 { // the child's pidfd
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

func openDescriptors(t *testing.T) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

func TestZombiesAreVisited(t *testing.T) {
	child := exec.Command("true")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer child.Wait()
	await.Until(t, "the child is a zombie", func() bool {
		st, err := StatOf(child.Process.Pid)
		return err == nil && st.Dead()
	})
	found := false
	err := Each(func(p *Process) error {
		if p.PID == child.Process.Pid {
			st, err := p.Stat()
			found = err == nil && st.State == 'Z'
		}
		return nil
	})
	if err != nil || !found {
		t.Errorf("the zombie is not visited: %v", err)
	}
}

func TestReadPrefix(t *testing.T) {
	child := exec.Command("sleep", "60", "0")
	child.Args = append(child.Args, strings.Repeat("0", 100000))
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { child.Process.Kill(); child.Wait() }()
	p, err := Open(child.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	// The kernel closes what tells Start of the execve before it has the arguments.
	await.Until(t, "the child has its arguments", func() bool {
		b, err := p.ReadFile("cmdline")
		if err != nil {
			t.Fatal(err)
		}
		return len(b) > 0
	})
	b, cut, err := p.ReadPrefix("cmdline", 8)
	if err != nil || !cut || string(b) != "sleep\x0060" {
		t.Errorf("the prefix is %q (cut: %v), %v, want 8 bytes of a longer file", b, cut, err)
	}
	if b, cut, err = p.ReadPrefix("cmdline", 1<<20); err != nil || cut || len(b) < 100000 {
		t.Errorf("%d bytes %v %v", len(b), cut, err)
	}
}

// TestOpenPorts compares with the sockets that the test itself has opened.
func TestOpenPorts(t *testing.T) {
	tcp, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	udp, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	self, err := Self()
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	ports, _, err := self.OpenPorts(1000)
	if err != nil {
		t.Fatal(err)
	}
	held, err := self.Sockets()
	if err != nil {
		t.Fatal(err)
	}
	for proto, addr := range map[string]string{"tcp": tcp.Addr().String(), "udp": udp.LocalAddr().String()} {
		i := slices.IndexFunc(ports, func(s Socket) bool { return s.Proto == proto && s.Addr.String() == addr })
		if i < 0 || !slices.Contains(held, ports[i].Inode) {
			t.Errorf("%s %s is not among %v held %v", proto, addr, ports, held)
		}
	}
}

const tcp6File = `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0
   1: 0000000000000000FFFF00000100007F:1F90 0000000000000000FFFF00000100007F:8000 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 20 4 0 10 -1
`

func TestParseSockets(t *testing.T) {
	// Of kernel 6.18: a listener, a connection that waits, one on port 8080.
	tcp := "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n" +
		"   0: 00000000:07E8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1120 1 000000009e1e017a 100 0 0 10 0\n" +
		"   1: 020200C0:AFDA 507100CB:0050 06 00000000:00000000 03:000011D3 00000000     0        0 0 3 000000008653402b\n" +
		"   2: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0000000000000000 100 0 0 10 0\n"
	got, more, err := ParseSockets(strings.NewReader(tcp), "tcp", 10)
	want := []Socket{
		{Proto: "tcp", Addr: netip.MustParseAddrPort("0.0.0.0:2024"), Inode: 1120},
		{Proto: "tcp", Addr: netip.MustParseAddrPort("127.0.0.1:8080"), UID: 1000, Inode: 4711},
	}
	if !slices.Equal(got, want) || more || err != nil {
		t.Errorf("%v, more %v, %v", got, more, err)
	}
	if got, more, err := ParseSockets(strings.NewReader(tcp), "tcp", 1); len(got) != 1 || !more || err != nil {
		t.Errorf("bounded: %v, more %v, %v", got, more, err)
	}
	got, _, err = ParseSockets(strings.NewReader(tcp6File), "tcp", 10)
	if want := (Socket{Proto: "tcp", Addr: netip.MustParseAddrPort("[::1]:8080"), Inode: 4711}); err != nil || len(got) != 1 || got[0] != want {
		t.Errorf("the sockets are %v, %v, want %v", got, err, want)
	}
	for _, bad := range []string{
		"h\n1 2 3\n", "h\n 0: zz:1 0:0 0A 0 0 0 0 0 1\n", "h\n 0: 00000000:FFFFF 0:0 0A 0 0 0 0 0 1\n", "h\n 0: 000000:1 0:0 0A 0 0 0 0 0 1\n",
		"h\n 0: 0100007F:1F90 0:0 0A 0 0 0 0 0 -\n",
	} {
		if got, _, err := ParseSockets(strings.NewReader(bad), "tcp", 10); err == nil {
			t.Errorf("%q gives %v", bad, got)
		}
	}
}

func TestIDMap(t *testing.T) {
	m, err := ParseIDMap(strings.NewReader("         0     200000      65536\n     70000      5      1\n"))
	if err != nil {
		t.Fatal(err)
	}
	for outer, want := range map[uint32]string{200000: "0", 201000: "1000", 265535: "65535", 265536: "-", 0: "-", 5: "70000"} {
		got := "-"
		if n, ok := m.Inner(outer); ok {
			got = strconv.Itoa(int(n))
		}
		if got != want {
			t.Errorf("%d is %s inside, want %s", outer, got, want)
		}
		if n, ok := m.Inner(outer); ok {
			if back, ok := m.Outer(n); !ok || back != outer {
				t.Errorf("%d inside is %d outside, want %d", n, back, outer)
			}
		}
	}
	if n, ok := m.Outer(65536); ok {
		t.Errorf("65536, which is not mapped, is %d outside", n)
	}
	for _, bad := range []string{"1 2\n", "a b c\n", "1 2 3 4\n"} {
		if _, err := ParseIDMap(strings.NewReader(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func FuzzParseSockets(f *testing.F) {
	for _, name := range []string{"tcp", "tcp6", "udp", "udp6"} {
		if b, err := os.ReadFile("/proc/self/net/" + name); err == nil {
			f.Add(string(b), name[:3])
		}
	}
	f.Add(tcp6File, "tcp")
	f.Fuzz(func(t *testing.T, s, proto string) {
		if got, more, err := ParseSockets(strings.NewReader(s), proto, 3); len(got) > 3 || more && err != nil {
			t.Errorf("%d ports, more %v, %v", len(got), more, err)
		}
	})
}

func FuzzParseIDMap(f *testing.F) {
	f.Add("0 200000 65536\n", uint32(200001))
	f.Add("0 0 4294967295\n", uint32(4294967295))
	f.Fuzz(func(t *testing.T, s string, outer uint32) {
		m, err := ParseIDMap(strings.NewReader(s))
		if _, ok := m.Inner(outer); err == nil && ok && len(m) == 0 {
			t.Error("an empty map maps")
		}
	})
}
