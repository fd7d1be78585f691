package membership

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"dx/dockerx/host"
	"dx/e2e/standin"
	"dx/nsops/proc"
)

// Here the rules meet processes: what Index reads of the kernel, and not only what it
// makes of it.

const apart = unix.CLONE_NEWPID | unix.CLONE_NEWNS

// made is a container of one process.
type made struct {
	Container
	cgroup string
}

func newMade(t *testing.T, tail string, namespaces uintptr) made {
	t.Helper()
	id := standin.ID(t, tail)
	dir := standin.Cgroup(t, id)[0]
	init := standin.Cat(t, namespaces)
	standin.Enter(t, dir, init)
	return made{Container{ID: id, Init: init}, dir}
}

// TestOfProcesses: each rule alone, by a process that is in the container in that way and
// no other.
func TestOfProcesses(t *testing.T) {
	standin.NeedRoot(t)
	web, guest, unlisted := newMade(t, "5a01", apart), newMade(t, "5a02", unix.CLONE_NEWNS), newMade(t, "5a03", apart)
	outside := standin.Cat(t, 0)
	target := strconv.Itoa(web.Init.PID)

	executed := standin.Cat(t, 0)
	standin.Enter(t, web.cgroup, executed)
	left := standin.Child(t, standin.Cat(t, 0, "sh", "-c",
		fmt.Sprintf("echo $$ >%s/cgroup.procs; (echo 0 >%s/cgroup.procs; exec \"$@\") <&0; exit", web.cgroup, path.Dir(web.cgroup)), "sh"))
	inMounts := standin.Cat(t, 0, "nsenter", "--mount", "--target", target)
	inPIDs := standin.Child(t, standin.Cat(t, 0, "nsenter", "--pid", "--target", target))
	below := standin.Child(t, standin.Cat(t, 0, "nsenter", "--pid", "--target", target, "unshare", "--pid", "--fork", "--kill-child"))
	below = standin.Child(t, below)

	x := New([]Container{web.Container, guest.Container, {Init: outside}})
	for name, c := range map[string]struct {
		p     *proc.Process
		in    int
		by    By
		other string
	}{
		"its init":                                  {web.Init, 0, ByInit, ""},
		"in its cgroup":                             {executed, 0, ByCgroup, ""},
		"a child that has left the cgroup":          {left, 0, ByDescent, ""},
		"nsenter into its mounts":                   {inMounts, 0, ByMount, ""},
		"nsenter into its PIDs":                     {inPIDs, 0, ByPID, ""},
		"in a PID namespace below":                  {below, 0, ByPID, ""},
		"the guest, which has the host's PIDs":      {guest.Init, 1, ByInit, ""},
		"a process of its own":                      {outside, 2, ByInit, ""},
		"the init of one that is not asked about":   {unlisted.Init, -1, "", unlisted.ID},
		"of the host, as the guest is by its PIDs":  {standin.Cat(t, 0), -1, "", ""},
		"in mounts of its own, and the host's PIDs": {standin.Cat(t, unix.CLONE_NEWNS), -1, "", ""},
	} {
		a, err := x.Of(c.p)
		want := []int{c.in}
		if c.in < 0 {
			want = nil
		}
		if diff := cmp.Diff(want, a.In); err != nil || diff != "" || a.By != c.by || a.Other != c.other {
			t.Errorf("%s: %+v, %v, want %d by %q, or another's %q", name, a, err, c.in, c.by, c.other)
		}
		if err == nil && a.Is(0) != (c.in == 0) {
			t.Errorf("%s: web's is %v", name, a.Is(0))
		}
	}
	if a, _ := x.Of(executed); a.Cgroup == "" || !strings.HasSuffix(web.cgroup, a.Cgroup) || a.PID {
		t.Errorf("%+v, want the cgroup of %s and not its PID namespace", a, web.cgroup)
	}
	if a, _ := x.Of(inMounts); a.Cgroup != "" || a.PID {
		t.Errorf("%+v, want neither its cgroup nor its PID namespace", a)
	}
	if a, _ := x.Of(inPIDs); !a.PID {
		t.Errorf("%+v, want its PID namespace", a)
	}
}

