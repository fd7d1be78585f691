package dockerx

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"dx/dockerx/docker"
	"dx/e2e/fakeengine"
	"dx/e2e/standin"
	"dx/nsops/proc"
)

// mustBe wants a container to be the init of a stand-in for a shim.
func mustBe(t *testing.T, what string, s *standin.Shim, c *Container, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	defer c.Close()
	if c.Process.PID != s.Init.PID || c.ID != s.ID {
		t.Errorf("%s is pid %d of %s, want pid %d of %s", what, c.Process.PID, c.ID, s.Init.PID, s.ID)
	}
}

func newStandin(t *testing.T, tail string) *standin.Shim {
	t.Helper()
	standin.NeedRoot(t)
	return standin.NewShim(t, standin.ID(t, tail), "sleep 1000", "sleep 1000")
}

// target is the one of a container; nil if it is not listed.
func target(list *Targets, id string) *Target {
	for _, t := range list.List {
		if t.ID == id {
			return t
		}
	}
	return nil
}

// TestTargets: what is listed can be opened, whoever has told of it, also while others are.
func TestTargets(t *testing.T) {
	s := newStandin(t, "7a61")
	gone := fakeengine.Running(fakeengine.ID("ab1"), "made-gone", fakeengine.NoPID)
	told := []fakeengine.Container{fakeengine.Running(s.ID, "made-told", s.Init.PID), gone}
	for name, list := range map[string][]fakeengine.Container{"of the engine": told, "of the host alone": nil} {
		r, _ := resolverOf(t, serveContainers(t, list), "")
		targets, err := r.Targets(t.Context())
		standin.Must(t, err)
		one := target(targets, s.ID)
		if one == nil {
			t.Fatalf("%s: %s is not among %d", name, s.ID, len(targets.List))
		}
		for range 2 {
			c, err := one.Open(t.Context())
			mustBe(t, name, s, c, err)
		}
		if list != nil {
			if c, err := target(targets, gone.ID).Open(t.Context()); err == nil {
				c.Close()
				t.Errorf("%s: what is not on this host was opened", name)
			}
		}
		standin.Must(t, targets.Close())
		if list != nil {
			c, err := r.Target("made-told").Open(t.Context())
			mustBe(t, name+", by its name", s, c, err)
		}
	}
}

// TestContainerOfAShim: what a container lends, and that it gives back all that it opened.
func TestContainerOfAShim(t *testing.T) {
	s := newStandin(t, "7a62")
	var said []string
	r, err := NewResolver(Options{From: SourceHost, Warn: func(line string) { said = append(said, line) }})
	standin.Must(t, err)
	defer r.Close()
	c, err := r.Resolve(t.Context(), s.ID)
	standin.Must(t, err)
	root, err := c.Root()
	standin.Must(t, err)
	if _, err := root.Stat("/"); err != nil {
		t.Error(err)
	}
	if dir, err := c.RootDir(); err != nil || dir == nil {
		t.Errorf("its root is %v, %v", dir, err)
	}
	if c.Bundle() == nil || c.Bundle().ID != s.ID || c.Believed() != nil {
		t.Errorf("its bundle is %+v, believed %v", c.Bundle(), c.Believed())
	}
	if want := fmt.Sprintf("(pid %d)", s.Init.PID); !strings.HasSuffix(c.String(), want) {
		t.Errorf("it is called %q, want its pid in that", c.String())
	}
	cg := proc.Cgroup{Path: "/x/" + s.ID + "/below"}
	if got := c.WholeCgroup(cg); got != "/x/"+s.ID {
		t.Errorf("the whole of %s is %s", cg.Path, got)
	}
	c.Warn("said")
	if len(said) == 0 || said[len(said)-1] != "said" {
		t.Errorf("the user was told %q", said)
	}
	CloseAll([]*Container{c, nil})
	if err := c.Process.Alive(); !errors.Is(err, proc.ErrGone) {
		t.Errorf("its process is still open: %v", err)
	}
}

