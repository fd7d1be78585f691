package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"dx/e2e/await"
	"dx/e2e/engine"
)

// What an exec costs where no machine's mood counts: files that it opens, pages that it
// touches.

// mostOpens is how many files an exec may open outside of cgroupfs, where the host
// decides how many hierarchies there are; there were 38, and one or two more on a busy machine
// when this was written. Three of them are so because the test keeps its engine beneath /run:
// two more looks by a deputy, and what it opens.
const mostOpens = 41

// mostFaults is how many page faults an exec may have, the launcher's and the command's
// included; there were 1,080 to 1,160 when this was written.
const mostFaults = 1300

// opened is a system call that opens a file, as strace(1) -y writes it.
type opened struct {
	path string // of what was opened, else what was asked for
	mode string // "", "O_PATH": only to be named, or why it failed: "EXDEV"
}

func (o opened) String() string { return strings.TrimSpace(o.path + " " + o.mode) }

// openCall has what the path is relative to, the path, the flags, what the file is called
// once it is open, or the error.
var openCall = regexp.MustCompile(`^open(?:at2?)?\((?:AT_FDCWD(?:<[^"]*>)?, |\d+<([^"]*)>(?:\(deleted\))?, )?"([^"]*)", (.*)\) = (?:-1|\d+)(?:<(.*)>| (E\w+))`)

// opensOf runs dx beneath strace and returns what it and its helpers have opened. Each
// thread has a file of its own, in which no call is cut in two.
func opensOf(t *testing.T, e *engine.Engine, args ...string) []opened {
	t.Helper()
	dir := t.TempDir()
	strace := []string{"strace", "-ff", "-y", "-s", "4096", "-e", "trace=open,openat,openat2", "-o", dir + "/t"}
	r := e.Do(t, engine.Command{Args: slices.Concat(strace, e.DxArgs(t), args)})
	if r.Code != 0 {
		t.Fatalf("dx %q beneath strace: %v", args, r)
	}
	files, err := filepath.Glob(dir + "/t.*")
	if err != nil || len(files) == 0 {
		t.Fatalf("strace has written %q, %v", files, err)
	}
	var all []opened
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, "open") {
				all = append(all, parseOpen(t, line))
			}
		}
	}
	return all
}

func parseOpen(t *testing.T, line string) opened {
	t.Helper()
	m := openCall.FindStringSubmatch(line)
	if m == nil {
		t.Fatalf("strace wrote %q", line)
	}
	o := opened{path: m[4], mode: m[5]}
	if o.path == "" || o.path == "/" { // another process's root is called "/", too
		o.path = m[2]
		if !filepath.IsAbs(o.path) {
			o.path = m[1] + "/" + o.path
		}
	}
	if o.mode == "" && strings.Contains(m[3], "O_PATH") {
		o.mode = "O_PATH"
	}
	return o
}

// mayOpenTwice reports whether a file may be opened twice. What is opened with O_PATH to be
// looked at, and then to be read, is not opened twice: that may be a container's. Nor is
// what dx fails to open without crossing a mount, and a deputy opens then.
func mayOpenTwice(o opened) bool {
	for expr := range openTwice {
		if regexp.MustCompile(expr).MatchString(o.String()) {
			return true
		}
	}
	return false
}

// openTwice has the reasons.
var openTwice = map[string]string{
	`^/proc/\d+/(mountinfo|cgroup)$`: "Go's runtime looks for a limit of processors before main, whatever it is told",
	`^/proc/\d+/stat ENOENT$`:        "a child that has ended meanwhile: dx looks at it whenever the kernel wakes it",
}

// filesOf are the files of a container, of its init, shim and dockerd: --source host looks at
// whatever else comes and goes on the host.
func filesOf(t *testing.T, e *engine.Engine, c engine.Container) *regexp.Regexp {
	t.Helper()
	return regexp.MustCompile(fmt.Sprintf(`%s|^/proc/(%d|%d|%d)\b`, c.ID, c.PID, parentOf(t, c.PID), e.PID))
}

// again reports what is opened twice.
func again(t *testing.T, all []opened) {
	t.Helper()
	times := map[opened]int{}
	for _, o := range all {
		if times[o]++; times[o] == 2 && !mayOpenTwice(o) {
			t.Errorf("%s is opened again", o)
		}
	}
}

// earlyWrite is there on cgroup v1, unless no write to a cgroup waits.
var earlyWrite = regexp.MustCompile(`write\((\S+/tasks), TID\)`)

// TestExecOpensNothingTwice also counts where the engine tells of the container. How many
// files --source host takes depends on what else runs on the host.
func TestExecOpensNothingTwice(t *testing.T) {
	engine.Require(t, engine.Strace)
	onBoth(t, func(t *testing.T, e *engine.Engine) {
		c := e.Run(t, engine.Busybox, "--network", "none")
		// The host would be looked at if the engine were late, which it is beneath strace. And on
		// a busy machine it may be so late that dx looks at its process: is it stopped?
		var all []opened
		await.Until(t, "the engine answers before dx looks whether it is stopped", func() bool {
			all = opensOf(t, e, "--source", "engine", "exec", c.Name, "true")
			return !slices.Contains(all, opened{path: fmt.Sprintf("/proc/%d/task", e.PID)})
		})
		again(t, all)
		elsewhere := len(slices.DeleteFunc(slices.Clone(all), func(o opened) bool { return strings.HasPrefix(o.path, "/sys/fs/cgroup/") }))
		if elsewhere > mostOpens || t.Failed() {
			t.Errorf("%d files are opened outside of cgroupfs, %d should be enough:\n%q", elsewhere, mostOpens, all)
		}
		t.Logf("%d files are opened, %d outside of cgroupfs", len(all), elsewhere)

		explained := e.Dx(t, "exec", "--explain", c.Name, "true").Stdout
		if m := earlyWrite.FindStringSubmatch(explained); m != nil && !slices.Contains(all, opened{path: m[1]}) {
			t.Errorf("%s is said to be written ahead of all, opened are:\n%q", m[1], all)
		}

		all = opensOf(t, e, "--source", "host", "exec", c.Name, "true")
		ours := filesOf(t, e, c)
		all = slices.DeleteFunc(all, func(o opened) bool { return !ours.MatchString(o.path) })
		if again(t, all); len(all) == 0 || t.Failed() {
			t.Errorf("--source host opens of the container and its engine %q", all)
		}
		t.Logf("--source host opens %d files of the container and its engine", len(all))
	})
}

// TestExecPageFaults takes the least of some runs: others may fill the page cache, not
// empty it.
func TestExecPageFaults(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine.Engine) {
		c := e.Run(t, engine.Busybox, "--network", "none")
		least := int64(-1)
		for range 10 {
			n, err := faultsOf(e, slices.Concat(e.DxArgs(t), []string{"--source", "engine", "exec", c.Name, "true"}))
			if err != nil {
				t.Fatal(err)
			}
			if least < 0 || n < least {
				least = n
			}
		}
		if least > mostFaults {
			t.Errorf("%d page faults, %d should be enough", least, mostFaults)
		}
		t.Logf("%d page faults", least)
	})
}

// faultsOf runs a command and returns its page faults and those of its children.
func faultsOf(e *engine.Engine, args []string) (int64, error) {
	cmd := e.Command(context.Background(), args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("%q: %w: %s", args, err, out)
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0, fmt.Errorf("no usage of %q", args)
	}
	return usage.Minflt + usage.Majflt, nil
}