// TestIndexKnowsItsContainers: what it can be asked of a container.
func TestIndexKnowsItsContainers(t *testing.T) {
	standin.NeedRoot(t)
	web, gone := newMade(t, "5b01", apart), newMade(t, "5b02", apart)
	standin.End(t, gone.Init)
	x := New([]Container{web.Container, gone.Container})
	if x.ID(0) != web.ID || x.ID(1) != gone.ID {
		t.Errorf("IDs %s and %s", x.ID(0), x.ID(1))
	}
	if err := x.Err(0); err != nil {
		t.Errorf("web: %v", err)
	}
	if err := x.Err(1); !errors.Is(err, proc.ErrGone) {
		t.Errorf("one that has ended: %v", err)
	}
	for kind, inode := range map[string]uint64{"pid": x.Scope(0).PID.Inode, "mnt": x.Scope(0).Mnt.Inode} {
		if is, err := web.Init.Readlink("ns/" + kind); err != nil || is != fmt.Sprintf("%s:[%d]", kind, inode) {
			t.Errorf("ns/%s is %s, %v, the scope says %d", kind, is, err, inode)
		}
	}
	if !x.Scope(1).IsEmpty() {
		t.Errorf("the scope of one that has ended is %+v", x.Scope(1))
	}
	if _, err := x.Of(gone.Init); !errors.Is(err, proc.ErrGone) {
		t.Errorf("a process that has ended: %v", err)
	}
}

// TestCgroupOfADividedContainer: where the init has gone below its container's cgroup, the
// rest of it is the container's anyway.
func TestCgroupOfADividedContainer(t *testing.T) {
	standin.NeedRoot(t)
	id, inner := standin.ID(t, "5c01"), standin.ID(t, "5c02")
	dirs := standin.Cgroup(t, id, "init")
	within := standin.Cgroup(t, id+"/"+inner)[0]
	init, beside, nested := standin.Cat(t, apart), standin.Cat(t, 0), standin.Cat(t, apart)
	standin.Enter(t, dirs[1], init)
	standin.Enter(t, dirs[0], beside)
	standin.Enter(t, within, nested)

	x := New([]Container{{ID: id, Init: init}, {ID: inner, Init: nested}})
	if a, err := x.Of(beside); err != nil || !a.Is(0) || a.By != ByCgroup {
		t.Errorf("beside the init's cgroup: %+v, %v", a, err)
	}
	own := x.Scope(0).Cgroups
	base := ""
	for _, at := range own {
		if strings.HasSuffix(at, id) {
			base = at
		}
	}
	if base == "" {
		t.Fatalf("%v, want a cgroup that ends in %s", own, id)
	}
	for at, want := range map[string]struct {
		in   []int
		base string
	}{
		base:                         {[]int{0}, base},
		base + "/init/x":             {[]int{0}, base},
		base + "/" + inner:           {[]int{1}, base + "/" + inner},
		base + "/" + inner + "/x":    {[]int{1}, base + "/" + inner},
		base + "x":                   {nil, ""},
		strings.TrimSuffix(base, id): {nil, ""},
	} {
		in, of := x.InCgroup(at)
		if !slices.Equal(in, want.in) || of != want.base {
			t.Errorf("%s is of %v at %q, want %v at %q", at, in, of, want.in, want.base)
		}
	}
}

// TestPIDsOfAContainer: who is in its cgroup counts as well as who descends from its init.
func TestPIDsOfAContainer(t *testing.T) {
	standin.NeedRoot(t)
	web := newMade(t, "5d01", apart)
	executed, outside := standin.Cat(t, 0), standin.Cat(t, 0)
	standin.Enter(t, web.cgroup, executed)
	pids, whole, err := PIDs(web.Container)
	if err != nil || !whole {
		t.Fatalf("whole: %v, %v", whole, err)
	}
	slices.Sort(pids)
	want := []int{web.Init.PID, executed.PID}
	slices.Sort(want)
	if !slices.Equal(pids, want) {
		t.Errorf("%v, want %v and not %d", pids, want, outside.PID)
	}
	standin.End(t, web.Init)
	if pids, _, err := PIDs(web.Container); err == nil {
		t.Errorf("%v, want an error for one that has ended", pids)
	}
}

