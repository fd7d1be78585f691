package e2e

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"dx/e2e/engine"
)

// beside is a dx exec that runs beside the test.
type beside struct {
	cmd     *exec.Cmd
	command int // PID of what it started, as the host counts
	keeper  int // PID of that one's parent
}

// execBeside starts dx exec of a long sleep in the container, and waits until that runs.
func execBeside(t *testing.T, e *engine.Engine, c engine.Container, flags ...string) *beside {
	t.Helper()
	before := insideOf(t, c)
	cmd := e.Command(t.Context(), slices.Concat(e.DxArgs(t), []string{"exec"}, flags, []string{c.Name, "sleep", "100000"})...)
	// SIGTSTP does not stop a group that nobody could continue (POSIX, orphaned groups).
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	b := &beside{cmd: cmd}
	eventually(t, "the command runs", func() bool {
		for _, pid := range insideOf(t, c) {
			// Not the container's own sleep, which docker-init may start a moment later.
			cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			if !slices.Contains(before, pid) && string(cmdline) == "sleep\x00100000\x00" {
				b.command = pid
			}
		}
		return b.command != 0
	})
	b.keeper = parentPID(b.command)
	return b
}

// insideOf lists the processes in the PID namespace of a container, as the host counts.
func insideOf(t *testing.T, c engine.Container) (pids []int) {
	t.Helper()
	own, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", c.PID))
	if err != nil {
		t.Fatal(err)
	}
	links, _ := filepath.Glob("/proc/[0-9]*/ns/pid")
	for _, link := range links {
		if ns, err := os.Readlink(link); err == nil && ns == own {
			pid, _ := strconv.Atoi(strings.Split(link, "/")[2])
			pids = append(pids, pid)
		}
	}
	return pids
}

// statField returns a field of /proc/PID/stat, counted as in proc_pid_stat(5) and from 3
// on; "" when the process is gone.
func statField(pid, n int) string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(b), ") ")
	if f := strings.Fields(rest); len(f) > n-3 {
		return f[n-3]
	}
	return ""
}

func parentPID(pid int) int {
	n, _ := strconv.Atoi(statField(pid, 4))
	return n
}

// suspend stops dx, or what a dx exec -d has left behind to read the command's output, and
// waits until it stands. It returns how to continue it.
func (b *beside) suspend(t *testing.T, sig syscall.Signal, detached bool) (proceed func()) {
	t.Helper()
	pid := b.cmd.Process.Pid
	if detached {
		if err := b.cmd.Wait(); err != nil {
			t.Fatalf("dx exec -d: %v", err)
		}
		pid = b.drain(t)
	}
	if err := syscall.Kill(pid, sig); err != nil {
		t.Fatal(err)
	}
	proceed = sync.OnceFunc(func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
	t.Cleanup(proceed)
	eventually(t, "dx is stopped", func() bool { return statField(pid, 3) == "T" })
	return proceed
}

// drain is the PID of the process that has the other end of the command's output.
func (b *beside) drain(t *testing.T) int {
	t.Helper()
	output, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/1", b.command))
	if err != nil {
		t.Fatal(err)
	}
	links, _ := filepath.Glob("/proc/[0-9]*/fd/3")
	for _, link := range links {
		pid, _ := strconv.Atoi(strings.Split(link, "/")[2])
		cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if to, err := os.Readlink(link); err == nil && to == output && strings.HasPrefix(string(cmdline), "dx-drain") {
			return pid
		}
	}
	t.Fatalf("nobody reads the command's output %s", output)
	return 0
}

// TestAttackSuspended: dx's that somebody has suspended, by the terminal's signal and by the
// other, with and without a terminal, detached, keep no container from being stopped, restarted
// or removed, be its init Docker's or its own.
func TestAttackSuspended(t *testing.T) {
	tries := []struct {
		signal syscall.Signal
		exec   []string
	}{
		{syscall.SIGTSTP, nil}, {syscall.SIGSTOP, nil}, {syscall.SIGTSTP, []string{"-t"}}, {syscall.SIGSTOP, []string{"-t"}},
		{syscall.SIGTSTP, []string{"-i"}}, {syscall.SIGSTOP, []string{"-i"}},
		// Of a detached one a session of its own is left, which no terminal stops.
		{syscall.SIGSTOP, []string{"-d"}},
	}
	onBoth(t, func(t *testing.T, e *engine.Engine) {
		for _, run := range [][]string{nil, {"--init"}, {"--pid", "host"}} {
			verbs, tries := [][]string{{"stop", "-t", "1"}, {"rm", "-f"}, {"restart", "-t", "0"}}, tries
			if slices.Contains(run, "host") {
				verbs, tries = verbs[:1], tries[:2] // whose process is whose nobody could tell
			}
			for _, verb := range verbs {
				t.Run(fmt.Sprint(verb, run), func(t *testing.T) {
					c := e.Run(t, engine.Busybox, run...)
					var suspended []*beside
					var proceed []func()
					for _, try := range tries {
						b := execBeside(t, e, c, try.exec...)
						detached := slices.Contains(try.exec, "-d")
						proceed = append(proceed, b.suspend(t, try.signal, detached))
						if !detached {
							suspended = append(suspended, b)
						}
					}
					if r := e.Docker(t, append(slices.Clone(verb), c.Name)...); r.Code != 0 {
						t.Errorf("docker %q beside suspended dx's: %v", verb, r)
					}
					for _, f := range proceed {
						f()
					}
					for i, b := range suspended {
						_ = b.cmd.Wait()
						// The engine has killed it, whatever it does with the processes of --pid host.
						if code := b.cmd.ProcessState.ExitCode(); !slices.Contains(run, "host") && code != 137 {
							t.Errorf("dx %v, continued, ended with %d; its command was killed: 137", tries[i], code)
						}
					}
				})
			}
		}
	})
}

// TestKeeper: who keeps a command is no process of the container's in any respect, has
// no file of anybody's and ends with the command.
func TestKeeper(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine.Engine) {
		for _, flags := range [][]string{nil, {"-i"}, {"-t"}, {"-d"}, {"-u", "app"}} {
			t.Run(fmt.Sprint(flags), func(t *testing.T) {
				c := e.Run(t, engine.Busybox)
				b := execBeside(t, e, c, flags...)
				mustKeepOutside(t, c, b.keeper)
				if err := syscall.Kill(b.command, syscall.SIGTERM); err != nil {
					t.Fatal(err)
				}
				eventually(t, "the keeper has ended", func() bool { s := statField(b.keeper, 3); return s == "" || s == "Z" })
			})
		}
	})
}

