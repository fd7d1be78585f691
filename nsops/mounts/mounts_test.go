package mounts

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dx/e2e/await"
	"dx/nsops/proc"
)

const hostMountinfo = `26 1 254:0 / / rw,relatime - ext4 /dev/vda rw
41 26 254:0 /tmp/e/data /tmp/e/data rw,relatime shared:1 - ext4 /dev/vda rw
50 26 254:16 /sub /srv rw - btrfs /dev/vdb rw
51 50 0:50 / /srv/a rw - tmpfs one rw
52 51 0:51 / /srv/a rw - tmpfs two rw
`

func parsed(t testing.TB, text string) []*Info {
	t.Helper()
	list, err := Parse([]byte(text), false)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestHostPath(t *testing.T) {
	h := NewHost(parsed(t, hostMountinfo))
	for line, want := range map[string]string{
		"1 0 254:0 /tmp/e/data/hosts /etc/hosts ro - ext4 /dev/vda rw":                   "/tmp/e/data/hosts",
		"1 0 254:16 /sub/deep /x ro - btrfs /dev/vdb rw":                                 "/srv/deep",
		"1 0 254:16 /submarine /x ro - btrfs /dev/vdb rw":                                "",
		"1 0 0:99 / /dev rw - tmpfs tmpfs rw":                                            "",
		`1 0 254:0 /a\040b/\033[31m /x rw - ext4 /dev/vda rw`:                            "/a b/\x1b[31m",
		"1 0 254:0 /tmp/e/data/x//deleted /y rw shared:1 master:2 - ext4 /dev/vda rw,ro": "/tmp/e/data/x/deleted",
	} {
		m := parsed(t, line+"\n")[0]
		if got, ok := h.Path(m, m.Root); got != want || ok != (want != "") {
			t.Errorf("%s: %q (%v), want %q", line, got, ok, want)
		}
	}
}

func TestOnAndAt(t *testing.T) {
	list := parsed(t, hostMountinfo)
	for name, want := range map[string]string{
		"/": "/dev/vda /", "/etc": "/dev/vda /etc", "/srv/x/y": "/dev/vdb /sub/x/y", "/srv/a/b": "two /b", "/srvx": "/dev/vda /srvx",
	} {
		m, within := On(list, name)
		if m == nil || m.Source+" "+within != want {
			t.Errorf("%s is on %v, %q; want %s", name, m, within, want)
		}
	}
	if m := At(list, "/srv/a"); m == nil || m.Source != "two" {
		t.Errorf("at /srv/a is %v, want the upper of two", m)
	}
	if m := At(list, "/srv/b"); m != nil {
		t.Errorf("at /srv/b is %v, want no mount", m)
	}
}

// TestCut: the last line of a mountinfo that was cut may be whole, and is left out.
func TestCut(t *testing.T) {
	for cut := range len(hostMountinfo) {
		list, err := Parse([]byte(hostMountinfo[:cut]), true)
		if want := strings.Count(hostMountinfo[:cut], "\n"); err != nil || len(list) != want {
			t.Fatalf("cut behind %d bytes: %d mounts, %v; want %d", cut, len(list), err, want)
		}
	}
}

// TestReadIsWhatTheKernelHas: a witness is findmnt, another stat.
func TestReadIsWhatTheKernelHas(t *testing.T) {
	self, err := proc.Self()
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	list := ownMounts(t, self)
	m, _ := On(list, "/proc/self")
	var st unix.Stat_t
	if err := unix.Stat("/proc/self", &st); err != nil {
		t.Fatal(err)
	}
	if m == nil || m.FSType != "proc" || unix.Mkdev(uint32(m.Major), uint32(m.Minor)) != st.Dev {
		t.Errorf("/proc/self is on %+v, want the procfs of device %d", m, st.Dev)
	}
	// Until they agree: meanwhile anybody may mount something.
	var read, own, findmnt int
	if !await.Holds(func() bool {
		read, own, findmnt = len(ownMounts(t, self)), len(ownTable(t)), countByFindmnt(t)
		return read == own && own == findmnt
	}) {
		t.Errorf("Read has %d mounts, Own %d, findmnt %d", read, own, findmnt)
	}
}

func ownMounts(t *testing.T, self *proc.Process) []*Info {
	t.Helper()
	list, cut, err := Read(self)
	if err != nil || cut {
		t.Fatalf("own mounts: cut %v, %v", cut, err)
	}
	return list
}

func ownTable(t *testing.T) []*Info {
	t.Helper()
	list, err := Own()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// countByFindmnt is of this process; where findmnt is missing it ends the test.
func countByFindmnt(t *testing.T) int {
	t.Helper()
	out, err := exec.Command("findmnt", "--list", "--noheadings", "--output", "ID", "--tab-file", "/proc/"+strconv.Itoa(os.Getpid())+"/mountinfo").Output()
	if err != nil {
		t.Skipf("findmnt: %v", err)
	}
	return len(strings.Fields(string(out)))
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(hostMountinfo), true)
	f.Add([]byte("1 0 0:38 / / rw,relatime - overlay overlay rw,lowerdir=/l,upperdir=/u,workdir=/w\n"), false)
	h := NewHost(parsed(f, hostMountinfo))
	f.Fuzz(func(t *testing.T, b []byte, cut bool) {
		list, err := Parse(b, cut)
		if err != nil {
			return
		}
		for _, m := range list {
			if name, ok := h.Path(m, m.Root); ok != (name != "") {
				t.Errorf("%q is found (%v) at %q", m.Root, ok, name)
			}
		}
		On(list, "/a/b")
	})
}

// TestMountsOfAZombie: it has none any more, which is no error of the file's.
func TestMountsOfAZombie(t *testing.T) {
	cmd := exec.Command("sleep", "100000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	p, err := proc.Open(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	await.Zombie(t, cmd)
	if list, _, err := Read(p); !errors.Is(err, proc.ErrGone) {
		t.Errorf("%d mounts, %v, want ErrGone", len(list), err)
	}
}
