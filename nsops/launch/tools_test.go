package launch

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func toolsPlan() *Plan {
	plan := samplePlan()
	plan.Tools = &Tools{File: os.NewFile(93, "tools")}
	plan.Process.Env[0] = "PATH=/bin:" + ToolsRoot + "/usr/bin"
	return plan
}

func lines(t *testing.T, p *Program) []string {
	t.Helper()
	var list []string
	for _, s := range p.Steps {
		list = append(list, s.String())
	}
	return list
}

// The tools alone are kept, from before the limit of open files is set.
func TestToolsAreKept(t *testing.T) {
	p := compiled(t, toolsPlan())
	list := lines(t, p)
	first, last := slices.Index(list, "close_range(3, 98, 0)"), slices.Index(list, "close_range(100, ~0U, 0)")
	if first < 0 || last != first+1 {
		t.Errorf("descriptors are closed in steps %d and %d", first, last)
	}
	if dup := index(t, p, "dup3"); dup > index(t, p, "prlimit64") {
		t.Errorf("dup3 is step %d, behind the limits", dup)
	}
	if got := calls(p, "clone"); !slices.Equal(got, []string{"clone", "exit_group", "setsid", "ioctl", "execveat"}) {
		t.Errorf("calls from the birth on: %v", got)
	}
}

// P is not in the PID namespace of the container's /proc: it must not look for a
// tool by its path.
func TestToolsAreFoundByDescriptor(t *testing.T) {
	for _, name := range []string{"strace", ToolsRoot + "/usr/bin/strace"} {
		plan := toolsPlan()
		plan.Process.Args[0] = name
		list := lines(t, compiled(t, plan))
		if !slices.Contains(list, `faccessat2(TOOLS, "usr/bin/strace", X_OK, AT_EACCESS)`) {
			t.Errorf("%s is not looked for in the tools", name)
		}
		for _, l := range list {
			if strings.Contains(l, `AT_FDCWD, "/proc/self/fd`) {
				t.Errorf("%s: P looks by path: %s", name, l)
			}
		}
	}
}

// A filter may know execve alone.
func TestToolsUnderAFilterWithoutExecveat(t *testing.T) {
	plan := toolsPlan()
	plan.Seccomp = denying(t, "execveat")
	p := compiled(t, plan)
	if got := calls(p, "clone"); !slices.Equal(got, []string{"clone", "exit_group", "setsid", "ioctl", "execve"}) {
		t.Errorf("calls from the birth on: %v", got)
	}
}

// TestToolsRun runs a tool, by name and by path, with the container's own program
// first where PATH has it first.
func TestToolsRun(t *testing.T) {
	needRoot(t)
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	program, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "busybox"), program, 0o755); err != nil {
		t.Fatal(err)
	}
	tools, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer tools.Close()
	p := unshared(t, "--mount", "--pid", "--mount-proc")
	for _, name := range []string{"busybox", ToolsRoot + "/busybox"} {
		plan := planFor(t, p, name, "ls", "/proc/self/fd")
		plan.Process.Env = []string{"PATH=/nosuch:" + ToolsRoot}
		plan.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 20, Hard: 20}}
		plan.Tools = &Tools{File: tools}
		if diff := cmp.Diff("0\n1\n2\n3\n99\n", mustRun(t, plan)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
