package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dx/e2e/engine"
)

// TestExecAtThePidsLimit: a container that may have no more processes is entered, and
// the command is in its cgroups. So it is with docker exec, as long as the runtime's own
// threads find room: no measure for each single case.
func TestExecAtThePidsLimit(t *testing.T) {
	limited(t, func(t *testing.T, e *engine.Engine) {
		for _, try := range []struct {
			limit string
			run   []string
		}{
			{"1", nil}, {"1", []string{"--security-opt", "no-new-privileges"}}, {"3", []string{"--init"}},
		} {
			t.Run(fmt.Sprint(try), func(t *testing.T) {
				c := e.Run(t, engine.Busybox, append([]string{"--pids-limit", try.limit}, try.run...)...)
				enterAtTheLimit(t, e, c)
			})
		}
	})
}

func enterAtTheLimit(t *testing.T, e *engine.Engine, c engine.Container) {
	t.Helper()
	cgroups, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", c.PID))
	if err != nil {
		t.Fatal(err)
	}
	for _, flags := range [][]string{nil, {"-i"}, {"-t"}, {"-u", "app", "-w", "/tmp"}} {
		r := withDx(t, e, c, flags, []string{"cat", "/proc/self/cgroup"})
		if got := strings.ReplaceAll(r.Stdout, "\r", ""); got != string(cgroups) || r.Code != 0 {
			t.Errorf("exec %q: %v, want the cgroups of init:\n%s", flags, r, cgroups)
		}
		for command, code := range map[string]int{"exit 5": 5, "kill -9 $$": 137} {
			if r := withDx(t, e, c, flags, []string{"sh", "-c", command}); r.Code != code {
				t.Errorf("exec %q sh -c %q: %v, want exit code %d", flags, command, r, code)
			}
		}
	}
	if r := withDx(t, e, c, nil, []string{"nosuch"}); !strings.Contains(r.Stdout, "executable file not found") {
		t.Errorf("exec of a command that is not there: %v", r)
	}
	for _, verb := range [][]string{{"shell", c.Name, "-c", "exit 5"}, {"debug", c.Name, "sh", "-c", "exit 5"}} {
		if r := e.Dx(t, verb...); r.Code != 5 {
			t.Errorf("dx %q at the limit: %v", verb, r)
		}
	}
}

// limited runs a test on each cgroup version that can limit processes here: a
// controller belongs to one of them.
func limited(t *testing.T, test func(*testing.T, *engine.Engine)) {
	onBoth(t, func(t *testing.T, e *engine.Engine) {
		if e.Cgroup == engine.V2 {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/root/sys/fs/cgroup/cgroup.controllers", e.PID))
			if err != nil || !strings.Contains(string(b), "pids") {
				t.Skipf("no pids controller on cgroup v2 here: %s %v", b, err)
			}
		}
		test(t, e)
	})
}

// TestExecIsOneProcess: in the container's count is the command alone.
func TestExecIsOneProcess(t *testing.T) {
	limited(t, func(t *testing.T, e *engine.Engine) {
		for _, limit := range []string{"1", "3"} {
			c := e.Run(t, engine.Busybox, "--pids-limit", limit)
			b := execBeside(t, e, c)
			eventually(t, "there are two processes, init and the command", func() bool { return pidsOf(t, e, c) == "2" })
			want := fmt.Sprint(c.PID, " ", b.command)
			if got := procsOf(t, e, c); got != want {
				t.Errorf("in the container's cgroup are %q, want init and the command: %q", got, want)
			}
		}
	})
}

// pidsDir is the directory of the container's pids cgroup, through the engine's mounts.
func pidsDir(t *testing.T, e *engine.Engine, c engine.Container) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", c.PID))
	if err != nil {
		t.Fatal(err)
	}
	root := fmt.Sprintf("/proc/%d/root/sys/fs/cgroup", e.PID)
	for line := range strings.Lines(string(b)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		for _, dir := range []string{filepath.Join(root, f[1], f[2]), filepath.Join(root, f[2])} {
			if _, err := os.Stat(filepath.Join(dir, "pids.max")); err == nil && strings.Contains(f[2], c.ID) {
				return dir
			}
		}
	}
	t.Fatalf("no pids cgroup of %s in %q", c.Name, b)
	return ""
}

func pidsOf(t *testing.T, e *engine.Engine, c engine.Container) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(pidsDir(t, e, c), "pids.current"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

func procsOf(t *testing.T, e *engine.Engine, c engine.Container) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(pidsDir(t, e, c), "cgroup.procs"))
	if err != nil {
		t.Fatal(err)
	}
	pids := strings.Fields(string(b))
	slices.Sort(pids)
	if slices.Index(pids, fmt.Sprint(c.PID)) == 1 {
		slices.Reverse(pids) // PIDs may have wrapped
	}
	return strings.Join(pids, " ")
}
