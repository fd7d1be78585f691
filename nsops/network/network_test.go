package network

import (
	"crypto/rand"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dx/e2e/await"
	"dx/nsops"
	"dx/nsops/proc"
)

// TestReadOwn compares with Go's net package.
func TestReadOwn(t *testing.T) {
	self, err := proc.Self()
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	var faults []string
	await.Holds(func() bool { // meanwhile anybody may have made or removed one
		n, err := Read(self)
		if err != nil {
			t.Fatal(err)
		}
		faults = unlikeNet(t, n)
		return len(faults) == 0
	})
	if len(faults) > 0 {
		t.Errorf("unlike what net reads: %s", strings.Join(faults, "; "))
	}
}

// unlikeNet says what net reads of this process's interfaces and n does not have.
func unlikeNet(t *testing.T, n *Network) (faults []string) {
	t.Helper()
	want, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range want {
		l, ok := n.Interface(i.Index)
		if !ok || l.Name != i.Name {
			faults = append(faults, fmt.Sprintf("%s (%d) is %+v", i.Name, i.Index, l))
		}
		addrs, err := i.Addrs()
		if err != nil {
			faults = append(faults, err.Error())
		}
		for _, a := range addrs {
			if p := netip.MustParsePrefix(a.String()); !slices.Contains(l.Addresses, p) {
				faults = append(faults, fmt.Sprintf("%s lacks %v: %v", i.Name, p, l.Addresses))
			}
		}
	}
	if len(n.Interfaces) < len(want) {
		faults = append(faults, fmt.Sprintf("%d links, want %d", len(n.Interfaces), len(want)))
	}
	return faults
}

// TestReadOther makes a network namespace with a veth whose other end stays here.
func TestReadOther(t *testing.T) {
	ip, err := exec.LookPath("ip")
	if err != nil || os.Geteuid() != 0 {
		t.Skip("takes root and ip: ", err)
	}
	child := exec.Command("unshare", "-n", "sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { child.Process.Kill(); child.Wait() }()
	p := inOwnNetwork(t, child.Process.Pid)
	defer p.Close()
	// At most 15 bytes (IFNAMSIZ), and no other run's.
	here := "dxt" + rand.Text()[:12]
	run(t, ip, "link", "add", here, "type", "veth", "peer", "name", "dxinside", "netns", strconv.Itoa(p.PID))
	defer exec.Command(ip, "link", "del", here).Run()
	run(t, "nsenter", "-t", strconv.Itoa(p.PID), "-n", ip, "addr", "add", "10.99.0.2/30", "dev", "dxinside")
	before := ownNamespace(t)
	n, err := Read(p)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(n.Interfaces, func(l Interface) bool { return l.Name == "dxinside" })
	if i < 0 {
		t.Fatalf("no dxinside in %+v", n.Interfaces)
	}
	peer, err := net.InterfaceByName(here)
	if err != nil {
		t.Fatal(err)
	}
	if l := n.Interfaces[i]; l.Kind != "veth" || l.Lower != peer.Index || l.LowerNS != n.Caller || n.Caller == NoNS {
		t.Errorf("%+v in a namespace that calls ours %d; the peer has index %d", l, n.Caller, peer.Index)
	}
	if want := netip.MustParsePrefix("10.99.0.2/30"); !slices.Contains(n.Interfaces[i].Addresses, want) {
		t.Errorf("%v lacks %v", n.Interfaces[i].Addresses, want)
	}
	if after := ownNamespace(t); after != before {
		t.Errorf("the caller has moved from %s to %s", before, after)
	}
}

// onFirstThread counts what elsewhere has run on the process's first thread. The main
// goroutine is where it would: what it starts runs on its own thread once it waits.
var onFirstThread int

func TestMain(m *testing.M) {
	for range 200 {
		nsops.OnOwnThread(func() error {
			if unix.Gettid() == unix.Getpid() {
				onFirstThread++
			}
			return nil
		})
	}
	os.Exit(m.Run())
}

func TestFirstThreadStaysHome(t *testing.T) {
	if onFirstThread > 0 {
		t.Errorf("%d functions have run on the first thread", onFirstThread)
	}
}

func inOwnNetwork(t *testing.T, pid int) *proc.Process {
	t.Helper()
	p, err := proc.Open(pid)
	if err != nil {
		t.Fatal(err)
	}
	await.Until(t, "unshare has become its command", func() bool {
		b, err := p.ReadFile("cmdline")
		return err == nil && strings.HasPrefix(string(b), "sleep")
	})
	return p
}

func ownNamespace(t *testing.T) string {
	t.Helper()
	link, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	return link
}

func run(t *testing.T, args ...string) {
	t.Helper()
	if b, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%q: %v: %s", args, err, b)
	}
}