// TestEngineBehindTheTimes: the engine has an old PID, has given the container up, or holds
// its lock: the ID that it tells leads to the process.
func TestEngineBehindTheTimes(t *testing.T) {
	s := newStandin(t, "7a63")
	exited := stateOf(s.ID, "made-late", map[string]any{"Status": "exited"})
	running := fakeengine.Running(s.ID, "made-late", s.Init.PID)
	stale := fakeengine.Running(s.ID, "made-late", os.Getpid())
	held := &fakeengine.Engine{Containers: []fakeengine.Container{running}}
	release := make(chan struct{})
	defer close(release)
	held.Instead = func(_ http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/containers/made-late/json") {
			return false
		}
		select {
		case <-release:
		case <-r.Context().Done():
		}
		return true
	}
	for name, engine := range map[string]*fakeengine.Engine{
		"an old PID": {Containers: []fakeengine.Container{stale}}, "given up": {Containers: []fakeengine.Container{exited}}, "held": held,
	} {
		r, err := NewResolver(Options{Host: fakeengine.Serve(t, engine), APITimeout: 5 * time.Second})
		standin.Must(t, err)
		c, err := r.Resolve(t.Context(), "made-late")
		mustBe(t, name, s, c, err)
		r.Close()
	}
}

// TestListOfTheHost: without an engine, the kernel's side alone.
func TestListOfTheHost(t *testing.T) {
	s := newStandin(t, "7a64")
	r, _ := resolverOf(t, "unix:///nonexistent", SourceHost)
	list, err := r.List(t.Context(), true)
	var unseen *UnseenError
	if err != nil && !errors.As(err, &unseen) {
		t.Fatal(err)
	}
	found := false
	for _, l := range list {
		found = found || l.ID == s.ID && l.PID == s.Init.PID && l.State == "running" && strings.HasPrefix(l.Status, "Up ")
	}
	if !found {
		t.Errorf("%s is not among %+v", s.ID, list)
	}
}

func TestStored(t *testing.T) {
	created, exited, running := &docker.Container{ID: "a"}, &docker.Container{ID: "b"}, &docker.Container{ID: "c"}
	exited.State.StartedAt, exited.State.FinishedAt, exited.State.ExitCode = time.Unix(1, 0), time.Unix(2, 0), 3
	running.State.Running = true
	for d, want := range map[*docker.Container]string{created: "created Created", exited: "exited Exited (3) ", running: "running Up"} {
		if l := storedOne(d); !strings.HasPrefix(l.State+" "+l.Status, want) {
			t.Errorf("%s is %s, %s; want %s", d.ID, l.State, l.Status, want)
		}
	}
}

// TestUnseen: who may not look is told what that takes, and what may be missing.
func TestUnseen(t *testing.T) {
	for e, want := range map[*UnseenError]string{
		{Hidden: 3}: "only the host was asked, and 3 processes", {Hidden: 2, Engine: "unix:///x", Err: fs.ErrPermission}: "the engine at unix:///x may not be asked, and 2 processes",
	} {
		if !strings.HasPrefix(e.Error(), want) || !errors.Is(e, fs.ErrPermission) {
			t.Errorf("%v, want %q", e, want)
		}
	}
}

// TestTCPListener: who listens on loopback and is no dockerd is no engine of this host.
func TestTCPListener(t *testing.T) {
	standin.NeedRoot(t)
	server := httptest.NewServer(&fakeengine.Engine{})
	defer server.Close()
	r, _ := resolverOf(t, strings.Replace(server.URL, "http://", "tcp://", 1), "")
	if _, err := r.Resolve(context.Background(), "made-none"); err == nil {
		t.Error("a container that there is not was found")
	}
	if want := fmt.Sprintf("pid %d (", os.Getpid()); !strings.HasPrefix(r.whose().elsewhere, want) {
		t.Errorf("%q, want that pid %d listens there and is no dockerd", r.whose().elsewhere, os.Getpid())
	}
}
