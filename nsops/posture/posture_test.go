package posture

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"

	"dx/e2e/await"
	"dx/nsops"
	"dx/nsops/mounts"
	"dx/nsops/proc"
	"github.com/google/go-cmp/cmp"
)

const hostMountinfo = "26 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"

func host(t testing.TB) mounts.Host {
	t.Helper()
	ours, err := mounts.Parse([]byte(hostMountinfo), false)
	if err != nil {
		t.Fatal(err)
	}
	return mounts.NewHost(ours)
}

func FuzzMounts(f *testing.F) {
	f.Add([]byte("1 0 254:0 /tmp/e/data/containers/x/hosts /etc/hosts ro - ext4 /dev/vda rw\n"))
	f.Add([]byte("1 0 0:38 / / rw,relatime - overlay overlay rw,lowerdir=/l,upperdir=/u,workdir=/w\n"))
	here := host(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		theirs, err := mounts.Parse(text, false)
		if err != nil {
			return
		}
		p := &Posture{Mounts: &Mounts{}}
		for _, m := range theirs {
			p.Mounts.List = append(p.Mounts.List, newMount(m, here))
		}
		p.Facts(1)
	})
}

func TestHostSource(t *testing.T) {
	for line, want := range map[string]string{
		"1 0 254:0 /tmp/e/data/hosts /etc/hosts ro - ext4 /dev/vda rw":                 "/tmp/e/data/hosts",
		"1 0 0:99 / /dev rw - tmpfs tmpfs rw":                                          "",
		"1 0 0:38 / / rw - overlay overlay rw,lowerdir=/l,upperdir=/u/diff,workdir=/w": "/u/diff",
	} {
		m, err := mounts.Parse([]byte(line+"\n"), false)
		if err != nil {
			t.Fatal(err)
		}
		if got := newMount(m[0], host(t)); got.HostSource != want {
			t.Errorf("%s: %q, want %q", line, got.HostSource, want)
		}
	}
}

// own reads the posture of this process.
func own(t *testing.T) (*Posture, nsops.Set) {
	t.Helper()
	self, err := proc.Self()
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	host, _, err := nsops.ReadHost()
	if err != nil {
		t.Fatal(err)
	}
	p, err := Read(self, host, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p, host
}

// TestReadOwn needs no rights: what net and os say of this process is expected.
func TestReadOwn(t *testing.T) {
	p, _ := own(t)
	if len(p.Unread) > 0 {
		t.Fatalf("not read of this process: %+v, want nothing", p.Unread)
	}
	if id := p.Identity; int(id.User.Effective) != os.Geteuid() || id.InsideUID == nil || int(*id.InsideUID) != os.Geteuid() || !slices.Equal(id.Command, os.Args) {
		t.Errorf("the identity is %+v, want uid %d, inside too, and the command %q", id, os.Geteuid(), os.Args)
	}
	var diff string
	await.Holds(func() bool { // meanwhile anybody may have made one
		p, _ := own(t)
		diff = cmp.Diff(interfacesOfNet(t), interfacesOf(p))
		return diff == ""
	})
	if diff != "" {
		t.Errorf("interfaces (-net +got):\n%s", diff)
	}
	if _, err := json.Marshal(p); err != nil {
		t.Error(err)
	}
}

func interfacesOfNet(t *testing.T) (list []string) {
	t.Helper()
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range interfaces {
		addrs, err := i.Addrs()
		if err != nil {
			continue // it has gone, and net and os differ
		}
		list = append(list, fmt.Sprintln(i.Index, i.Name, i.MTU, i.HardwareAddr.String(), addrs))
	}
	return list
}

func interfacesOf(p *Posture) (list []string) {
	for _, i := range p.Network.Interfaces {
		var addrs []string
		for _, a := range i.Addresses {
			addrs = append(addrs, a.String())
		}
		list = append(list, fmt.Sprintln(i.Index, i.Name, i.MTU, i.MAC, addrs))
	}
	return list
}

// TestReadLeavesNoThreadBehind: after reading another network namespace, many times
// over, this process is where it was, on its first thread as on all others.
func TestReadLeavesNoThreadBehind(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("making a network namespace takes root")
	}
	cmd := exec.Command("sleep", "100")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if err := cmd.Start(); err != nil {
		t.Skipf("a network namespace: %v", err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	other, err := proc.Open(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	before, host := own(t)
	fds := openFiles(t)
	for range 50 {
		p, err := Read(other, host, nil)
		if err != nil || len(p.Unread) > 0 {
			t.Fatalf("%v %+v", err, p)
		}
		if n := p.Network.Interfaces; len(n) != 1 || n[0].Name != "lo" || n[0].Up {
			t.Fatalf("a new namespace has %+v", n)
		}
		after, _ := own(t)
		if diff := cmp.Diff(before.Namespaces, after.Namespaces); diff != "" {
			t.Fatalf("reading another namespace moved this process (-before +after):\n%s", diff)
		}
	}
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	want, _ := os.Readlink("/proc/self/ns/net")
	for _, task := range tasks {
		// A thread that is just ending may still be there.
		if got, err := os.Readlink("/proc/self/task/" + task.Name() + "/ns/net"); err == nil && got != want {
			t.Logf("thread %s is in %s", task.Name(), got)
		}
	}
	if after := openFiles(t); after > fds {
		t.Errorf("%d open files, %d before", after, fds)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	// The handle on dx itself is opened once, and kept.
	if _, err := proc.Self(); err != nil {
		t.Fatal(err)
	}
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func TestFactsOfNothing(t *testing.T) {
	if got := (&Posture{}).Facts(1); len(got) != 0 {
		t.Errorf("facts of an empty posture: %+v, want none", got)
	}
}
