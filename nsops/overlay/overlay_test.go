package overlay

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// opened opens the directories of layers.
func opened(t *testing.T, upper string, lower ...string) Layers {
	t.Helper()
	open := func(name string) *os.File {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	l := Layers{Upper: open(upper)}
	for _, name := range lower {
		l.Lower = append(l.Lower, open(name))
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func compared(t *testing.T, l Layers) []string {
	t.Helper()
	c, err := Compare(l)
	if err != nil || c.Truncated || len(c.Renamed) > 0 {
		t.Fatalf("%+v, %v", c, err)
	}
	var out []string
	for _, one := range c.List {
		out = append(out, string(one.Kind)+" "+one.Path)
	}
	return out
}

// below are the layers of an image, the topmost last, as a shell makes them.
const below = `
mkdir -p 1/etc 1/opt/app/old 1/srv/keep 1/usr/bin
echo a >1/etc/passwd; echo b >1/etc/group; ln -s passwd 1/etc/link
echo c >1/opt/app/one; echo d >1/opt/app/old/two; echo e >1/srv/keep/file; echo f >1/usr/bin/tool; echo g >1/plain
mkdir -p 2/opt/app 2/usr/bin; echo h >2/opt/app/three; echo i >2/usr/bin/tool
`

// session is what happens in the container.
const session = `
echo more >>etc/passwd
rm etc/group
echo new >etc/new; mkdir -p deep/er; echo x >deep/er/file
rm -rf opt/app; mkdir opt/app; echo again >opt/app/one; echo four >opt/app/four
chmod 700 srv
touch -r usr/bin/tool stamp; cat usr/bin/tool >>/dev/null; chown 1:1 usr/bin/tool
rm plain; mkdir plain; echo in >plain/in
rm -rf srv/keep; echo file >srv/keep
rm etc/link; ln -s group etc/link
mkfifo etc/fifo
rm -f stamp
`

// changedBy is what docker diff would list.
var changedBy = []string{
	"A /deep", "A /deep/er", "A /deep/er/file",
	"C /etc", "A /etc/fifo", "D /etc/group", "C /etc/link", "A /etc/new", "C /etc/passwd",
	"C /opt", "C /opt/app", "A /opt/app/four", "D /opt/app/old", "C /opt/app/one", "D /opt/app/three",
	"C /plain", "A /plain/in",
	"C /srv", "C /srv/keep",
	"C /usr", "C /usr/bin", "C /usr/bin/tool",
}

func sh(t *testing.T, dir, script string) {
	t.Helper()
	cmd := exec.Command("sh", "-ec", script)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// TestCompareAnOverlay: the kernel makes the upper directory, diff(1) and docker's rules say
// what has changed.
func TestCompareAnOverlay(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounts need root")
	}
	top := t.TempDir()
	sh(t, top, below+"mkdir upper work merged")
	// A mount namespace of its own, so that nothing is left of the mount.
	cmd := exec.Command("unshare", "-m", "sh", "-ec",
		"mount -t overlay overlay -o lowerdir=2:1,upperdir=upper,workdir=work merged; cd merged; "+session)
	cmd.Dir = top
	if out, err := cmd.CombinedOutput(); err != nil {
		if strings.Contains(string(out), "mount:") {
			t.Skipf("no overlay here: %s", out)
		}
		t.Fatalf("%v: %s", err, out)
	}
	got := compared(t, opened(t, top+"/upper", top+"/2", top+"/1"))
	if diff := cmp.Diff(changedBy, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestCompareWhole: the same where the layer holds all of it, as with vfs.
func TestCompareWhole(t *testing.T) {
	top := t.TempDir()
	script := session
	if os.Geteuid() != 0 {
		script = strings.Replace(script, "chown 1:1 usr/bin/tool", "chmod 600 usr/bin/tool", 1)
	}
	sh(t, top, below+"cp -a 1 init; cp -a 2/. init; cp -a init new; cd new; "+script)
	l := opened(t, top+"/new", top+"/init")
	l.Whole = true
	if diff := cmp.Diff(changedBy, compared(t, l)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestCompareNothing: what was only opened, or copied up without a change, is unchanged.
func TestCompareNothing(t *testing.T) {
	top := t.TempDir()
	sh(t, top, below+"cp -a 1 upper")
	if got := compared(t, opened(t, top+"/upper", top+"/1")); len(got) > 0 {
		t.Errorf("%q, want no change", got)
	}
}

// TestCompareHostile: links that lead out, FIFOs, odd names, directories in each other
// without end.
func TestCompareHostile(t *testing.T) {
	top := t.TempDir()
	sh(t, top, `mkdir -p outside/secret upper lower; ln -s ../outside upper/out; ln -s ../outside lower/etc
mkdir upper/etc; echo x >upper/etc/secret; mkfifo upper/fifo`)
	if err := os.WriteFile(filepath.Join(top, "upper", "a\n\x1b[31m"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(top, "upper")
	for range maxDepth + 5 {
		at += "/d"
		if err := os.Mkdir(at, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	c, err := Compare(opened(t, top+"/upper", top+"/lower"))
	if err != nil || !c.Truncated {
		t.Fatalf("%d changes, truncated %v, %v, want the depth to be bounded", len(c.List), c.Truncated, err)
	}
	want := []Change{{Added, "/a\n\x1b[31m"}, {Added, "/d"}}
	if !slices.Equal(c.List[:2], want) {
		t.Errorf("%q, want %q", c.List[:2], want)
	}
	rest := c.List[len(c.List)-4:]
	// A link is no directory: what it leads to is none of the layer's.
	if want := []Change{{Changed, "/etc"}, {Added, "/etc/secret"}, {Added, "/fifo"}, {Added, "/out"}}; !slices.Equal(rest, want) {
		t.Errorf("%q, want %q", rest, want)
	}
}

// TestMarksOfTheWrongSpace: user.overlay.opaque is a container's to set, unless the mount says
// otherwise.
func TestMarksOfTheWrongSpace(t *testing.T) {
	top := t.TempDir()
	sh(t, top, "mkdir -p upper/d lower/d; echo x >lower/d/file")
	if err := unix.Setxattr(top+"/upper/d", "user.overlay.opaque", []byte("y"), 0); err != nil {
		if errors.Is(err, unix.ENOTSUP) {
			t.Skip("no extended attributes here")
		}
		t.Fatal(err)
	}
	l := opened(t, top+"/upper", top+"/lower")
	if got := compared(t, l); len(got) > 0 {
		t.Errorf("%q, want no change", got)
	}
	l.UserXattr = true
	if got := fmt.Sprint(compared(t, l)); got != "[C /d D /d/file]" {
		t.Errorf("%s, want the file to be deleted", got)
	}
}
