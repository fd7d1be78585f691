package e2e

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dx/e2e/engine"
)

// changeSome changes a container's files in all ways that there are.
const changeSome = `
echo more >>/etc/passwd; rm /etc/group
mkdir -p /new/deep; echo x >/new/deep/file; ln -s /etc/shadow /new/link; mkfifo /new/fifo; mknod /new/null c 1 3
rm -rf /home; mkdir /home; echo x >/home/again
chmod 700 /tmp; touch "/new/a
b"
mv /bin/sh.gone /bin/sh.gone2 2>/dev/null; cat /etc/passwd >/dev/null
`

// isDockerDiff compares the changed files of a container with docker's word; docker lists them
// in no order.
func isDockerDiff(t *testing.T, e *engine.Engine, ref string) {
	t.Helper()
	want := strings.Split(strings.TrimSuffix(strings.ReplaceAll(e.MustDocker(t, "diff", ref).Stdout, "a\nb\n", "a b\n"), "\n"), "\n")
	slices.Sort(want)
	for _, source := range []string{"engine", "host"} {
		r := e.Dx(t, "--source", source, "diff", "--format", "json", ref)
		var got []string
		for _, line := range lines(r.Stdout) {
			var l struct{ Type, Path string }
			if err := json.Unmarshal([]byte(line), &l); err != nil {
				t.Fatal(err)
			}
			got = append(got, l.Type+" "+strings.ReplaceAll(l.Path, "\n", " "))
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" || r.Code != 0 {
			t.Errorf("by %s: %v (-docker +dx):\n%s", source, r, diff)
		}
	}
}

// TestDiffIsDockerDiff: of a container that runs, and of the same one that has ended.
func TestDiffIsDockerDiff(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox, "-v", "/mounted/here")
	isDockerDiff(t, e, c.Name)
	e.MustDocker(t, "exec", c.Name, "sh", "-c", changeSome)
	isDockerDiff(t, e, c.Name)
	if r := e.Dx(t, "diff", c.Name); r.Code != 0 || !strings.Contains(r.Stdout, "C /etc\nD /etc/group\nC /etc/passwd\n") || !strings.Contains(r.Stdout, `A /new/a\nb`) {
		t.Errorf("for people: %v", r)
	}
	e.KillContainer(t, c.Name)
	isDockerDiff(t, e, c.ID)
	for _, args := range [][]string{{"nosuch"}, {"host"}, {"--all", c.Name}} {
		if r := e.Dx(t, append([]string{"diff"}, args...)...); r.Code == 0 || r.Stdout != "" || r.Stderr == "" {
			t.Errorf("dx diff %q: %v", args, r)
		}
	}
}
