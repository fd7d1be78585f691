package main

import (
	"os"
	"strings"
	"testing"

	"dx/cmd/dx/output/outputtest"
	"dx/dockerx"
)

// printed is what a printer makes of a container's stdout.
func printed(t *testing.T, written string, of func(*app) printer) string {
	t.Helper()
	f := outputtest.File(t)
	out, err := newPipe()
	if err != nil {
		t.Fatal(err)
	}
	errs, err := newPipe()
	if err != nil {
		t.Fatal(err)
	}
	errs.w.Close()
	done := of(&app{out: f, err: f}).streams(&dockerx.Target{Name: "web"}, out.r, errs.r)
	if _, err := out.w.WriteString(written); err != nil {
		t.Fatal(err)
	}
	out.w.Close()
	done(execRecord{Name: "web"})
	b, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestLinesAreBounded: what never ends takes no room, and nothing of it is lost.
func TestLinesAreBounded(t *testing.T) {
	list := []*dockerx.Target{{Name: "web"}, {Name: "long-name"}}
	got := printed(t, strings.Repeat("x", maxLine+5), func(a *app) printer { return a.linesOf(list) })
	if want := "web       | " + strings.Repeat("x", maxLine) + "\nweb       | xxxxx\n"; got != want {
		t.Errorf("%d bytes, want %d", len(got), len(want))
	}
}

// TestLinesOnAScreen: a container cannot reach the terminal with its lines.
func TestLinesOnAScreen(t *testing.T) {
	got := printed(t, "\x1b[2Ja\r\nb\tc", func(a *app) printer {
		b := a.linesOf(nil)
		b.outRaw, b.width = true, 3
		return b
	})
	if want := "web | \\x1b[2Ja\nweb | b\tc\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestJSONIsBounded: the beginning of a stream without end is kept.
func TestJSONIsBounded(t *testing.T) {
	got := printed(t, strings.Repeat("x", maxKept+5), func(a *app) printer { return a.jsonOf() })
	want := `{"Name":"web","ID":"","Engine":"","ExitCode":0,"Stdout":"` + strings.Repeat("x", maxKept) + `","Stderr":"","Truncated":true}` + "\n"
	if got != want {
		t.Errorf("%d bytes, want %d", len(got), len(want))
	}
}
