package e2e

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"dx/e2e/engine"
)

// TestInspectWithoutRoot shows what can be shown, and says in one line what cannot.
func TestInspectWithoutRoot(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox)
	r := e.Do(t, engine.Command{Args: []string{
		"setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups", "--inh-caps=-all",
		e.DxPath(t), "inspect", "pid:" + strconv.Itoa(c.PID),
	}})
	if r.Code != 0 || len(lines(r.Stderr)) != 1 || !strings.Contains(r.Stderr, "run with sudo") || !strings.Contains(r.Stdout, "CAP_NET_RAW") {
		t.Errorf("inspect without root: %v, want what can be seen, and one line that says to use sudo", r)
	}
}

func TestInspectRefuses(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox)
	r := e.Dx(t, "inspect", "-q", "nosuch", c.Name, "pid:4194999")
	if r.Code != 1 || r.Stdout != c.ID[:12]+"\n" || len(lines(r.Stderr)) != 2 {
		t.Errorf("inspect of one that is there and two that are not: %v, want exit code 1, its ID and a line about each other", r)
	}
	for _, args := range [][]string{{"inspect"}, {"inspect", "--format", "{{.Nope", c.Name}} {
		if r := e.Dx(t, args...); r.Code == 0 || r.Stdout != "" || r.Stderr == "" {
			t.Errorf("dx %q is not refused: %v", args, r)
		}
	}
}

// TestInspectIsSafe: a process names itself with control characters, and mounts on a
// path that has some.
func TestInspectIsSafe(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	evil := filepath.Join(t.TempDir(), "a\x1b[31mb\u202e")
	if err := os.Mkdir(evil, 0o755); err != nil {
		t.Fatal(err)
	}
	c := e.Run(t, engine.Busybox, "-v", evil+":/x\x1b[2J")
	for _, args := range [][]string{{"inspect", "--origins", c.Name}, {"diff", c.Name, "host"}, {"inspect", "--format", "json", c.Name}} {
		if r := e.Dx(t, args...); strings.ContainsAny(r.Stdout, "\x1b") || !strings.Contains(r.Stdout, "[2J") {
			t.Errorf("dx %q prints %q, want the path with its escape character escaped", args, r.Stdout)
		}
	}
}
