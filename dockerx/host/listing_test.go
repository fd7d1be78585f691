package host

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"dx/e2e/standin"
	"dx/nsops/proc"
)

// listed returns what a listing of the host has found with these IDs, by ID. Other
// containers of the host are nobody's business here.
func listed(t *testing.T, orphans bool, belongs func(*Found) bool) map[string]*Found {
	t.Helper()
	l, err := List(func(error) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	if orphans {
		l.AddOrphans()
	}
	out := map[string]*Found{}
	for _, f := range l.Found {
		if !belongs(f) {
			continue
		}
		if out[f.ID] != nil {
			t.Errorf("%s is listed twice: pid %d and pid %d", f.ID, out[f.ID].PID, f.PID)
		}
		out[f.ID] = f
	}
	return out
}

func (s *standIn) has(f *Found) bool { return strings.HasPrefix(f.Bundle, s.root) }

// sibling adds a bundle beside the shim's own.
func (s *standIn) sibling(t *testing.T, id string, init int) string {
	t.Helper()
	dir := s.makeBundle(t, id)
	s.write(t, dir, "init.pid", []byte(strconv.Itoa(init)))
	return dir
}

// TestListTakesWhatShimsServe: the shim's own bundle, and those beside it whose init is
// the shim's child.
func TestListTakesWhatShimsServe(t *testing.T) {
	s := newStandIn(t)
	served, foreign := strings.Repeat("a1", 32), strings.Repeat("a2", 32)
	s.sibling(t, served, s.exec.PID)
	s.sibling(t, foreign, os.Getpid())
	s.sibling(t, "no-id", s.exec.PID)
	found := listed(t, false, s.has)
	if len(found) != 2 || found[webID] == nil || found[served] == nil {
		t.Fatalf("%v, want the shim's own and what it serves beside it", found)
	}
	own, beside := found[webID], found[served]
	if own.PID != s.init.PID || beside.PID != s.exec.PID || own.Namespace != "moby" {
		t.Errorf("inits %d and %d, want %d and %d", own.PID, beside.PID, s.init.PID, s.exec.PID)
	}
	if !own.IsInit(s.init) || own.IsInit(s.exec) || (&Found{PID: s.init.PID}).IsInit(s.init) {
		t.Error("IsInit does not tell init from its sibling")
	}
	own.PID = os.Getpid() // another's child, by whatever name
	self, err := proc.Self()
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	if own.IsInit(self) {
		t.Error("whoever is not the shim's child is no init of its container")
	}
	if own.Docker() == nil || own.Name() != "web" {
		t.Errorf("Docker's files of %s: %v", webID, own.Docker())
	}
}

// TestBundleIsInADirectoryOfRoots: one that others can write into, or that belongs to
// another user, is no bundle, and neither is what lies beside it.
func TestBundleIsInADirectoryOfRoots(t *testing.T) {
	s := newStandIn(t)
	above := filepath.Dir(s.bundle)
	try := func(what string) {
		t.Helper()
		if found := listed(t, false, s.has); len(found) != 0 {
			t.Errorf("%s: %v is listed", what, found)
		}
		if b, err := Open(s.init); !errors.Is(err, ErrNoBundle) {
			t.Errorf("%s: the bundle is %+v, %v", what, b, err)
		}
	}
	for _, dir := range []string{above, s.bundle} {
		for _, mode := range []os.FileMode{0o775, 0o757} {
			standin.Must(t, os.Chmod(dir, mode))
			try(fmt.Sprintf("%s is of mode %o", dir, mode))
		}
		standin.Must(t, os.Chmod(dir, 0o755))
		if os.Geteuid() == 0 {
			standin.Must(t, os.Chown(dir, standin.Nobody, standin.Nobody))
			try(dir + " is another user's")
			standin.Must(t, os.Chown(dir, 0, 0))
		}
	}
	if len(listed(t, false, s.has)) != 1 {
		t.Error("with the modes that it had, it is not listed")
	}
	if os.Geteuid() != 0 {
		return
	}
	standin.Must(t, os.Chown(s.bundle+"/config.json", standin.Nobody, standin.Nobody))
	b, err := Open(s.init)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, err := b.Spec(); !errors.Is(err, ErrForeign) {
		t.Errorf("a config.json of another user's: %v", err)
	}
}

// TestValidID: Docker's IDs are what dockerd makes, others' what containerd allows
// (pkg/identifiers).
func TestValidID(t *testing.T) {
	for _, c := range []struct {
		namespace, id string
		want          bool
	}{
		{"moby", webID, true}, {"plugins.moby", webID, true},
		{"moby", "web", false}, {"plugins.moby", "web", false}, {"moby", webID[:63] + "X", false},
		{"default", "web", true}, {"k8s.io", webID, true}, {"default", "A-b_c.9", true}, {"default", "0z", true}, {"default", "Zz", true},
		{"default", "", false}, {"default", ".removed", false}, {"default", "-x", false}, {"default", "_x", false},
		{"default", "a b", false}, {"default", "a:b", false}, {"default", "a[b", false}, {"default", "a{b", false}, {"default", "ä", false},
	} {
		if got := validID(c.namespace, c.id); got != c.want {
			t.Errorf("%q in %s: %v, want %v", c.id, c.namespace, got, c.want)
		}
	}
}

// orphan is a container's init without a shim: PID 1 of its PID namespace, in a cgroup
// called after it, with Docker's file as its /etc/hostname.
type orphan struct {
	id, cgroup, containers string
	init                   *proc.Process
}

// newOrphan runs a script, which has to become what running waits for, as init.
func newOrphan(t *testing.T, id, script string) *orphan {
	t.Helper()
	standin.NeedRoot(t)
	s := &standIn{root: t.TempDir()}
	s.makeBundle(t, id)
	o := &orphan{id: id, cgroup: standin.Cgroup(t, id)[0], containers: filepath.Join(s.root, "data/containers")}
	hostname := filepath.Join(o.containers, id, "hostname")
	standin.Must(t, os.WriteFile(hostname, []byte("web\n"), 0o644))
	cmd := exec.Command("/bin/sh", "-ec", fmt.Sprintf("mount --make-rprivate /; mount --bind %s /etc/hostname; echo 0 >%s/cgroup.procs; %s", hostname, o.cgroup, script))
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS}
	o.init = standin.Start(t, cmd)
	o.says(t, o.init.PID, true)
	return o
}

