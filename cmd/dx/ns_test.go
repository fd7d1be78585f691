package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dx/cmd/dx/output"
	"dx/cmd/dx/output/outputtest"
	"dx/dockerx"
	"dx/dockerx/namespaces"
	"dx/nsops"
	"dx/nsops/proc"
)

// made makes a subject that is in the host's namespaces (4026531835 and on), but for
// those given by inode.
func made(name string, own map[nsops.Type]uint64) namespaces.Subject {
	s := namespaces.Subject{Name: name, PID: 100 + len(name), Source: dockerx.SourceEngine}
	s.ID = strings.Repeat(strings.ToLower(name[:1]), 64)
	s.Set = nsops.Set{Own: map[nsops.Type]nsops.ID{}, Children: map[nsops.Type]nsops.ID{}}
	for i, t := range nsops.Types {
		s.Set.Own[t] = nsops.ID{Device: 4, Inode: 4026531835 + uint64(i)}
	}
	for t, inode := range own {
		s.Set.Own[t] = nsops.ID{Device: 4, Inode: inode}
	}
	return s
}

func madeHost() namespaces.Subject {
	s := made("host", nil)
	s.ID, s.PID, s.Source = "", 1, dockerx.SourcePID
	return s
}

func lists(t *testing.T, host namespaces.Subject, subjects ...namespaces.Subject) string {
	t.Helper()
	v := newNSView(host, subjects, nil, false)
	v.inodes = true
	inodes := rendered(t, output.Options{}, v.records(), v.list)
	v.inodes = false
	return inodes + "\n" + rendered(t, output.Options{}, v.records(), v.list)
}

func columns(t *testing.T, host namespaces.Subject, subjects ...namespaces.Subject) string {
	t.Helper()
	v := newNSView(host, subjects, nil, false)
	return rendered(t, output.Options{}, v.records(), v.columns)
}

