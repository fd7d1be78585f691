package census

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"dx/nsops"
	"dx/nsops/proc"
)

const mountinfoText = `22 1 0:21 / /proc rw,nosuid shared:5 - proc proc rw
93 68 0:4 net:[4026532178] /run/netns/a\040b rw shared:7 - nsfs nsfs rw
94 68 0:4 mnt:[4026532179] /run/x rw - nsfs nsfs rw
95 68 0:5 net:[4026532180] /tmp/liar rw - tmpfs tmpfs rw
96 68 0:4 frob:[1] /run/y rw - nsfs nsfs rw
`

func TestParseMounts(t *testing.T) {
	var got []string
	err := ParseMounts(strings.NewReader(mountinfoText), func(id nsops.ID, typ nsops.Type, path string) {
		got = append(got, fmt.Sprint(id.Device, id.Inode, typ, path))
	})
	want := []string{fmt.Sprint(unix.Mkdev(0, 4), 4026532178, "net", "/run/netns/a b"), fmt.Sprint(unix.Mkdev(0, 4), 4026532179, "mnt", "/run/x")}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// What was told before the text breaks off holds.
func TestParseMountsInPart(t *testing.T) {
	n := 0
	err := ParseMounts(strings.NewReader(mountinfoText[:strings.Index(mountinfoText, "95 68")+4]), func(nsops.ID, nsops.Type, string) { n++ })
	if err == nil || n != 2 {
		t.Errorf("%d mounts, %v", n, err)
	}
}

func FuzzParseMounts(f *testing.F) {
	f.Add(mountinfoText)
	if b, err := os.ReadFile("/proc/self/mountinfo"); err == nil {
		f.Add(string(b))
	}
	f.Fuzz(func(t *testing.T, s string) {
		ParseMounts(strings.NewReader(s), func(_ nsops.ID, typ nsops.Type, _ string) {
			if !slices.Contains(nsops.Types, typ) {
				t.Errorf("kind %q", typ)
			}
		})
	})
}

func id(n uint64) nsops.ID { return nsops.ID{Device: 4, Inode: n} }

// draw writes a forest as "user1(net3 user2(…)) pid4".
func draw(nodes []*Node) string {
	var out []string
	for _, n := range nodes {
		s := fmt.Sprint(string(n.Type), n.ID.Inode)
		if len(n.Children) > 0 {
			s += "(" + draw(n.Children) + ")"
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

func TestForest(t *testing.T) {
	user := func(n, parent uint64) *Namespace {
		return &Namespace{ID: id(n), Type: nsops.User, Parent: id(parent), Owner: id(parent)}
	}
	of := func(typ nsops.Type, n, parent, owner uint64) *Namespace {
		return &Namespace{ID: id(n), Type: typ, Parent: id(parent), Owner: id(owner)}
	}
	for want, list := range map[string][]*Namespace{
		"": nil,
		"user1(net3 user2(ipc6 net4)) pid5(pid7(pid8))": {
			of(nsops.PID, 8, 7, 2), of(nsops.Net, 4, 0, 2), user(2, 1), of(nsops.PID, 5, 0, 1),
			of(nsops.Net, 3, 0, 1), of(nsops.PID, 7, 5, 1), user(1, 0), of(nsops.IPC, 6, 0, 2),
		},
		// What lies above was not seen.
		"user9 pid4 net3": {of(nsops.Net, 3, 0, 77), user(9, 78), of(nsops.PID, 4, 79, 77)},
	} {
		if got := draw(Forest(list)); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestCensusOfOneself(t *testing.T) {
	self, err := proc.Open(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	set, err := nsops.Read(self)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Of([]int{self.PID, self.PID, 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Processes) != 1 || c.Hidden != 0 {
		t.Fatalf("the census of this process, twice, and of none is %+v, want one process", c)
	}
	p := c.Processes[0]
	if p.PID != self.PID || p.PPID != os.Getppid() || p.StartTime != self.StartTime || p.Places != PlacesOf(set) {
		t.Errorf("this process is %+v, want pid %d, parent %d, start %d and its namespaces", p, self.PID, os.Getppid(), self.StartTime)
	}
	for typ, own := range set.Own {
		if ns := c.Namespaces[own]; ns == nil || ns.Type != typ || len(ns.Members) != 1 {
			t.Errorf("its %s namespace is %+v, want one with one member", typ, ns)
		}
	}
}

// A process that has ended, but is not reaped, is in no namespace.
func TestZombiesAreNowhere(t *testing.T) {
	cmd := exec.Command("true")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	var info unix.Siginfo
	if err := unix.Waitid(unix.P_PID, cmd.Process.Pid, &info, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	c, err := Of([]int{cmd.Process.Pid})
	if err != nil || len(c.Processes) != 0 || c.Hidden != 0 {
		t.Errorf("the census of a zombie is %+v, %v, want nobody", c, err)
	}
}

func TestCensusLeavesNothingOpen(t *testing.T) {
	count := func() int {
		fds, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(fds)
	}
	before := count()
	c, err := Take(true)
	if err != nil {
		t.Fatal(err)
	}
	c.Relate(func(*Namespace) bool { return true })
	if after := count(); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}

// TestMountThatIsGone: between the look at the mounts and the way there a mount may go,
// and who has no rights finds no way at all.
func TestMountThatIsGone(t *testing.T) {
	c := &Census{}
	if h, err := c.openMount(Hold{PID: os.Getpid(), Path: "/nosuch/netns"}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a mount that is gone: %v, %v, want that it does not exist", h, err)
	}
}

// TestHeldByAFile: nobody is in the namespace, another process has it open.
func TestHeldByAFile(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("making a network namespace takes root")
	}
	f := orphanNamespace(t)
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	holder := exec.Command("sleep", "1000")
	holder.ExtraFiles = []*os.File{f}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	defer holder.Wait()
	defer holder.Process.Kill()
	c, err := Take(true)
	if err != nil {
		t.Fatal(err)
	}
	ns := c.Namespaces[nsops.ID{Device: st.Dev, Inode: st.Ino}]
	if ns == nil || ns.Type != nsops.Net || len(ns.Members) != 0 {
		t.Fatalf("the namespace is %+v, want one of type net without members", ns)
	}
	if !slices.ContainsFunc(ns.Holds, func(h Hold) bool { return h.PID == holder.Process.Pid && h.FD == 3 && h.Path == "" }) {
		t.Errorf("holds: %+v", ns.Holds)
	}
	c.Relate(func(ns *Namespace) bool { return ns.ID.Inode == st.Ino })
	if ns.Owner.IsZero() {
		t.Errorf("no owner: %+v", ns)
	}
}

// orphanNamespace is a network namespace whose only process has ended.
func orphanNamespace(t *testing.T) *os.File {
	t.Helper()
	cmd := exec.Command("unshare", "-n", "sh", "-c", "echo; exec sleep 1000")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// TestMountOutOfReach: what mountinfo lists need not be there any more, and what is
// there need not be a namespace.
func TestMountOutOfReach(t *testing.T) {
	var c Census
	for path, want := range map[string]error{
		"/nosuch/namespace": fs.ErrNotExist,
		"/dev/null":         nsops.ErrNotNamespace,
	} {
		h, err := c.openMount(Hold{PID: os.Getpid(), Path: path})
		if h != nil || !errors.Is(err, want) {
			t.Errorf("%s: %v, %v, want %v", path, h, err, want)
		}
	}
}

func TestLimitsHold(t *testing.T) {
	c := &Census{Namespaces: map[nsops.ID]*Namespace{}}
	for i := range uint64(maxNamespaces + 10) {
		c.namespace(id(i+1), nsops.Net)
	}
	if len(c.Namespaces) != maxNamespaces || !c.Crowded {
		t.Errorf("%d namespaces, crowded: %v", len(c.Namespaces), c.Crowded)
	}
	ns := c.namespace(id(1), nsops.Net)
	for range maxHolds + 5 {
		ns.hold(Hold{})
	}
	if len(ns.Holds) != maxHolds || ns.Held != maxHolds+5 {
		t.Errorf("%d of %d holds", len(ns.Holds), ns.Held)
	}
}