// says has Docker's file name an init.
func (o *orphan) says(t *testing.T, pid int, running bool) {
	t.Helper()
	b := bytes.ReplaceAll(testdata(t, "config.v2.json"), []byte(webID), []byte(o.id))
	b = bytes.ReplaceAll(b, fmt.Appendf(nil, `"Pid":%d`, webPID), fmt.Appendf(nil, `"Pid":%d`, pid))
	b = bytes.ReplaceAll(b, []byte(`"Running":true`), fmt.Appendf(nil, `"Running":%v`, running))
	standin.Must(t, os.WriteFile(filepath.Join(o.containers, o.id, "config.v2.json"), b, 0o644))
}

func (o *orphan) child(t *testing.T) *proc.Process {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", o.init.PID, o.init.PID))
	if err != nil {
		t.Skip("this kernel lists no children: ", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	standin.Must(t, err)
	p, err := proc.Open(pid)
	standin.Must(t, err)
	t.Cleanup(func() { p.Close() })
	return p
}

// TestOrphans: without a shim, the init of a PID namespace in a cgroup of root's is the
// container that the cgroup names.
func TestOrphans(t *testing.T) {
	id := standin.ID(t, "0a00")
	o := newOrphan(t, id, "sleep 1000 & exec cat")
	is := func(f *Found) bool { return strings.HasPrefix(f.ID, id[:60]) }
	f := listed(t, true, is)[id]
	if f == nil || f.PID != o.init.PID || !f.Orphan || f.Docker() == nil || f.Name() != "web" {
		t.Fatalf("%+v, want the orphan web, pid %d", f, o.init.PID)
	}
	for _, p := range []*proc.Process{o.init, o.child(t)} {
		if d, err := OrphanOf(p); err != nil || d.ID != id {
			t.Errorf("OrphanOf pid %d: %+v, %v", p.PID, d, err)
		}
	}

	// Whose it is, Docker's directory has to be root's alone to say.
	standin.Must(t, os.Chmod(o.containers, 0o777))
	if d, err := OrphanOf(o.init); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a data root into which all can write says %+v, %v", d, err)
	}
	standin.Must(t, os.Chmod(o.containers, 0o755))

	for what, c := range map[string]struct {
		pid     int
		running bool
	}{"another init": {os.Getpid(), true}, "that it does not run": {o.init.PID, false}} {
		o.says(t, c.pid, c.running)
		var not *DisbeliefError
		if d, err := OrphanOf(o.init); !errors.As(err, &not) || !strings.Contains(not.Reason, "another init") {
			t.Errorf("Docker has written down %s: %+v, %v", what, d, err)
		}
		if f := listed(t, true, is)[id]; f == nil || !f.Ended() {
			t.Errorf("Docker has written down %s: %+v, want that it has ended", what, f)
		}
	}

	standin.Must(t, os.Chown(o.cgroup, standin.Nobody, standin.Nobody))
	l, err := List(func(error) {})
	standin.Must(t, err)
	defer l.Close()
	l.AddOrphans()
	for _, f := range l.Found {
		if is(f) {
			t.Errorf("an orphan by a cgroup of a user's: %+v", f)
		}
	}
	if doubts := l.Doubts(id); len(doubts) != 1 || !strings.Contains(doubts[0].Error(), "belongs to uid 65534") {
		t.Errorf("doubts %v, want one that names the cgroup's owner", doubts)
	}
	if doubts := append(l.Doubts(""), l.Doubts(standin.ID(t, "ffff"))...); len(doubts) != 0 {
		t.Errorf("doubts of nobody: %v", doubts)
	}
}

// TestNestedIsNoOrphan: what is in a PID namespace within a container's is a part of that
// container, also in a cgroup that is called after another one.
func TestNestedIsNoOrphan(t *testing.T) {
	id, inner := standin.ID(t, "0b00"), standin.ID(t, "0b11")
	dir := standin.Cgroup(t, inner)[0]
	newOrphan(t, id, fmt.Sprintf("unshare -p -f --kill-child sh -c 'echo 0 >%s/cgroup.procs; exec cat'", dir))
	found := listed(t, true, func(f *Found) bool { return strings.HasPrefix(f.ID, id[:60]) })
	if found[id] == nil || found[inner] != nil {
		t.Errorf("%v, want %s alone", found, id)
	}
}

// TestRecorded: containers that only the files in a data root of root's tell of.
func TestRecorded(t *testing.T) {
	s := &standIn{root: t.TempDir()}
	containers := filepath.Join(s.root, "data/containers")
	stopped := strings.Repeat("b1", 32)
	for _, id := range []string{webID, stopped, "no-id"} {
		s.makeBundle(t, id)
	}
	b := bytes.Replace(testdata(t, "config.v2.json"), []byte(`"Running":true`), []byte(`"Running":false`), 1)
	s.write(t, filepath.Join(containers, stopped), "config.v2.json", bytes.ReplaceAll(b, []byte(webID), []byte(stopped)))
	dir, err := openWithoutLinks(containers)
	standin.Must(t, err)
	defer dir.close()
	d, err := readConfig(dir, webID)
	standin.Must(t, err)
	known := FoundIn(d)
	recorded := func() map[string]*Found {
		out := map[string]*Found{}
		for _, f := range Recorded([]*Found{known}, nil, func(error) {}) {
			if d := f.Docker(); strings.HasPrefix(d.Origin, s.root) {
				out[f.ID] = f
			}
		}
		return out
	}
	found := recorded()
	if len(found) != 2 || found[webID] == nil || found[stopped] == nil {
		t.Fatalf("%v, want both containers", found)
	}
	if f := found[webID]; f.PID != webPID || !f.Recorded() {
		t.Errorf("%+v, want pid %d as its file says, by its file alone", f, webPID)
	}
	if f := found[stopped]; f.PID != 0 || f.Runs() {
		t.Errorf("%+v, which does not run", f)
	}
	known.engine, known.root = found[webID].engine, found[webID].root
	if found := recorded(); found[webID] != nil || found[stopped] == nil {
		t.Errorf("%v, want none that was found already", found)
	}
	standin.Must(t, os.Chmod(containers, 0o777))
	if found := recorded(); len(found) != 0 {
		t.Errorf("a directory into which all can write tells of %v", found)
	}
}
