package host

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"dx/nsops/proc"
)

// TestTrustAsksTheProcess: a process of dx's own user counts; as a shim only by its
// program's name, and never with a set-uid program.
func TestTrustAsksTheProcess(t *testing.T) {
	trust, err := NewTrust()
	if err != nil {
		t.Fatal(err)
	}
	sh, err := os.ReadFile("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]struct {
		mode   os.FileMode
		reason string // why it is no shim; empty: it is
	}{
		"containerd-shim-runc-v2":  {0o755, ""},
		"containerd-shim-runsc-v1": {0o755, ""},
		"bash":                     {0o755, "its program is no shim"},
		"containerd-shim-sudo-v1":  {0o755 | os.ModeSetuid, "its program is set-uid"},
		"containerd-shim-sgid-v1":  {0o755 | os.ModeSetgid, "its program is set-uid"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), name)
			if err := os.WriteFile(file, sh, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(file, want.mode); err != nil {
				t.Fatal(err)
			}
			p := waiting(t, file)
			if err := os.Remove(file); err != nil { // as an upgrade does
				t.Fatal(err)
			}
			err := trust.Shim(p, webID)
			var not *DisbeliefError
			switch {
			case want.reason == "" && err != nil:
				t.Errorf("Shim: %v, want it believed", err)
			case want.reason != "" && (!errors.As(err, &not) || !strings.HasPrefix(not.Reason, want.reason) || not.PID != p.PID):
				t.Errorf("Shim: %v, want %q of pid %d", err, want.reason, p.PID)
			}
		})
	}
}

// waiting starts a shell that waits, until the test ends.
func waiting(t *testing.T, shell string) *proc.Process {
	t.Helper()
	cmd := exec.Command(shell, "-c", "echo; read line")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
	})
	if _, err := out.Read(make([]byte, 1)); err != nil { // it is the shell by now
		t.Fatal(err)
	}
	p, err := proc.Open(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// TestCgroupAloneProvesNothing of a process in dx's own namespaces.
func TestCgroupAloneProvesNothing(t *testing.T) {
	trust, err := NewTrust()
	if err != nil {
		t.Fatal(err)
	}
	self, err := proc.Self()
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	err = trust.Cgroup(self, webID)
	if err == nil || !strings.Contains(err.Error(), "dx's own PID namespace") || !strings.HasSuffix(err.Error(), ": not believed") {
		t.Errorf("Cgroup of the test itself: %v, want a refusal for its namespace", err)
	}
}

// at is where dx itself runs.
func at(id string, cgroups ...proc.Cgroup) func() own {
	return func() own { return own{id, cgroups} }
}

// TestInAnother: a cgroup in a container's may be that container's own making.
func TestInAnother(t *testing.T) {
	other := strings.Repeat("ab", 32)
	for base, want := range map[string]bool{
		"/docker/" + webID:                                         false,
		"/system.slice/docker-" + webID + ".scope":                 false,
		"/docker/" + other + "/docker/" + webID:                    true,
		"/kubepods/libpod-" + other + ".scope/init/x-" + webID:     true,
		"/../docker-" + strings.Repeat("cd", 32) + "/" + webID:     true,
		"/kubepods/burstable/pod1234-5678/cri-containerd-" + webID: false,
		"/machine.slice/machine-a.scope/payload/" + webID:          true,
		"/system.slice/runc-a.scope/" + webID:                      true,
		"/user.slice/session-1.scope/a/" + webID:                   true,
		"/user.slice/user@1.service/user.slice/docker-" + webID:    false,
		"/user.slice/user@2.service/user.slice/docker-" + webID:    true,
		"/lxc.payload.a/" + webID:                                  true,
		"/default/a/" + webID:                                      false,
	} {
		if got := (Trust{own: at("x"), uid: 1}).inAnother(proc.Cgroup{Path: base}, webID); got != want {
			t.Errorf("inAnother(%q) = %v, want %v", base, got, want)
		}
	}
	for what, test := range map[string]struct {
		trust Trust
		base  string
		want  bool
	}{
		"dx's own container":            {Trust{own: at(other)}, "/docker/" + other + "/docker/" + webID, false},
		"the unit in which dx is":       {Trust{own: at("", proc.Cgroup{Path: "/a.scope/b"})}, "/a.scope/c/" + webID, false},
		"another unit beside it":        {Trust{own: at("", proc.Cgroup{Path: "/a.scope/b"})}, "/a.scope/c.scope/" + webID, true},
		"dx's unit, in other cgroups":   {Trust{own: at("", proc.Cgroup{Path: "/a.scope", Controllers: []string{"pids"}})}, "/a.scope/" + webID, true},
		"a container that has its shim": {Trust{served: map[string]bool{"a": true}}, "/default/a/" + webID, true},
	} {
		if got := test.trust.inAnother(proc.Cgroup{Path: test.base}, webID); got != test.want {
			t.Errorf("%s: %v, want %v", what, got, test.want)
		}
	}
}

// TestOpenWithoutLinks: no component may be a link.
func TestOpenWithoutLinks(t *testing.T) {
	top, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(top+"/a/b", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("a", top+"/link"); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"/a/b": true, "/link/b": false, "/link": false, "/a/x": false} {
		h, err := openWithoutLinks(top + name)
		h.close()
		if (err == nil) != want {
			t.Errorf("openWithoutLinks(%s): %v, want it opened: %v", name, err, want)
		}
	}
}
