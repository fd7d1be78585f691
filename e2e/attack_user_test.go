package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"dx/e2e/engine"
)

// mallory is a plain user of the host, whom nothing belongs to but a directory.
type mallory struct {
	dir    string // is the user's
	secret string // is root's alone: whoever makes a file in it is root
	rooted string // is root's, and everybody may look
}

const malloryID = 54321

func newMallory(t *testing.T) *mallory {
	t.Helper()
	engine.Require(t, engine.Root, engine.Capsh, engine.Lsns)
	top := t.TempDir()
	m := &mallory{dir: top + "/home", secret: top + "/secret", rooted: top + "/rooted"}
	for dir, mode := range map[string]os.FileMode{m.dir: 0o755, m.secret: 0o700, m.rooted: 0o755} {
		if err := os.Mkdir(dir, mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{filepath.Dir(top), top, m.dir, m.rooted} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(m.dir, malloryID, malloryID); err != nil {
		t.Fatal(err)
	}
	return m
}

// start runs a shell script as the user, until the test ends. The shell is a program of
// root's that is called like containerd's shim ($SHIM): whoever runs it is refused for
// another reason than its name and its owner.
func (m *mallory) start(t *testing.T, script string, env ...string) *exec.Cmd {
	t.Helper()
	shim := filepath.Join(filepath.Dir(m.dir), "containerd-shim-runc-v2")
	copyProgram(t, "sh", shim, 0o755)
	return m.run(t, append(env, "DIR="+m.dir, "SECRET="+m.secret, "ROOTED="+m.rooted, "SHIM="+shim), shim, "-ec", script)
}

// run runs a program as the user, until the test ends.
func (m *mallory) run(t *testing.T, env []string, argv ...string) *exec.Cmd {
	t.Helper()
	id := strconv.Itoa(malloryID)
	cmd := exec.Command("setpriv", append([]string{"--reuid", id, "--regid", id, "--clear-groups"}, argv...)...)
	cmd.Dir = m.dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + m.dir}, env...)
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
		if b, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("the attacker said:\n%s", b)
		}
		log.Close()
	})
	return cmd
}

// wait waits until the user's script has written a file, and returns its text.
func (m *mallory) wait(t *testing.T, name string) string {
	t.Helper()
	var text string
	eventually(t, "the attacker is ready ("+name+")", func() bool {
		b, _ := os.ReadFile(filepath.Join(m.dir, name))
		text = strings.TrimSpace(string(b))
		return text != ""
	})
	if text == "" {
		t.FailNow()
	}
	return text
}

// mustGainNothing fails if a program of the user's has run as root.
func (m *mallory) mustGainNothing(t *testing.T, when string) {
	t.Helper()
	if _, err := os.Lstat(m.secret + "/owned"); err == nil {
		t.Errorf("%s: a program of the user's has run as root of the host", when)
		_ = os.Remove(m.secret + "/owned")
	}
}

// program writes a shell script that notes whether it runs as root of the host.
func (m *mallory) program(t *testing.T, name string) string {
	t.Helper()
	file := filepath.Join(m.dir, name)
	script := "#!/bin/sh\necho the program of the user runs as $(id -u), with the password $PASSWORD\n: >" + m.secret + "/owned\n"
	if err := os.WriteFile(file, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return file
}