// beside is columns of subjects where others run too.
func beside(t *testing.T, others []namespaces.Subject, subjects ...namespaces.Subject) string {
	t.Helper()
	v := newNSView(madeHost(), subjects, others, false)
	return rendered(t, output.Options{}, v.records(), v.columns)
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	path := "testdata/ns/" + file
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

func TestNSTables(t *testing.T) {
	host := madeHost()
	web := made("web", map[nsops.Type]uint64{nsops.Mnt: 4026532176, nsops.Net: 4026532180, nsops.PID: 4026532179})
	db := made("db", map[nsops.Type]uint64{nsops.Mnt: 4026532301, nsops.Net: 4026532180, nsops.PID: 4026532305, nsops.UTS: 7})
	evil := made("evil\x1b[31m\n", map[nsops.Type]uint64{nsops.Net: 9})
	shell := made("shell", nil)
	shell.Set.Children = map[nsops.Type]nsops.ID{nsops.PID: {}, nsops.Time: {Device: 4, Inode: 4026532400}}
	hidden := made("x", nil)
	hidden.Set = nsops.Set{}
	old := madeHost()
	delete(old.Set.Own, nsops.Time)
	oldWeb := made("web", map[nsops.Type]uint64{nsops.Net: 5})
	delete(oldWeb.Set.Own, nsops.Time)
	blind := madeHost()
	blind.Set = nsops.Set{}

	golden(t, "list", lists(t, host, web, db, shell, hidden, evil))
	golden(t, "one", columns(t, host, web))
	golden(t, "several", columns(t, host, web, db, evil))
	golden(t, "children", columns(t, host, shell))
	golden(t, "hidden", columns(t, host, web, hidden))
	golden(t, "old-kernel", columns(t, old, oldWeb))
	golden(t, "no-host", columns(t, blind, web))

	cache := made("cache", map[nsops.Type]uint64{nsops.Net: 4026532180, nsops.IPC: 8})
	golden(t, "one-shares", beside(t, []namespaces.Subject{db, cache, shell}, web))
	golden(t, "two-share", beside(t, []namespaces.Subject{cache, shell}, web, db))
	var pod []namespaces.Subject
	for i := range 8 {
		pod = append(pod, made(fmt.Sprint("p", i), map[nsops.Type]uint64{nsops.Net: 4026532180}))
	}
	golden(t, "many-share", beside(t, pod, web))

	web.Engine, db.Engine = "unix:///var/run/docker.sock", "containerd:default"
	golden(t, "engines", lists(t, host, web, db))
	golden(t, "engines-beside", columns(t, host, web, db))
}

func TestNSJSON(t *testing.T) {
	web := made("web", map[nsops.Type]uint64{nsops.Net: 4026532180})
	web.Set.Children[nsops.PID] = nsops.ID{}
	hidden := made("x", nil)
	hidden.Set = nsops.Set{}
	cache := made("cache", map[nsops.Type]uint64{nsops.Net: 4026532180})
	v := newNSView(madeHost(), []namespaces.Subject{web, hidden}, []namespaces.Subject{cache}, false)
	golden(t, "json", rendered(t, output.Options{Format: "json"}, v.records(), v.columns))
}

// fake is a finder of containers that stand for live processes.
type fake struct {
	named   map[string]func() (*dockerx.Container, error)
	running []string
	err     error // of Running
}

func (f fake) Resolve(_ context.Context, ref string) (*dockerx.Container, error) {
	if find := f.named[ref]; find != nil {
		return find()
	}
	return nil, &dockerx.NotFoundError{Ref: ref}
}

func (f fake) Running(ctx context.Context) ([]*dockerx.Container, error) {
	var out []*dockerx.Container
	for _, name := range f.running {
		c, err := f.Resolve(ctx, name)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, f.err
}

// self is a container whose init is the test itself.
func self(name string) func() (*dockerx.Container, error) {
	return func() (*dockerx.Container, error) {
		p, err := proc.Self()
		return &dockerx.Container{Ref: name, ID: outputtest.WebID, Name: name, Source: dockerx.SourceEngine, Process: p}, err
	}
}

// dead is a container whose init ends between being found and being read.
func dead(t *testing.T, name string) func() (*dockerx.Container, error) {
	return func() (*dockerx.Container, error) {
		cmd := exec.Command("sleep", "1000")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		p, err := proc.Open(cmd.Process.Pid)
		cmd.Process.Kill()
		cmd.Wait()
		return &dockerx.Container{Ref: name, ID: outputtest.WebID, Name: name, Source: dockerx.SourceEngine, Process: p}, err
	}
}

// shown is what dx ns prints and returns, and how many descriptors it leaves open.
type shown struct {
	out, err string
	code     int
}

func show(t *testing.T, find namespaces.Finder, o output.Options, refs ...string) shown {
	t.Helper()
	a := &app{out: outputtest.File(t), err: outputtest.File(t)}
	out, err := output.New(a.out, o)
	if err != nil {
		t.Fatal(err)
	}
	before := openFiles(t)
	code := a.exitCode(a.showNamespaces(context.Background(), find, out, true, refs))
	if after := openFiles(t); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
	return shown{out: outputtest.Content(t, a.out), err: outputtest.Content(t, a.err), code: code}
}

func openFiles(t *testing.T) int {
	t.Helper()
	// The handle on dx itself is opened once, and kept.
	if _, err := proc.Self(); err != nil {
		t.Fatal(err)
	}
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(fds)
}

// names are the names that a JSON listing holds.
func names(t *testing.T, out string) []string {
	t.Helper()
	var list []string
	dec := json.NewDecoder(strings.NewReader(out))
	for dec.More() {
		var rec nsRecord
		if err := dec.Decode(&rec); err != nil {
			t.Fatal(err)
		}
		list = append(list, rec.Name)
	}
	return list
}

func TestNSFinds(t *testing.T) {
	world := fake{
		named:   map[string]func() (*dockerx.Container, error){"web": self("web"), "db": self("db"), "gone": dead(t, "gone")},
		running: []string{"web", "gone", "db"},
	}
	mute := fake{err: &dockerx.EngineError{Host: "unix:///x.sock", Op: "list containers", Err: fs.ErrNotExist}}
	for _, tc := range []struct {
		name string
		find namespaces.Finder
		refs []string
		want []string // names
		err  []string // each is in stderr
		code int
	}{
		{name: "all, less one that has gone", find: world, want: []string{"host", "web", "db"}},
		{name: "nothing runs", find: fake{}, want: []string{"host"}},
		{name: "no engine", find: mute, want: []string{"host"}, err: []string{"only the host is listed: list containers at unix:///x.sock: "}},
		{name: "one", find: world, refs: []string{"web"}, want: []string{"web"}},
		{name: "one fails, the others are shown", find: world, refs: []string{"no\x1bpe", "db", "gone", "web"}, want: []string{"db", "web"},
			err: []string{`No such container: no\x1bpe`, "gone: ", proc.ErrGone.Error()}, code: 1},
		{name: "all fail", find: world, refs: []string{"nope"}, err: []string{"No such container: nope"}, code: 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := show(t, tc.find, output.Options{Format: "json"}, tc.refs...)
			if diff := cmp.Diff(tc.want, names(t, got.out)); diff != "" {
				t.Errorf("names (-want +got):\n%s", diff)
			}
			for _, want := range tc.err {
				if !strings.Contains(got.err, want) {
					t.Errorf("stderr lacks %q: %q", want, got.err)
				}
			}
			if len(tc.err) == 0 && standsIn(t) == "" && got.err != "" {
				t.Errorf("stderr: %q", got.err)
			}
			if got.code != tc.code {
				t.Errorf("exit code %d, want %d", got.code, tc.code)
			}
		})
	}
}

// standsIn is what is said where the host's namespaces cannot be read here.
func standsIn(t *testing.T) string {
	t.Helper()
	_, pid, err := nsops.ReadHost()
	if err != nil {
		t.Fatal(err)
	}
	if pid == os.Getpid() {
		return "the host's (dx's own are shown instead)"
	}
	return ""
}

func TestNSOfHost(t *testing.T) {
	got := show(t, fake{named: map[string]func() (*dockerx.Container, error){"host": func() (*dockerx.Container, error) {
		p, err := proc.Open(1)
		return &dockerx.Container{Ref: "host", Name: "host", Source: dockerx.SourcePID, Process: p}, err
	}}}, output.Options{}, "host")
	if n := strings.Count(got.out, "shared with host"); n != len(nsops.Types) || got.code != 0 {
		t.Errorf("%d kinds are shared, exit code %d:\n%s", n, got.code, got.out)
	}
}

func TestNSUnread(t *testing.T) {
	a := &app{out: outputtest.File(t), err: outputtest.File(t)}
	a.sayUnread(&namespaces.Gathering{Unread: []string{"a's", "b's", "c's", "d's", "e's"}})
	got := outputtest.Content(t, a.err)
	if strings.Count(got, "\n") != 1 || !strings.Contains(got, "a's, b's, c's and 2 more") || !strings.Contains(got, "CAP_SYS_PTRACE") {
		t.Errorf("stderr: %q", got)
	}
}

func TestNSWrongTemplateIsKnownFirst(t *testing.T) {
	a := &app{out: outputtest.File(t), err: outputtest.File(t), host: "unix:///nosuch.sock"}
	err := a.runNS(context.Background(), nsOptions{Options: output.Options{Format: "{{"}}, nil)
	if err == nil || errors.Is(err, fs.ErrNotExist) || outputtest.Content(t, a.err) != "" {
		t.Errorf("%v, stderr %q", err, outputtest.Content(t, a.err))
	}
}
