package e2e

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"dx/e2e/engine"
)

// forgedBundle makes a bundle in a directory that looks like one of root's, and a
// process in the host's own namespaces that stands in it, runs a program of root's that
// is called like a shim, and has a child: the user's mount namespace shows a directory of
// root's, through which the user's own files are seen ($FORM). The child is in that mount
// namespace, where /usr/bin/true is the user's program.
const forgedBundle = `
d=$DIR/m/io.containerd.runtime.v2.task/moby
mkdir -p low/$NAME bundle $d
echo '{"ociVersion":"1.0.2","root":{"path":"/"},"process":{"args":["x"],"cwd":"/","user":{"uid":0,"gid":0},
"capabilities":{"bounding":["CAP_DAC_OVERRIDE"],"permitted":["CAP_DAC_OVERRIDE"],"effective":["CAP_DAC_OVERRIDE"]}},
"linux":{"namespaces":[{"type":"mount"}]}}' >bundle/config.json
export d
unshare -U -r -m sh -ec '
	case $FORM in
	overlay) mount -t overlay none -o lowerdir=$ROOTED:$DIR/low $d;;
	bind) mount --bind $ROOTED $d;;
	esac
	mount --bind $DIR/bundle $d/$NAME
	mount --bind $DIR/true /usr/bin/true
	echo $$ >$DIR/holder; exec sleep 4242' &
until [ -s holder ]; do sleep 0.05; done
a=$(cat holder)
cd /proc/$a/root$d/$NAME
nsenter -t $a -U -m --preserve-credentials sleep 4242 &
echo $! >$DIR/bundle/init.pid
echo $! >$DIR/ready
[ -z "$BECOME" ] || exec $BECOME
wait
`

// TestAttackForgedBundle: stat says root's of any directory that a user shows by an
// overlay or a bind mount, and a bundle's word runs a program as root. Whoever is no
// shim of root's is not believed, in whatever directory it stands.
func TestAttackForgedBundle(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	for _, form := range []string{"overlay", "bind"} {
		t.Run(form, func(t *testing.T) { attackByBundle(t, e, form, strings.Repeat("f2", 32), "") })
		t.Run(form+" with a name for an ID", func(t *testing.T) { attackByBundle(t, e, form, e.Name("forged"), "") })
	}
}

// TestAttackBundleOfSetUID: a set-uid program of root's that waits as root, in the
// directory and with the children of the user who started it, is a process with all
// ids of root in the host's namespaces. It is no shim.
func TestAttackBundleOfSetUID(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	for _, name := range []string{"asroot", "containerd-shim-runc-v2"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, d := range []string{filepath.Dir(dir), dir} {
				if err := os.Chmod(d, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			program := filepath.Join(dir, name)
			copyFile(t, suite.Build(t, "dx/e2e/attacker/asroot"), program)
			if err := os.Chmod(program, 0o755|os.ModeSetuid); err != nil {
				t.Fatal(err)
			}
			attackByBundle(t, e, "overlay", strings.Repeat("f3", 32), program)
		})
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

// attackByBundle forges a bundle called name, and asks dx for it in every way.
func attackByBundle(t *testing.T, e *engine.Engine, form, name, become string) {
	t.Helper()
	m := forge(t, form, name, become)
	m.give(t, "bundle", "low", "m") // the process alone is left to be doubted
	for _, verb := range []string{"ps", "ns"} {
		if r := e.Dx(t, "--source", "host", verb, "--no-trunc"); strings.Contains(r.Stdout, name) || r.Code != 0 {
			t.Errorf("dx %s lists what a user has forged: %+v", verb, r)
		}
	}
	init := m.wait(t, "ready")
	for _, ref := range []string{name, name[:12], "pid:" + init} {
		r := e.Dx(t, "--source", "host", "exec", "--ignore-caller-limits", ref, "true")
		m.mustGainNothing(t, fmt.Sprintf("exec %s (%+v)", ref, r))
		if !strings.HasPrefix(ref, "pid:") && !strings.Contains(r.Stderr, "No such container") {
			t.Errorf("a forged bundle answers to %s: %+v", ref, r)
		}
	}
}

// give makes all that lies in directories of the user's root's, as a file system that tells
// wrong owners would show it.
func (m *mallory) give(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if out, err := exec.Command("chown", "-R", "-h", "0:0", filepath.Join(m.dir, name)).CombinedOutput(); err != nil {
			t.Fatalf("chown: %v: %s", err, out)
		}
	}
}

func forge(t *testing.T, form, name, become string) *mallory {
	t.Helper()
	m := newMallory(t)
	m.program(t, "true")
	if err := os.Mkdir(filepath.Join(m.rooted, name), 0o755); err != nil { // for the bind mount
		t.Fatal(err)
	}
	m.start(t, forgedBundle, "FORM="+form, "NAME="+name, "BECOME="+become)
	m.wait(t, "ready")
	return m
}

// TestAttackShadowsNoContainer: a forged bundle with the ID of a container that runs,
// or called by its name, neither takes its place nor keeps root out of it.
func TestAttackShadowsNoContainer(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox)
	for _, name := range []string{c.ID, c.Name} {
		for _, form := range []string{"overlay", "bind"} {
			t.Run(form, func(t *testing.T) {
				m := forge(t, form, name, "")
				getsIn(t, e, c, "--source", "host")
				e.Dx(t, "--source", "host", "exec", c.Name, "true")
				m.mustGainNothing(t, "exec "+c.Name)
			})
		}
	}
}

// TestAttackManyShims: each process that stands in what is called a bundle costs no
// descriptor, so that a user's processes keep root out of nothing.
func TestAttackManyShims(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox)
	m := newMallory(t)
	const many = `d=$DIR/io.containerd.runtime.v2.task/moby/$NAME; mkdir -p $d; cd $d
for i in 0 1 2 3 4 5 6 7 8 9; do for j in 0 1 2 3 4 5 6 7 8 9; do sleep 4242 & done; done; echo ready >$DIR/ready; wait`
	m.start(t, many, "NAME="+strings.Repeat("f4", 32))
	m.wait(t, "ready")
	dx := "ulimit -n 64; exec " + e.DxPath(t) + " --api-timeout 20s --source host ps --no-trunc"
	r := e.Do(t, engine.Command{Args: []string{"sh", "-c", dx}})
	if !strings.Contains(r.Stdout, c.ID) || r.Stderr != "" {
		t.Errorf("with a hundred processes of a user and 64 descriptors: %+v", r)
	}
}
