package host

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dx/e2e/await"
	"dx/e2e/standin"
	"dx/nsops/launch"
	"dx/nsops/proc"
)

// usersEngine is a program of a plain user's that is called as one which keeps containers. It
// has a child, and whatever else that user would have root believe.
type usersEngine struct {
	id, dir, bundle string
	keeper, init    int
}

// keeps starts it, in what the command before it makes.
func keeps(t *testing.T, program string, before []string, pidfile string) usersEngine {
	t.Helper()
	standin.NeedRoot(t)
	shell, err := os.ReadFile("/bin/sh")
	standin.Must(t, err)
	dir := t.TempDir()
	u := usersEngine{id: standin.ID(t, fmt.Sprintf("%04x", len(program))), dir: dir}
	u.bundle = dir + "/overlay-containers/" + u.id + "/userdata"
	if program != "conmon" {
		u.bundle = dir + "/io.containerd.runtime.v2.task/moby/" + u.id
	}
	script := "(cd /; exec sh -c 'echo >" + dir + "/another; exec sleep 1000') & echo $! >" + dir + "/child; [ -e " + dir + "/pidfile ] || echo $! >" + dir + "/pidfile; read -r n <" + dir + "/pidfile; echo $n >init.pid; wait"
	standin.Must(t, errors.Join(os.MkdirAll(u.bundle, 0o755), os.WriteFile(dir+"/"+program, shell, 0o755), os.WriteFile(dir+"/script", []byte(script), 0o644)))
	if pidfile != "" {
		standin.Must(t, os.WriteFile(dir+"/pidfile", []byte(pidfile), 0o644))
	}
	standin.Must(t, errors.Join(os.Chmod(filepath.Dir(dir), 0o755), filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		return errors.Join(err, os.Chmod(name, 0o755), os.Chown(name, standin.Nobody, standin.Nobody))
	})))
	args := slices.Concat(before, []string{dir + "/" + program, dir + "/script", "-c", u.id, "-u", u.id, "-b", u.bundle, "-n", "web", "-r", "/usr/bin/runc", "-p", dir + "/pidfile"})
	cmd := exec.Command("setpriv", append([]string{"--reuid", "65534", "--regid", "65534", "--clear-groups"}, args...)...)
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	cmd.Dir = u.bundle
	standin.Must(t, cmd.Start())
	t.Cleanup(func() { _ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL); _ = cmd.Wait() })
	u.keeper = cmd.Process.Pid
	// Until it is another program elsewhere, the child is a second one that is called so.
	await.Until(t, program+" has a child", func() bool {
		b, _ := os.ReadFile(dir + "/child")
		u.init, _ = strconv.Atoi(strings.TrimSpace(string(b)))
		_, err := os.Stat(dir + "/another")
		file, _ := os.ReadFile(u.bundle + "/init.pid")
		return u.init != 0 && err == nil && len(file) > 0
	})
	return u
}

// found are the containers of a listing that have the ID.
func (u usersEngine) found(t *testing.T) (out []*Found, doubts []error) {
	t.Helper()
	l, err := List(func(err error) { t.Log(err) })
	standin.Must(t, err)
	t.Cleanup(l.Close)
	for _, f := range l.Found {
		if f.ID == u.id || f.PID == u.init {
			out = append(out, f)
		}
	}
	return out, l.Doubts(u.id)
}

var asRoot = []string{"unshare", "-U", "-r"} // of a user namespace of his own

// TestUsersContainer: what keeps a container in a user's own namespace is believed for that
// user, whatever it calls it, and by no other name.
func TestUsersContainer(t *testing.T) {
	for program, called := range map[string]string{"conmon": "podman:nobody/web", "containerd-shim-runc-v2": "docker:nobody/"} {
		u := keeps(t, program, asRoot, "")
		found, doubts := u.found(t)
		if len(found) != 1 || found[0].PID != u.init || len(doubts) != 0 {
			t.Fatalf("%s: found %v, doubts %v, want pid %d once", program, found, doubts, u.init)
		}
		f := found[0]
		if e := f.Engine(); e.Owner != standin.Nobody || e.Docker || !e.Foreign() || !strings.HasPrefix(f.Called(), called) || !e.OwnedBy("65534") {
			t.Errorf("%s: %+v, called %s", program, e, f.Called())
		}
		p := standin.Open(t, u.init)
		b, err := f.BundleOf(p)
		standin.Must(t, err)
		if b.Owner != standin.Nobody || b.Path != u.bundle {
			t.Errorf("%s: bundle %s of %d", program, b.Path, b.Owner)
		}
		b.Close()
		if by, err := Open(p); err != nil || by.Owner != standin.Nobody {
			t.Errorf("%s, by its init: %+v, %v", program, by, err)
		} else {
			by.Close()
		}
	}
}

