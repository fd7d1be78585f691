package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"dx/e2e/await"
	"dx/e2e/engine"
)

// traces is what a run of dx could leave: processes and cgroups of the
// container, mounts in it and here.
func traces(t *testing.T, c engine.Container) []string {
	t.Helper()
	var out []string
	// A v2 engine's hierarchy is the one that a hybrid host has on "unified".
	walkErr := filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err == nil && strings.Contains(path, c.ID) && (d.IsDir() || d.Name() == "cgroup.procs"):
			b, _ := os.ReadFile(path) // a directory has no text
			out = append(append(out, path), strings.Fields(string(b))...)
			return nil
		case errors.Is(err, fs.ErrNotExist):
			return nil // another engine's container has just gone
		}
		return err
	})
	if walkErr != nil {
		t.Fatalf("look for what is left in the cgroups: %v", walkErr)
	}
	for _, pid := range []string{"self", fmt.Sprint(c.PID)} {
		b, err := os.ReadFile("/proc/" + pid + "/mountinfo")
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, mountPoints(string(b))...)
	}
	slices.Sort(out)
	return out
}

// mountPoints leaves out what engines mount for containers that come and go:
// images and network namespaces.
func mountPoints(mountinfo string) []string {
	var out []string
	for _, line := range strings.Split(mountinfo, "\n") {
		f := strings.Fields(line)
		if len(f) > 4 && !strings.Contains(f[4], "/overlay2/") && !strings.Contains(f[4], "/netns/") && !strings.HasSuffix(f[4], "/shm") {
			out = append(out, f[4])
		}
	}
	return out
}

func mustLeaveNothing(t *testing.T, c engine.Container, do func()) {
	t.Helper()
	before := traces(t, c)
	do()
	var extra []string
	nothing := func() bool {
		extra = missing(before, traces(t, c))
		return len(extra) == 0
	}
	if !await.Holds(nothing) {
		t.Errorf("left behind: %v", extra)
	}
}

// missing lists what is in after more often than in before.
func missing(before, after []string) []string {
	count := map[string]int{}
	for _, s := range after {
		count[s]++
	}
	for _, s := range before {
		count[s]--
	}
	maps.DeleteFunc(count, func(_ string, n int) bool { return n <= 0 })
	return slices.Sorted(maps.Keys(count))
}

func TestExecLeavesNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine.Engine) {
		c := e.Run(t, engine.Busybox)
		for name, args := range map[string][]string{
			"plain":   {c.Name, "true"},
			"tty":     {"-t", c.Name, "true"},
			"stdin":   {"-i", c.Name, "cat"},
			"fails":   {c.Name, "nosuch"},
			"no user": {"-u", "nosuch", c.Name, "true"},
			"no cwd":  {"-w", "/nosuch", c.Name, "true"},
			"killed":  {c.Name, "sh", "-c", "kill -9 $$"},
			"detach":  {"-d", c.Name, "true"},
		} {
			t.Run(name, func(t *testing.T) {
				mustLeaveNothing(t, c, func() { e.Dx(t, append([]string{"exec"}, args...)...) })
			})
		}
	})
}

// TestTheLeftoverSearchCanFail: a process that stays in the container is found.
func TestTheLeftoverSearchCanFail(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine.Engine) {
		c := e.Run(t, engine.Busybox)
		before := traces(t, c)
		e.MustDocker(t, "exec", "-d", c.Name, "sleep", "1000")
		eventually(t, "the search finds the process", func() bool { return len(missing(before, traces(t, c))) > 0 })
	})
}

// TestExecKilled: after SIGKILL of dx no half-made process is left. As with
// docker, the command itself runs on.
func TestExecKilled(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox)
	mustLeaveNothing(t, c, func() {
		for delay := time.Duration(0); delay < 20*time.Millisecond; delay += time.Millisecond {
			cmd := e.Command(t.Context(), append(e.DxArgs(t), "exec", c.Name, "true")...)
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(delay)
			cmd.Process.Kill()
			cmd.Wait()
		}
	})
}
