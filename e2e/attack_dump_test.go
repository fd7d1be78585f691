package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"dx/e2e/await"
	"dx/e2e/engine"
)

// A daemon writes its goroutines where every user may make files, and dx, which is
// root, asks for it and reads what lies there. A user puts something else in its place:
// files of the right name, links, both in turn.

// dumpSecret is what only root may read.
const dumpSecret = "only-root-may-read-this"

// sharedTemp is the directory for temporary files, the daemons' too, where every user
// may make some, and a file of root's elsewhere.
func sharedTemp(t *testing.T, m *mallory) (dir, victim string) {
	t.Helper()
	dir, victim = os.TempDir(), m.secret+"/victim"
	if st, err := os.Stat(dir); err != nil || st.Mode()&(os.ModeSticky|0o777) != os.ModeSticky|0o777 {
		t.Skipf("not every user may make files in %s: %v %v", dir, st.Mode(), err)
	}
	if err := os.WriteFile(victim, []byte(dumpSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removePlanted(t, dir) })
	return dir, victim
}

// removePlanted removes what the user has left among the temporary files.
func removePlanted(t *testing.T, dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Error(err)
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			continue // it has gone
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid == malloryID && !info.IsDir() {
			_ = os.Remove(filepath.Join(dir, entry.Name()))
		}
	}
}

// unchanged fails if root's file has been written to.
func unchanged(t *testing.T, victim, by string) {
	t.Helper()
	b, err := os.ReadFile(victim)
	if err != nil {
		t.Fatal(err)
	}
	if string(b) != dumpSecret {
		t.Errorf("%s: a file of root's is overwritten: %.60q", by, b)
	}
}

// TestPlantedDumps: files that are called like a dump, and a name that is now a file,
// now a link to a file of root's.
func TestPlantedDumps(t *testing.T) {
	m := newMallory(t)
	dir, victim := sharedTemp(t, m)
	e := suite.Start(t, engine.Options{})
	containerd, err := e.ContainerdPID()
	if err != nil {
		t.Fatal(err)
	}
	exchanger := m.dir + "/exchanger"
	copyFile(t, suite.Build(t, "dx/e2e/attacker/exchanger"), exchanger)
	if err := os.Chmod(exchanger, 0o755); err != nil {
		t.Fatal(err)
	}
	m.start(t, fmt.Sprintf(`cd %s
for n in $(seq 2000); do f=containerd.$n$n.stacks.log; [ -e $f ] || echo "goroutine 1 [planted]:" >$f; done
exec $DIR/exchanger containerd.1.stacks.log %s >$DIR/ready`, dir, victim))
	m.wait(t, "ready")
	for range 20 {
		bundle := filepath.Join(t.TempDir(), "bundle.tgz")
		r, _ := examine(t, e, "--timeout", "4s", "--dump", "--bundle", bundle)
		for _, d := range r.Dumps {
			if want := fmt.Sprintf("%s/containerd.%d.stacks.log", dir, containerd); d.Of == "containerd" && d.File != want {
				t.Errorf("dumped %s, want %s: %+v", d.File, want, d)
			}
			if d.Error != "" || d.Goroutines < 10 {
				t.Errorf("no dump: %+v", d)
			}
		}
		if strings.Contains(output(t, "tar", "xzOf", bundle), dumpSecret) {
			t.Error("the bundle holds a file that only root may read")
		}
	}
	unchanged(t, victim, "while links are exchanged")
}

