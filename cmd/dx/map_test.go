package main

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"github.com/creack/pty"
	"github.com/google/go-cmp/cmp"

	"dx/cmd/dx/output/outputtest"
	"dx/cmpdiff/draw"
	"dx/dockerx"
	"dx/dockerx/docker"
	"dx/dockerx/host"
	"dx/dockerx/namespaces"
	"dx/nsops"
)

func mapped(t *testing.T, find mapFinder, refs ...string) shown {
	t.Helper()
	a := &app{out: outputtest.File(t), err: outputtest.File(t)}
	before := openFiles(t)
	code := a.exitCode(a.drawMap(context.Background(), find, mapOptions{to: pictureFlag{format: "mermaid"}}, refs, a.writeResult))
	if after := openFiles(t); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
	return shown{out: outputtest.Content(t, a.out), err: outputtest.Content(t, a.err), code: code}
}

func TestMapFinds(t *testing.T) {
	world := fake{
		named:   map[string]func() (*dockerx.Container, error){"web": self("web"), "gone": dead(t, "gone")},
		running: []string{"web", "gone"},
	}
	if got := mapped(t, world); got.code != 0 || (got.err != "" && standsIn(t) == "") || strings.Count(got.out, "pid ") != 1 || !strings.Contains(got.out, `["web`) {
		t.Errorf("all: %+v", got)
	}
	if got := mapped(t, world, "web", "web"); got.code != 0 || strings.Count(got.out, `["web`) != 1 {
		t.Errorf("twice the same: %+v", got)
	}
	if got := mapped(t, world, "web", "nosuch"); got.code != 1 || !strings.Contains(got.out, `["web`) || !strings.Contains(got.err, "No such container: nosuch") {
		t.Errorf("one is unknown: %+v", got)
	}
	if got := mapped(t, world, "nosuch"); got.code != 1 || got.out != "" {
		t.Errorf("unknown: %+v", got)
	}
	if got := mapped(t, fake{}); got.code != 0 || !strings.Contains(got.out, "no container") {
		t.Errorf("none: %+v", got)
	}
}

func TestMapDoesNotDependOnTheOrder(t *testing.T) {
	web, db := made("web", map[nsops.Type]uint64{nsops.Net: 7}), made("db", map[nsops.Type]uint64{nsops.Net: 7})
	a, b := draw.SVG(newPicture("dx", madeHost(), []namespaces.Subject{web, db}, nil)), draw.SVG(newPicture("dx", madeHost(), []namespaces.Subject{db, web, db, madeHost()}, nil))
	if a != b {
		t.Error("two pictures of the same containers differ")
	}
}

func (f fake) List(context.Context, bool) ([]dockerx.Listed, error) { return nil, f.err }

// A pod is a frame, its sandbox no box; what is known of containers is in their boxes.
func TestMapShowsWhatConnects(t *testing.T) {
	pod := joins{nsops.Net: 7, nsops.IPC: 8}
	sandbox, app := made("k8s:prod/web", pod), made("k8s:prod/web/app", pod)
	sandbox.Pod = host.Pod{Namespace: "prod", Name: "web", Sandbox: true}
	app.Pod = host.Pod{Namespace: "prod", Name: "web", Container: "app"}
	app.Ports = []dockerx.Port{
		{Proto: "tcp", Host: netip.MustParseAddrPort("0.0.0.0:8080"), Container: 80}, {Proto: "tcp", Host: netip.MustParseAddrPort("[::]:8080"), Container: 80},
		{Proto: "udp", Host: netip.MustParseAddrPort("127.0.0.1:53"), Container: 53},
	}
	app.Networks, app.Paused = []string{"front"}, true
	app.Mounts = []docker.Mount{{Name: "data"}, {Name: strings.Repeat("ab", 32)}, {Source: "/srv"}}
	p := newPicture("dx", madeHost(), []namespaces.Subject{app, sandbox}, []dockerx.Listed{{Name: "old", Status: "Exited (1)"}, {Name: "k8s:prod/web", Sandbox: true}, {Name: "runs", PID: 5}})
	if len(p.Regions) != 1 || p.Regions[0].Name != "pod prod/web" || !p.Boxes[0].Frame || p.Boxes[1].Frame {
		t.Errorf("%+v, boxes %+v: want one pod, the sandbox its frame", p.Regions, p.Boxes)
	}
	if p.Boxes[0].Engine != "" {
		t.Errorf("the only engine is shown: %+v", p.Boxes[0])
	}
	box := p.Boxes[1]
	if diff := cmp.Diff([]string{"8080→80", "127.0.0.1:53→53/udp"}, box.Ports); diff != "" {
		t.Errorf("ports (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"data", "abababababab", "/srv"}, box.Volumes); diff != "" {
		t.Errorf("volumes (-want +got):\n%s", diff)
	}
	if box.State != "paused" || box.Label != "app" || box.Command != "dx exec -it k8s:prod/web/app sh" {
		t.Errorf("box %+v", box)
	}
	if len(p.Stopped) != 1 || p.Stopped[0].Name != "old" {
		t.Errorf("those that do not run: %+v", p.Stopped)
	}
}

// What a click copies is one word a reference, whatever it holds, and no option.
func TestMapCommands(t *testing.T) {
	for ref, want := range map[string]string{
		"web": "dx exec -it web sh", "a b;c": "dx exec -it 'a b;c' sh", "pid:7": "dx exec -it pid:7 sh",
		"-v": "dx exec -it 8e058298220f sh", "a\x1b]0;": "dx exec -it 8e058298220f sh", "a\u202eb": "dx exec -it 8e058298220f sh",
	} {
		if got := execInto("dx", namespaces.Subject{Ref: ref, ID: "8e058298220f"}); got != want {
			t.Errorf("%q: %q, want %q", ref, got, want)
		}
	}
	a := &app{host: "unix:///run/my docker.sock", source: "host"}
	if got, want := a.commandPrefix(), "dx -H 'unix:///run/my docker.sock' --source host"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

type joins = map[nsops.Type]uint64

func TestMapRefuses(t *testing.T) {
	ptmx, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer ptmx.Close()
	defer tty.Close()
	a := &app{out: tty, err: outputtest.File(t)}
	if code := a.exitCode(a.checkPicture("svg")); code != exitDx || !strings.Contains(outputtest.Content(t, a.err), "-o map.svg") {
		t.Errorf("svg on a terminal: %d", code)
	}
	if err := a.checkPicture("dot"); err != nil {
		t.Errorf("dot on a terminal: %v", err)
	}
}