// TestForgedUsersContainer: no process is a user's container by that user's word that the
// kernel does not show in a namespace of his and as a child of what keeps it; and nothing
// is read that he could not read.
func TestForgedUsersContainer(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	standin.Must(t, errors.Join(os.WriteFile(secret, []byte("secret"), 0o600), os.Chmod(filepath.Dir(secret), 0o755)))
	t.Run("another process", func(t *testing.T) {
		victim := standin.Start(t, exec.Command("cat"))
		u := keeps(t, "conmon", asRoot, strconv.Itoa(victim.PID))
		if found, _ := u.found(t); len(found) != 0 {
			t.Errorf("found %v by the number of root's process", found[0].PID)
		}
	})
	for what, test := range map[string]struct {
		before []string
		doubt  string
	}{
		"in no namespace of his":     {[]string{"env"}, "it runs as uid 65534"},
		"in one within":              {slices.Concat(asRoot, asRoot), "within that of a user's engine"},
		"without CAP_SYS_ADMIN":      {append(asRoot, "setpriv", "--inh-caps=-sys_admin", "--bounding-set=-sys_admin"), "lacks CAP_SYS_ADMIN"},
		"in a PID namespace as well": {append(asRoot, "--pid", "--fork"), ""},
	} {
		t.Run(what, func(t *testing.T) {
			u := keeps(t, "conmon", test.before, "")
			found, doubts := u.found(t)
			if len(found) != 0 || test.doubt != "" && (len(doubts) != 1 || !strings.Contains(doubts[0].Error(), test.doubt)) {
				t.Errorf("found %v, doubts %v, want %q", found, doubts, test.doubt)
			}
		})
	}
	u := keeps(t, "conmon", asRoot, "")
	found, _ := u.found(t)
	if len(found) != 1 {
		t.Fatal("the user's container is not found")
	}
	b, err := found[0].BundleOf(standin.Open(t, u.init))
	standin.Must(t, err)
	defer b.Close()
	for what, make := range map[string]func(string) error{
		"a link to root's file": func(name string) error { return os.Symlink(secret, name) },
		"a FIFO":                func(name string) error { return unix.Mkfifo(name, 0o644) },
		"endless":               func(name string) error { return os.Symlink("/dev/zero", name) },
		"nothing":               func(string) error { return nil },
		"half of it":            func(name string) error { return os.WriteFile(name, []byte(`{"process":`), 0o644) },
	} {
		name := u.bundle + "/config.json"
		standin.Must(t, make(name))
		if spec, err := b.Spec(); err == nil || strings.Contains(err.Error(), "secret\n") {
			t.Errorf("%s: %v, %v", what, spec, err)
		}
		_ = os.Remove(name)
	}
}

// TestUsersAreBounded: how many containers of a user's are found, and how often one who does not
// answer is asked.
func TestUsersAreBounded(t *testing.T) {
	var c perUser
	taken := 0
	for range maxOfUser + 100 {
		if c.take(1000) {
			taken++
		}
	}
	if taken != maxOfUser || !c.take(1001) {
		t.Errorf("%d of one user's are found", taken)
	}
	silent := false
	u := &userFiles{silent: &silent}
	if err := u.asked(fmt.Errorf("read: %w", launch.ErrSilent)); !errors.Is(err, launch.ErrSilent) || !silent {
		t.Errorf("%v, %v: a silence is forgotten", err, silent)
	}
	if _, err := u.read("/x"); !errors.Is(err, launch.ErrSilent) {
		t.Errorf("%v: one who does not answer is asked again", err)
	}
}

// TestUserNames: whom a reference can name.
func TestUserNames(t *testing.T) {
	for name, want := range map[string]bool{"alice": true, "_a-1": true, "a.b": true, "": false, "0a": false, "-a": false, "a/b": false, "a b": false, "a\n": false} {
		if isAccount(name) != want {
			t.Errorf("%q is an account: %v", name, !want)
		}
	}
	if got := userName(4294967294); got != "4294967294" {
		t.Errorf("a user without an account is %s", got)
	}
	cgroups := func(path string) []proc.Cgroup { return []proc.Cgroup{{Path: path}} }
	id := fmt.Sprintf("%064x", 7)
	for path, want := range map[string]bool{"/user.slice/libpod-conmon-" + id + ".scope": false, "/libpod-" + id + ".scope": true, "/libpod-" + id + ".scope/libpod-conmon-" + id + ".scope": true, "/": false} {
		if _, ok := keptIn(cgroups(path)); ok != want {
			t.Errorf("%s is a container's: %v", path, ok)
		}
	}
}