// TestHidden: of a process that a plain user may not look at, the kernel tells whether it is
// in a PID namespace within dx's; who is in none is nobody's.
func TestHidden(t *testing.T) {
	nested, beside := standin.Cat(t, 0), standin.Cat(t, 0)
	if os.Geteuid() == 0 {
		nested = standin.Cat(t, apart)
	}
	standin.AsNobody(t, func() error {
		x := New(nil)
		for p, want := range map[*proc.Process]bool{nested: true, beside: false} {
			if a, err := x.Of(p); err != nil || a.Hidden != want || len(a.In) != 0 {
				return fmt.Errorf("pid %d: %+v, %w, want hidden: %v", p.PID, a, err, want)
			}
		}
		return nil
	})
}

// TestOwnContainer: where dx runs in a container, it is not another's process.
func TestOwnContainer(t *testing.T) {
	const inner = "DX_TEST_MEMBERSHIP_INNER"
	if os.Getenv(inner) != "" {
		self, err := proc.Self()
		standin.Must(t, err)
		defer self.Close()
		a, err := New([]Container{{ID: strings.Repeat("e5", 32), Init: standin.Cat(t, 0)}}).Of(self)
		fmt.Printf("other:%q %v\n", a.Other, err)
		return
	}
	standin.NeedRoot(t)
	dir := standin.Cgroup(t, standin.ID(t, "5e01"))[0]
	cmd := exec.Command("sh", "-c", fmt.Sprintf("echo 0 >%s/cgroup.procs && exec %q -test.run '^%s$'", dir, os.Args[0], t.Name()))
	cmd.Env = append(os.Environ(), inner+"=1")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), `other:"" <nil>`) {
		t.Errorf("in a container's cgroup, dx is that of another one: %v\n%s", err, out)
	}
}

// TestBundleOf: whoever is in the container by its shim or its init has its bundle; who has
// been put into another one's cgroup has not.
func TestBundleOf(t *testing.T) {
	id := standin.ID(t, "5f01")
	var own, another string
	if os.Geteuid() == 0 {
		own, another = standin.Cgroup(t, id)[0], standin.Cgroup(t, standin.ID(t, "5f02"))[0]
	}
	s := standin.NewShim(t, id, "sh -c 'sleep 1000 & echo; wait' >/dev/null", "sleep 1000")
	mustHave := func(what string, p *proc.Process, has bool) {
		t.Helper()
		b, err := BundleOf(p)
		if err == nil {
			defer b.Close()
		}
		switch {
		case has && (err != nil || b.ID != id || b.Path != s.Bundle):
			t.Errorf("%s: %+v, %v, want the bundle of %s", what, b, err, id)
		case !has && !errors.Is(err, host.ErrNoBundle):
			t.Errorf("%s: %+v, %v, want no bundle", what, b, err)
		}
	}
	child := standin.Child(t, s.Init)
	t.Cleanup(func() { _ = standin.Kill(child) }) // its parent's end is not its own
	mustHave("the init", s.Init, true)
	mustHave("its child", child, true)
	mustHave("the shim's other child, in no cgroup of the container's", s.Other, false)
	mustHave("one of the test", standin.Cat(t, 0), false)
	if os.Geteuid() != 0 {
		return
	}
	standin.Enter(t, own, s.Other)
	mustHave("the shim's other child, as docker exec starts it", s.Other, true)
	standin.Enter(t, another, child)
	mustHave("the init's child in another container's cgroup", child, false)
	standin.End(t, child)
	if b, err := BundleOf(child); err == nil || errors.Is(err, host.ErrNoBundle) {
		t.Errorf("one that has ended: %+v, %v", b, err)
	}
}