// mustKeepOutside looks at a keeper.
func mustKeepOutside(t *testing.T, c engine.Container, keeper int) {
	t.Helper()
	eventually(t, "the keeper has let go of its files", func() bool {
		files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", keeper))
		return err == nil && len(files) == 0
	})
	for _, kind := range []string{"mnt", "pid", "net", "ipc", "uts", "user", "cgroup"} {
		own, err := os.Readlink("/proc/self/ns/" + kind)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", keeper, kind))
		inside, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", c.PID, kind))
		if err != nil || got == inside && got != own {
			t.Errorf("the keeper is in the container's %s namespace: %s, %v", kind, got, err)
		}
	}
	cgroups, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", keeper))
	if err != nil || strings.Contains(string(cgroups), c.ID) {
		t.Errorf("cgroups of the keeper: %s, %v", cgroups, err)
	}
	if session := statField(keeper, 6); session != strconv.Itoa(keeper) {
		t.Errorf("the keeper is in session %s, not in its own", session)
	}
}

// TestKeeperOutlivesDx: a command whose dx was killed runs on, as with docker, and is
// reaped when it ends.
func TestKeeperOutlivesDx(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine.Engine) {
		c := e.Run(t, engine.Busybox)
		b := execBeside(t, e, c, "-i")
		_ = b.cmd.Process.Kill()
		_ = b.cmd.Wait()
		if state := statField(b.command, 3); state == "" || state == "Z" {
			t.Fatalf("the command is gone with dx: state %q", state)
		}
		if err := syscall.Kill(b.command, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the command is reaped", func() bool { return statField(b.command, 3) == "" })
		eventually(t, "the keeper has ended", func() bool { s := statField(b.keeper, 3); return s == "" || s == "Z" })
		if r := e.Docker(t, "stop", "-t", "0", c.Name); r.Code != 0 {
			t.Errorf("docker stop: %v", r)
		}
	})
}

// TestKeeperSurvivesSignals: what is sent to dx's whole group, by a terminal or a
// service manager, does not end the keeper before the command has ended.
func TestKeeperSurvivesSignals(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox)
	cmd := e.Command(t.Context(), append(e.DxArgs(t), "exec", c.Name, "sh", "-c", "trap 'exit 7' TERM; echo ready; while :; do sleep 0.1; done")...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", cmd.Process.Pid))
	group := []string{strconv.Itoa(cmd.Process.Pid)}
	for _, list := range lists {
		children, _ := os.ReadFile(list)
		group = append(strings.Fields(string(children)), group...)
	}
	for _, pid := range group {
		n, _ := strconv.Atoi(pid)
		if err := syscall.Kill(n, syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 7 {
		t.Errorf("exit code %d, want the command's 7", code)
	}
}