// TestDumpThroughLink: the very name to which containerd writes, before it does. It
// follows links, also out of the directory.
func TestDumpThroughLink(t *testing.T) {
	m := newMallory(t)
	dir, victim := sharedTemp(t, m)
	e := suite.Start(t, engine.Options{})
	containerd, err := e.ContainerdPID()
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("%s/containerd.%d.stacks.log", dir, containerd)
	for what, script := range map[string]string{
		"a link":          "ln -s " + victim + " " + name,
		"a file":          "echo 'goroutine 1 [planted]:' >" + name,
		"a FIFO":          "mkfifo " + name,
		"a link to a tty": "ln -s /dev/tty " + name,
	} {
		m.start(t, script+"; echo ready >$DIR/ready")
		m.wait(t, "ready")
		r, _ := examine(t, e, "--timeout", "4s", "--dump")
		i := slices.IndexFunc(r.Dumps, func(d doctorDump) bool { return d.Of == "containerd" })
		if i < 0 || !strings.Contains(r.Dumps[i].Error, "gets no signal") || r.Dumps[i].File != "" {
			t.Errorf("%s: %+v", what, r.Dumps)
		}
		unchanged(t, victim, what)
		for _, left := range []string{name, m.dir + "/ready"} {
			if err := os.Remove(left); err != nil {
				t.Fatal(err)
			}
		}
	}
	r, _ := examine(t, e, "--timeout", "4s", "--dump")
	for _, d := range r.Dumps {
		if d.Error != "" || d.Goroutines < 10 {
			t.Errorf("without a planted file: %+v", d)
		}
	}
}

// TestDumpLeavesUsersEngine: a user's process listens where root has been told to ask,
// is called dockerd, and says where its files lie.
func TestDumpLeavesUsersEngine(t *testing.T) {
	m := newMallory(t)
	e := suite.Engine(t, engine.Host)
	program := m.dir + "/dockerd"
	copyFile(t, suite.Build(t, "dx/e2e/attacker/listener"), program)
	if err := os.Chmod(program, 0o755); err != nil {
		t.Fatal(err)
	}
	socket := m.dir + "/d.sock"
	m.start(t, "exec "+program+" "+socket+" --data-root="+m.rooted+" --exec-root="+m.dir+" --containerd="+strings.TrimPrefix(e.Host, "unix://")+" >$DIR/ready")
	m.wait(t, "ready")
	r, _ := examine(t, e, "-H", "unix://"+socket, "--dump")
	if len(r.Dumps) != 1 || !strings.Contains(r.Dumps[0].Error, "gets no signal: it runs as uid 54321") {
		t.Errorf("dumps %+v, want none as it is a user's", r.Dumps)
	}
	if r.Engine.PID == 0 || r.Engine.DataRoot+r.Engine.ExecRoot+r.Engine.Containerd != "" {
		t.Errorf("its word is believed: %+v", r.Engine)
	}
}

// TestDumpLeavesOtherEngines: the engine that was asked is not there, or is another
// than the one whose shims and containerd are in sight.
func TestDumpLeavesOtherEngines(t *testing.T) {
	m := newMallory(t)
	dir, _ := sharedTemp(t, m)
	e := suite.Start(t, engine.Options{})
	e.Run(t, engine.Busybox) // its shim names its containerd
	other := suite.Start(t, engine.Options{})
	for _, host := range []string{"unix://" + dir + "/none.sock", other.Host, "unix://" + deafSocket(t, 8)} {
		r, _ := examine(t, e, "-H", host, "--timeout", "4s", "--dump")
		containerd, err := e.ContainerdPID()
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range r.Dumps {
			if d.PID == e.PID || d.PID == containerd {
				t.Errorf("%s: a daemon of another engine was signalled: %+v", host, d)
			}
		}
		if host != other.Host && (r.Engine.ContainerdPID != 0 || len(r.Dumps) != 1 || !strings.Contains(r.Dumps[0].Error, "no signal")) {
			t.Errorf("%s: containerd %d, dumps %+v; want none, and why", host, r.Engine.ContainerdPID, r.Dumps)
		}
		if left, _ := filepath.Glob(fmt.Sprintf("%s/containerd.%d.*", dir, containerd)); len(left) > 0 {
			t.Errorf("%s: %q", host, left)
		}
	}
	await.Until(t, "the engine still answers", func() bool { return e.Docker(t, "version").Code == 0 })
}
