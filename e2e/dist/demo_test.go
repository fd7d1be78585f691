package dist

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// demoTime is how long the demo may take until a text comes, on a busy machine.
const demoTime = 5 * time.Minute

// TestDemo runs what `make demo` runs, once to its end and once until ctrl-C. Nothing may
// be left of it.
func TestDemo(t *testing.T) {
	if os.Getenv(askedEnv) == "" {
		t.Skip("skipped: this starts an engine twice; make e2e-dist runs it, or " + askedEnv + "=1")
	}
	need(t, "dockerd")
	dir := t.TempDir()
	run(t, "../..", "go", "build", "-o", dir+"/dx", "./cmd/dx")
	run(t, "../..", "go", "build", "-o", dir+"/demo", "./e2e/demo")
	t.Run("to the end", func(t *testing.T) {
		d := startDemo(t, dir)
		if err := d.cmd.Wait(); err != nil {
			t.Fatalf("%v\n%s", err, d.text())
		}
		for _, want := range []string{"(exit code 124)", "is stopped (state T); falling back to host discovery", "HUNG: dockerd", "(exit code 2)", "uid=0(root)", "setns("} {
			if !strings.Contains(d.text(), want) {
				t.Errorf("%q is not in what the demo shows:\n%s", want, d.text())
			}
		}
		d.mustLeaveNothing(t)
	})
	t.Run("ctrl-C", func(t *testing.T) {
		d := startDemo(t, dir)
		for end := time.Now().Add(demoTime); !strings.Contains(d.text(), "docker does not come back"); time.Sleep(50 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("dockerd was not stopped:\n%s", d.text())
			}
		}
		if err := syscall.Kill(-d.cmd.Process.Pid, syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		if err := d.cmd.Wait(); err == nil {
			t.Error("a demo that was interrupted has exit code 0")
		}
		d.mustLeaveNothing(t)
	})
}

type demo struct {
	cmd  *exec.Cmd
	mark string // in the environment of all that it starts
	mu   sync.Mutex
	out  bytes.Buffer
}

func (d *demo) Write(b []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.out.Write(b)
}

func (d *demo) text() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.out.String()
}

func startDemo(t *testing.T, dir string) *demo {
	t.Helper()
	d := &demo{mark: fmt.Sprintf("DX_DEMO_MARK=%s-%d", filepath.Base(dir), os.Getpid())}
	d.cmd = exec.Command(dir+"/demo", dir+"/dx")
	d.cmd.Env = append(os.Environ(), d.mark)
	d.cmd.Stdout, d.cmd.Stderr = d, d
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.cmd.Process.Kill() }) // it may have ended
	return d
}

// mustLeaveNothing waits until no process has the mark. What lies in the world's own file
// systems goes with its last process.
func (d *demo) mustLeaveNothing(t *testing.T) {
	t.Helper()
	var left []string
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		left = nil
		files, err := filepath.Glob("/proc/[0-9]*/environ")
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if b, err := os.ReadFile(file); err == nil && bytes.Contains(b, []byte(d.mark)) {
				left = append(left, file)
			}
		}
		if len(left) == 0 {
			return
		}
	}
	t.Errorf("the demo has left %q", left)
}
