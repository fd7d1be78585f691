package host

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"dx/dockerx/docker"
	"dx/e2e/standin"
	"dx/nsops/proc"
)

// TestShims: each shim with its own bundle, also where nothing of its container is left.
func TestShims(t *testing.T) {
	s := newStandIn(t)
	own := func() *Shim {
		t.Helper()
		all, err := Shims()
		standin.Must(t, err)
		var out *Shim
		for _, shim := range all {
			if shim.Path != s.bundle {
				shim.Close()
				continue
			}
			t.Cleanup(func() { shim.Close() })
			out = shim
		}
		if out == nil {
			t.Fatalf("no shim stands in %s", s.bundle)
		}
		return out
	}
	if a := own().Address; a != "" {
		t.Errorf("address %q of a bundle that tells none", a)
	}
	s.write(t, s.bundle, "bootstrap.json", []byte(`{"address":"unix:///run/b","protocol":"ttrpc"}`))
	if a := own().Address; a != "/run/b" {
		t.Errorf("address %q, want that of bootstrap.json", a)
	}
	s.write(t, s.bundle, "address", []byte("unix:///run/a"))
	shim := own()
	if shim.Address != "/run/a" || shim.ID != webID || shim.Namespace != "moby" {
		t.Errorf("%s of %s at %q", shim.ID, shim.Namespace, shim.Address)
	}
	if pid, err := shim.InitPID(); err != nil || pid != s.init.PID {
		t.Errorf("init %d, %v, want %d", pid, err, s.init.PID)
	}
	if b, err := shim.ReadConfig("address"); err != nil || string(b) != "unix:///run/a" {
		t.Errorf("%q, %v", b, err)
	}
	_, err := shim.ReadConfig("nosuch")
	if !IsGone(err) || IsGone(unix.EACCES) || !IsGone(fmt.Errorf("x: %w", proc.ErrGone)) {
		t.Errorf("%v is not told from a failure", err)
	}
	f, err := OpenPath(s.init, s.bundle)
	standin.Must(t, err)
	defer f.Close()
	if fi, err := f.Stat(); err != nil || !fi.IsDir() {
		t.Errorf("%v, %v, want the directory", fi, err)
	}
	if _, err := OpenPath(s.init, s.bundle+"/nosuch"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a path that there is not: %v", err)
	}
}

// TestStarting: a runtime waits at exec.fifo until its container is started (libcontainer).
func TestStarting(t *testing.T) {
	s := newStandIn(t)
	f := listed(t, false, s.has)[webID]
	if f == nil {
		t.Fatal("the stand-in is not listed")
	}
	runc, sleep := &proc.Process{Comm: "runc:[2:INIT]"}, &proc.Process{Comm: "sleep"}
	mustStart := func(what string, p *proc.Process, of *Found, want bool) {
		t.Helper()
		if got := of.Starting(p); got != want {
			t.Errorf("%s: it is starting: %v", what, got)
		}
	}
	mustStart("runc without a FIFO", runc, f, false)
	fifo := s.stateDir(webID) + "/exec.fifo"
	standin.Must(t, unix.Mkfifo(fifo, 0o600))
	mustStart("runc at its FIFO", runc, f, true)
	mustStart("a program called otherwise", sleep, f, false)
	mustStart("without a shim", runc, &Found{ID: webID}, false)
	standin.Must(t, os.RemoveAll(s.stateDir(webID)))
	mustStart("runc without a state", runc, f, true)
}

// TestInits: all who are named as the init, the likeliest first; who is content has no more
// read.
func TestInits(t *testing.T) {
	s := newStandIn(t)
	f := listed(t, false, s.has)[webID]
	if f == nil {
		t.Fatal("the stand-in is not listed")
	}
	s.writeState(t, webID, s.exec)
	if got := slices.Collect(f.Inits()); !slices.Equal(got, []int{s.init.PID, s.exec.PID, webPID}) {
		t.Errorf("%v, want init.pid's %d, the state's %d, and Docker's %d", got, s.init.PID, s.exec.PID, webPID)
	}
	for want := range 3 {
		n := 0
		for range f.Inits() {
			if n++; n == want+1 {
				break
			}
		}
		if n != want+1 {
			t.Errorf("%d were yielded to who wanted %d", n, want+1)
		}
	}
	d := &docker.Container{}
	d.State.Pid = 7
	if got := slices.Collect(FoundBy(Engine{Docker: true}, webID, d, 5).Inits()); !slices.Equal(got, []int{5}) {
		t.Errorf("%v of one that does not run", got)
	}
	if !f.served() {
		t.Error("the init's parent is not its shim")
	}
	f.PID = os.Getpid()
	if f.served() {
		t.Error("the test is served by the shim")
	}
}

// TestRestartingIsListedOnce: while a container is restarted, two shims stand in bundles of
// its name; that which has the init counts, whichever was met first.
func TestRestartingIsListedOnce(t *testing.T) {
	s := newStandIn(t)
	l := &Listing{warn: func(error) {}, done: map[bundleKey]int{}, unborn: map[string]bool{}}
	made := func(shim *proc.Process) *Found {
		f := &Found{ID: webID, listing: l, shim: &believed{Process: shim}, dir: handle{fd: none}}
		fd, err := unix.Open(s.bundle, unix.O_PATH|unix.O_CLOEXEC, 0)
		standin.Must(t, err)
		f.dir.fd = fd
		return f
	}
	stale, live := made(s.exec), made(standin.Open(t, parentOf(t, s.init)))
	l.add(stale)
	l.add(live)
	t.Cleanup(func() { live.dir.close() }) // the others are closed by add
	if len(l.Found) != 1 || l.Found[0] != live {
		t.Errorf("%+v, want the one whose shim has the init", l.Found)
	}
	l.add(made(s.exec))
	if len(l.Found) != 1 || l.Found[0] != live {
		t.Errorf("%+v, want that one still", l.Found)
	}
	standin.Must(t, os.Remove(s.bundle+"/init.pid"))
	standin.Must(t, os.RemoveAll(s.stateDir(webID)))
	l.add(made(s.exec))
	if !l.unborn[webID] || len(l.Found) != 1 {
		t.Errorf("%v, want one that is not born", l.unborn)
	}
}
