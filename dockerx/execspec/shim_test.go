package execspec

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"dx/dockerx"
	"dx/e2e/await"
	"dx/e2e/standin"
	"dx/nsops"
	"dx/nsops/proc"
)

// mounted is a container of a shim's whose init has a mount namespace, with a directory
// of its own over /etc.
type mounted struct {
	*standin.Shim
	etc      string
	warnings *[]string
}

func newMounted(t *testing.T, tail string) mounted {
	t.Helper()
	standin.NeedRoot(t)
	etc := t.TempDir()
	init := fmt.Sprintf("unshare --mount sh -c 'mount --bind %s /etc && exec sleep 1000'", etc)
	s := standin.NewShim(t, standin.ID(t, tail), init, "sleep 1000")
	awaitSleep(t, s.Init)
	s.Write(t, etc+"/passwd", "root:x:0:0::/:/bin/sh\nother:x:7:9::/home/mounted:/bin/sh\n")
	s.Write(t, s.Rootfs+"/etc/passwd", "app:x:7:8::/home/rootfs:/bin/sh\n")
	s.Write(t, s.Rootfs+"/etc/group", "more:x:99:app\n")
	return mounted{s, etc, new([]string)}
}

func awaitSleep(t *testing.T, p *proc.Process) {
	t.Helper()
	await.Until(t, fmt.Sprintf("pid %d sleeps", p.PID), func() bool {
		comm, err := p.ReadFile("comm")
		return err != nil || strings.TrimSpace(string(comm)) == "sleep"
	})
}

