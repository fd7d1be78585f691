package host

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"dx/e2e/standin"
	"dx/nsops/proc"
)

// TestNamesOfRecords: what is found by a manager's word has names that lead back to it alone.
func TestNamesOfRecords(t *testing.T) {
	type names struct{ called, qualified, engine string }
	pod := Pod{Namespace: "prod", Name: "nginx", Container: "web"}
	for _, test := range []struct {
		of   record
		want names
	}{
		{record{id: someID, name: "web", engine: Engine{Manager: "podman", Namespace: "/var/lib/containers/storage"}}, names{"podman:web", "podman:" + someID[:12], "podman"}},
		{record{id: someID, name: "web", engine: Engine{Manager: "podman", Namespace: "/srv/store"}}, names{"podman:web", "podman:" + someID[:12], "podman:/srv/store"}},
		{record{id: someID, name: "k8s_web", pod: pod, engine: Engine{Manager: "cri-o"}}, names{"k8s:prod/nginx/web", "cri-o:" + someID[:12], "cri-o"}},
		{record{id: "lx1", name: "lx1", engine: Engine{Manager: "lxc", Namespace: "/var/lib/lxc"}}, names{"lxc:lx1", "lxc:lx1", "lxc"}},
		{record{id: "b1", name: "b1", engine: Engine{Manager: "buildah"}}, names{"runc:b1", "runc:b1", "buildah"}},
	} {
		test.of.image = "bb"
		f := (&Listing{}).foundBy(&test.of)
		if got := (names{f.Called(), f.Qualified(), f.EngineName()}); got != test.want || f.Image() != "bb" || f.Pod() != test.of.pod {
			t.Errorf("%+v: %+v, image %q, pod %v; want %+v", test.of, got, f.Image(), f.Pod(), test.want)
		}
	}
	if s := (Pod{Namespace: "prod", Name: "nginx", Sandbox: true}).String(); s != "prod/nginx" {
		t.Errorf("a sandbox is called %q", s)
	}
}

// TestWhatARecordNames: the process that it means, for as long as that lives, and no other.
func TestWhatARecordNames(t *testing.T) {
	self, err := proc.Open(os.Getpid())
	standin.Must(t, err)
	defer self.Close()
	r := &record{id: "b1", pid: self.PID, start: self.StartTime, proof: "its state", bundle: handle{fd: none}}
	f := (&Listing{}).foundBy(r)
	if proof, ok := f.Vouched(self); !ok || proof == "" {
		t.Errorf("%q, %v: its own process is not vouched for", proof, ok)
	}
	if _, err := bundleBy(r, self); err == nil {
		t.Error("a bundle is made of none")
	}
	for what, r := range map[string]*record{
		"a recycled PID": {pid: self.PID, start: self.StartTime + 1}, "another": {pid: 1, start: self.StartTime},
		"nobody's child, without a start": {pid: self.PID},
	} {
		if _, ok := (&Listing{}).foundBy(r).Vouched(self); ok {
			t.Errorf("%s is vouched for", what)
		}
	}
	keeper, err := r.keeper()
	if err != nil || keeper.PID != self.PID {
		t.Errorf("whose child a command is: %v, %v, want this process's", keeper, err)
	}
	keeper.Close()
}

// TestChildOfAMonitor: LXC's monitor has one child, the init. Of several, none is meant.
func TestChildOfAMonitor(t *testing.T) {
	self, err := proc.Open(os.Getpid())
	standin.Must(t, err)
	defer self.Close()
	m := &monitor{believed: believed{Process: self}, args: []string{"[lxc monitor] /var/lib/lxc lx1"}}
	kept := func() *record {
		t.Helper()
		cmd := exec.Command("sleep", "1000")
		standin.Must(t, cmd.Start())
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		r, err := lxc{}.kept(m, stores{})
		standin.Must(t, err)
		if r != nil && (r.pid != cmd.Process.Pid || r.id != "lx1" || r.engine != Engine{Manager: "lxc", Namespace: "/var/lib/lxc"}) {
			t.Errorf("%+v, want pid %d of lx1", r, cmd.Process.Pid)
		}
		return r
	}
	if kept() == nil {
		t.Error("the only child is not the init")
	}
	if r := kept(); r != nil {
		t.Errorf("of two children pid %d is the init", r.pid)
	}
	m.args = []string{"lxc-start", "lx1"}
	if r, err := (lxc{}).kept(m, stores{}); r != nil || err != nil {
		t.Errorf("lxc-start itself keeps %v, %v", r, err)
	}
}

// TestLeaderOfAMachine: the leader counts while it is in the machine's unit.
func TestLeaderOfAMachine(t *testing.T) {
	in := []proc.Cgroup{{Path: "/"}, {Path: "/machine.slice/machine-nsp1.scope/payload"}}
	for unit, want := range map[string]bool{"machine-nsp1.scope": true, "nsp1.scope": false, "machine-nsp1": false, "": false} {
		if got := inScope(in, unit); got != want {
			t.Errorf("in %q: %v, want %v", unit, got, want)
		}
	}
	for what, m := range map[string]machine{
		"one that has left": {name: "nsp1", scope: "machine-nsp1.scope", leader: os.Getpid()}, "nobody": {name: "nsp1", scope: "x.scope", leader: 1 << 22},
	} {
		if r := m.record(); r != nil {
			t.Errorf("%s leads a machine: %+v", what, r)
		}
	}
}

// TestNamedByItsStorage: the name is that of the storage in which the bundle lies, which must be
// root's alone.
func TestNamedByItsStorage(t *testing.T) {
	standin.NeedRoot(t)
	self, err := proc.Open(os.Getpid())
	standin.Must(t, err)
	defer self.Close()
	store := t.TempDir()
	standin.Must(t, os.Chmod(store, 0o700))
	standin.Must(t, os.WriteFile(filepath.Join(store, "containers.json"), []byte(`[{"id":"`+someID+`","names":["renamed"]}]`), 0o600))
	name := func() string {
		r := &record{id: someID, name: "web", engine: Engine{Manager: "podman"}, bundle: handle{fd: none}}
		r.named(self, store+"/"+someID+"/userdata", newStores())
		return r.name
	}
	got := []string{name()}
	standin.Must(t, os.Chmod(store, 0o777))
	got = append(got, name())
	standin.Must(t, os.Chmod(store, 0o700))
	standin.Must(t, unix.Chown(store, standin.Nobody, standin.Nobody))
	got = append(got, name())
	if diff := cmp.Diff([]string{"renamed", "web", "web"}, got); diff != "" {
		t.Errorf("root's, one that others may write to, a user's (-want +got):\n%s", diff)
	}
}
