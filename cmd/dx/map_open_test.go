package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"dx/cmd/dx/output/outputtest"
)

// standInBrowser is an xdg-open that writes down who runs it, where its display is, and what it was given.
func standInBrowser(t *testing.T, status string) (note string) {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "dx-open-") // every directory above is open to any user
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	note = filepath.Join(dir, "note")
	script := "#!/bin/sh\n{ id -u; id -G; echo \"$HOME:$DISPLAY:$SECRET\"; pwd; echo \"$1\"; cat \"$1\"; } >" + note + "\nexit " + status + "\n"
	if err := os.WriteFile(filepath.Join(dir, "xdg-open"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(note, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	// Whatever the umask is.
	for path, mode := range map[string]os.FileMode{dir: 0o755, note: 0o666, filepath.Join(dir, "xdg-open"): 0o755} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	t.Setenv("DISPLAY", ":7")
	t.Setenv("SECRET", "of root's")
	return note
}

func viewed(t *testing.T, to pictureFlag) (a *app, err error) {
	t.Helper()
	a = &app{out: outputtest.File(t), err: outputtest.File(t)}
	v, err := newViewer(&to)
	if err == nil {
		err = a.view(v, to, "<p>picture</p>")
	}
	return a, err
}

// shownAs is what the browser has written down, its file's name checked and removed.
func shownAs(t *testing.T, note string) []string {
	t.Helper()
	b, err := os.ReadFile(note)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	if len(lines) != 6 {
		t.Fatalf("the browser has written %q", lines)
	}
	t.Cleanup(func() { os.Remove(lines[4]) })
	if info, err := os.Stat(lines[4]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%s: %v, %v", lines[4], info, err)
	}
	return lines
}

func TestMapOpensAsTheUser(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root has no browser")
	}
	note := standInBrowser(t, "0")
	a, err := viewed(t, pictureFlag{format: "svg"})
	if err != nil {
		t.Fatal(err)
	}
	got := shownAs(t, note)
	if got[0] != strconv.Itoa(os.Getuid()) || got[5] != "<p>picture</p>" || !strings.HasSuffix(got[4], ".html") {
		t.Errorf("the browser has written %q", got)
	}
	if said := outputtest.Content(t, a.err); !strings.Contains(said, got[4]) {
		t.Errorf("dx says %q, not where the picture is", said)
	}
}

// Behind sudo nothing of root's reaches the browser: user, groups, environment, directory.
func TestMapOpensAsWhoCalledSudo(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("this takes root")
	}
	note := standInBrowser(t, "0")
	t.Setenv("SUDO_UID", "65534")
	t.Setenv("SUDO_USER", "nobody")
	t.Setenv("TMPDIR", t.TempDir())
	if _, err := viewed(t, pictureFlag{format: "svg", set: true}); err != nil {
		t.Fatal(err)
	}
	got := shownAs(t, note)
	if got[0] != "65534" || strings.Contains(" "+got[1]+" ", " 0 ") || !strings.HasSuffix(got[2], "::7:") && !strings.HasSuffix(got[2], ":7:") || got[3] != "/" || !strings.HasSuffix(got[4], ".svg") {
		t.Errorf("the browser has written %q", got)
	}
}

func TestMapOpenRefuses(t *testing.T) {
	note := standInBrowser(t, "3")
	if os.Geteuid() == 0 {
		for _, uid := range []string{"", "0", "x"} {
			t.Setenv("SUDO_UID", uid)
			if _, err := viewed(t, pictureFlag{}); err == nil || !strings.Contains(err.Error(), "not started as root") {
				t.Errorf("root, SUDO_UID %q: %v", uid, err)
			}
		}
		t.Setenv("SUDO_UID", "65534")
	}
	if _, err := viewed(t, pictureFlag{format: "dot", set: true}); err == nil || !strings.Contains(err.Error(), "does not show dot") {
		t.Errorf("dot: %v", err)
	}
	if b, err := os.ReadFile(note); err != nil || len(b) > 0 {
		t.Errorf("a browser was started: %q, %v", b, err)
	}
	// What could not be shown is still there.
	_, err := viewed(t, pictureFlag{})
	if got := shownAs(t, note); err == nil || !strings.Contains(err.Error(), got[4]) {
		t.Errorf("a browser that fails: %v, which does not name %s", err, got[4])
	}
	t.Setenv("DISPLAY", "")
	t.Setenv("WAYLAND_DISPLAY", "")
	if os.Geteuid() != 0 { // else the user's session is looked for
		if _, err := viewed(t, pictureFlag{}); err == nil || !strings.Contains(err.Error(), "no display") {
			t.Errorf("without a display: %v", err)
		}
	}
}