// resolve names a process by its number.
func (m mounted) resolve(t *testing.T, p *proc.Process) *dockerx.Container {
	t.Helper()
	*m.warnings = nil
	r, err := dockerx.NewResolver(dockerx.Options{Host: "unix:///nonexistent", Warn: func(s string) { *m.warnings = append(*m.warnings, s) }})
	standin.Must(t, err)
	t.Cleanup(func() { r.Close() })
	c, err := r.Resolve(context.Background(), fmt.Sprintf("pid:%d", p.PID))
	standin.Must(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

func (m mounted) read(t *testing.T, p *proc.Process, o Options) (*Facts, error) {
	t.Helper()
	return Read(context.Background(), m.resolve(t, p), o)
}

// TestReadByABundle: what is the bundle's, the shim's, Docker's and the runtime's is read
// there. A user is looked up in the root file system (moby, daemon/oci_linux.go), HOME in
// the mount namespace (runc, libcontainer/init_linux.go).
func TestReadByABundle(t *testing.T) {
	m := newMounted(t, "7a01")
	f, err := m.read(t, m.Init, Options{Args: []string{"true"}, User: "app"})
	standin.Must(t, err)
	if f.Kind != Contained || f.ID != m.ID || f.Bundle != m.Bundle || f.Shim.PID != m.Process.PID || f.Init.PID != m.Init.PID {
		t.Errorf("%v %s in %s of shim %d, init %d; want %s in %s of shim %d, init %d", f.Kind, f.ID, f.Bundle, f.Shim.PID, f.Init.PID, m.ID, m.Bundle, m.Process.PID, m.Init.PID)
	}
	if f.State == nil || f.State.InitPID != m.Init.PID || f.Docker == nil || f.Docker.Name != "web" || len(*m.warnings) > 0 {
		t.Errorf("state %+v, Docker %+v, warnings %q", f.State, f.Docker, *m.warnings)
	}
	if same := f.Shim.Namespaces.Own[nsops.Mnt] == f.Init.Namespaces.Own[nsops.Mnt]; same {
		t.Error("init's mount namespace is taken for the shim's")
	}
	spec, err := Build(f, Options{Args: []string{"true"}, User: "app"})
	standin.Must(t, err)
	u := spec.Process.User
	if u.UID != 7 || u.GID != 8 || !slices.Contains(u.AdditionalGids, 99) || !slices.Contains(spec.Process.Env, "HOME=/home/mounted") {
		t.Errorf("user %+v, environment %q; want 7:8 of the root file system, and the HOME that is mounted", u, spec.Process.Env)
	}
	_, err = Of(context.Background(), m.resolve(t, m.Init), Options{Args: []string{"true"}, User: "other"})
	var unknown *UserError
	if !errors.As(err, &unknown) {
		t.Errorf("a user of what is mounted over the root file system: %v", err)
	}
}

// TestBrokenFilesOfABundle: the runtime's state can be done without, and that is said; the
// rest cannot.
func TestBrokenFilesOfABundle(t *testing.T) {
	m := newMounted(t, "7b01")
	o := Options{Args: []string{"true"}}
	m.Write(t, m.State+"/state.json", "{")
	if f, err := m.read(t, m.Init, o); err != nil || f.State != nil || len(*m.warnings) != 1 || !strings.Contains((*m.warnings)[0], "state") {
		t.Errorf("half a state.json: %v, warnings %q, want one of it", err, *m.warnings)
	}
	m.Write(t, m.Files+"/config.v2.json", "{")
	if f, err := m.read(t, m.Init, o); err != nil || f.Docker != nil || f.Kind != Contained {
		t.Errorf("half a config.v2.json: %v, want what the bundle has", err)
	}
	m.Spec.Root.Path = "rootfs" // as other engines say it: below the bundle
	m.Write(t, m.Bundle+"/config.json", m.Spec)
	o.User = "app"
	if _, err := m.read(t, m.Init, o); err == nil || !strings.Contains(err.Error(), "look up user app") {
		t.Errorf("no root file system: %v", err)
	}
	standin.Must(t, os.Rename(m.Rootfs, m.Bundle+"/rootfs"))
	if f, err := m.read(t, m.Init, o); err != nil || !bytes.HasPrefix(f.Accounts.Passwd, []byte("app:")) {
		t.Errorf("a root file system below the bundle: %v", err)
	}
	m.Write(t, m.Bundle+"/config.json", "{")
	if _, err := m.read(t, m.Init, o); err == nil || !strings.Contains(err.Error(), "config.json") {
		t.Errorf("half a config.json: %v", err)
	}
}

// TestWithinAContainer: who has gone into namespaces within the container has its own
// rights; who has not has the bundle's; a shim that is not believed gives none.
func TestWithinAContainer(t *testing.T) {
	standin.NeedRoot(t)
	s := standin.NewShim(t, standin.ID(t, "7c01"),
		"unshare --mount sh -c 'sleep 1000 & unshare --mount sleep 1000 & wait'", "unshare --mount sleep 1000")
	m := mounted{s, "", new([]string)}
	var children []int
	await.Until(t, "init has two children that sleep", func() (asleep bool) {
		children, _ = s.Init.Children()
		return len(children) == 2
	})
	away, staying := 0, 0
	for _, pid := range children {
		p := standin.Open(t, pid)
		t.Cleanup(func() { _ = standin.Kill(p) })
		awaitSleep(t, p)
		f, err := m.read(t, p, Options{Args: []string{"true"}})
		standin.Must(t, err)
		theirs, _ := p.Readlink("ns/mnt")
		its, _ := s.Init.Readlink("ns/mnt")
		want := Contained
		if theirs != its {
			want = Bare
			away++
		} else {
			staying++
		}
		if f.Kind != want {
			t.Errorf("in %s, where init is in %s: %v, want %v", theirs, its, f.Kind, want)
		}
	}
	if away != 1 || staying != 1 {
		t.Errorf("%d have left and %d have stayed, want one of each", away, staying)
	}
	exe, err := os.Readlink("/proc/" + strconv.Itoa(s.Process.PID) + "/exe")
	standin.Must(t, err)
	standin.Must(t, os.Chown(exe, standin.Nobody, standin.Nobody))
	f, err := m.read(t, s.Init, Options{Args: []string{"true"}})
	if err != nil || f.Kind != Bare || len(*m.warnings) == 0 || !strings.Contains((*m.warnings)[0], "file of uid 65534") {
		t.Errorf("%+v, %v, warnings %q; want a bare process, and why", f, err, *m.warnings)
	}
}

// TestMoved: who has changed its namespaces while it was read is refused: its capabilities
// mean nothing in others.
func TestMoved(t *testing.T) {
	c := started(t, shell(t), "ready")
	f, err := Read(context.Background(), c, Options{})
	standin.Must(t, err)
	r := &reader{ctx: context.Background(), c: c, f: f}
	standin.Must(t, r.settled())
	f.Init.Namespaces.Own[nsops.User] = nsops.ID{Device: 4, Inode: 1}
	if err := r.settled(); !errors.Is(err, nsops.ErrMoved) {
		t.Errorf("a process that was in another user namespace: %v", err)
	}
	f.Kind = Contained // its rights are the bundle's, wherever it goes
	if err := r.settled(); err != nil {
		t.Errorf("with a bundle: %v", err)
	}
}

// TestReadEndsWithItsCaller: nothing is read for one who has gone.
func TestReadEndsWithItsCaller(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Read(ctx, started(t, shell(t), "ready"), Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want it cancelled", err)
	}
}

// TestEndedWhileRead: what was read of a process that has ended is nobody's.
func TestEndedWhileRead(t *testing.T) {
	m := newMounted(t, "7d01")
	c := m.resolve(t, m.Init)
	standin.End(t, m.Init)
	if f, err := Read(context.Background(), c, Options{}); !errors.Is(err, proc.ErrGone) {
		t.Errorf("%+v, %v, want that it has ended", f, err)
	}
}

// TestFilesOfAContainer: completion and comparison look into the container's mounts.
func TestFilesOfAContainer(t *testing.T) {
	m := newMounted(t, "7e01")
	c := m.resolve(t, m.Init)
	users, err := Users(c)
	if err != nil || !slices.Equal(users, []string{"root", "other"}) {
		t.Errorf("users %q, %v", users, err)
	}
	m.Write(t, m.etc+"/hosts", "1.2.3.4 db\n")
	files, err := NameFiles(c)
	if err != nil || len(files) != 1 || string(files["/etc/hosts"]) != "1.2.3.4 db\n" {
		t.Errorf("%q, %v, want hosts alone", files, err)
	}
	standin.Must(t, os.Mkdir(m.etc+"/resolv.conf", 0o755))
	if files, err := NameFiles(c); err == nil {
		t.Errorf("a resolv.conf that is a directory: %q", files)
	}
	m.Spec.Process.Env = []string{"PATH=/etc/nothing:/etc/programs"}
	m.Write(t, m.Bundle+"/config.json", m.Spec)
	m.Write(t, m.Files+"/config.v2.json", map[string]any{"ID": m.ID, "Config": map[string]any{"Env": m.Spec.Process.Env}})
	standin.Must(t, os.Mkdir(m.etc+"/programs", 0o755))
	m.Write(t, m.etc+"/programs/mine", "")
	if names, err := Programs(context.Background(), c); err != nil || !slices.Equal(names, []string{"mine"}) {
		t.Errorf("programs %q, %v", names, err)
	}
	standin.End(t, m.Init)
	gone := m.resolveGone(t, c)
	for what, err := range map[string]error{"Users": second(Users(gone)), "NameFiles": second(NameFiles(gone)), "Programs": second(Programs(context.Background(), gone))} {
		if err == nil {
			t.Errorf("%s of a container that has ended", what)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// resolveGone is the same process, without what has been opened of it.
func (m mounted) resolveGone(t *testing.T, c *dockerx.Container) *dockerx.Container {
	t.Helper()
	return &dockerx.Container{Ref: c.Ref, Name: c.Name, Source: c.Source, Process: c.Process}
}
