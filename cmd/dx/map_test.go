package main

import (
	"context"
	"strings"
	"testing"

	"github.com/creack/pty"

	"dx/cmd/dx/output/outputtest"
	"dx/cmpdiff/draw"
	"dx/dockerx"
	"dx/dockerx/namespaces"
	"dx/nsops"
)

func mapped(t *testing.T, find namespaces.Finder, refs ...string) shown {
	t.Helper()
	a := &app{out: outputtest.File(t), err: outputtest.File(t)}
	before := openFiles(t)
	code := a.exitCode(a.drawMap(context.Background(), find, draw.Mermaid, refs, a.writeResult))
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
	a, b := draw.SVG(newPicture(madeHost(), []namespaces.Subject{web, db})), draw.SVG(newPicture(madeHost(), []namespaces.Subject{db, web, db, madeHost()}))
	if a != b {
		t.Error("two pictures of the same containers differ")
	}
}

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
