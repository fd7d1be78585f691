package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"dx/e2e/engine"
)

// changed is a container whose init is no longer what the runtime started: by itself, or
// by somebody on the host. A runtime enters the container, and so does dx.
type changed struct {
	run     []string
	init    string // shell: what init does before it sleeps
	outside string // shell on the host: what is done to init, whose PID is $1
	execs   [][]string
	alone   bool // not in a container with a user namespace: runc joins init's instead and fails there
}

var changedInits = map[string]changed{
	"limits":       {init: "ulimit -n 99; ulimit -c 0; ulimit -s 1024; ulimit -u 500"},
	"oom score":    {init: "echo 500 >/proc/self/oom_score_adj"},
	"umask":        {init: "umask 077"},
	"root":         {init: "mkdir -p /jail/etc; cp -a /bin /jail; echo root:x:0:0::/jailed: >/jail/etc/passwd; set -- chroot /jail", execs: [][]string{{}, {"-t"}, {"-w", "/home"}, {"-u", "app"}}},
	"user":         {init: "set -- su -s /bin/sh app -c 'exec sleep 1000000'", execs: [][]string{{}, {"-u", "app"}}},
	"name":         {init: "cp /bin/busybox '/tmp/busybox) R 1 ('; set -- '/tmp/busybox) R 1 ('"},
	"everything":   {run: []string{"--cap-add", "SYS_NICE", "--security-opt", "seccomp=unconfined"}, init: "set -- /oddcaller"},
	"bounding set": {init: "set -- /oddcaller -bounding"},
	// Whoever executes a file that they may not read is undumpable: its files in /proc are root's.
	"dumpable":    {init: "cp /bin/busybox /busybox; chmod 711 /busybox; set -- su -s /bin/sh app -c 'exec /busybox sleep 1000000'", execs: [][]string{{}, {"-u", "app"}}},
	"by the host": {outside: `renice -n 5 -p "$1"; taskset -p 1 "$1"; chrt -b -p 0 "$1"; prlimit -p "$1" --nofile=50:60 --core=0:0 --stack=99999:99999; ionice -c 3 -p "$1"`},
	"namespaces": {
		run: []string{"--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"}, init: "set -- unshare -m -u -i -n -p",
	},
	"cgroup and time namespace": {
		run: []string{"--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"}, init: "set -- /oddcaller -namespaces",
	},
	"user namespace": {
		run:  []string{"--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined", "--group-add", "4711"},
		init: "set -- unshare -U", execs: [][]string{{}, {"-u", "app"}},
		alone: true,
	},
	"mapped user namespace": {
		run:  []string{"--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"},
		init: "set -- unshare -U -r", execs: [][]string{{}, {"-t"}},
		alone: true,
	},
}

// TestExecOfAChangedInit: what init has become is no business of the command's. Filters of
// its own and no_new_privs are TestExecHasNoFilterOfInits, user namespaces of the container's own
// TestExecUsernsRemap.
func TestExecOfAChangedInit(t *testing.T) { onBoth(t, mustMatchChanged) }

func mustMatchChanged(t *testing.T, e *engine.Engine) {
	for name, k := range changedInits {
		if k.alone && e.UsernsRemap {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := k.start(t, e)
			for _, flags := range append(k.execs, nil)[:max(1, len(k.execs))] {
				mustMatch(t, e, c, flags...)
			}
		})
	}
}

func (k changed) start(t *testing.T, e *engine.Engine) engine.Container {
	t.Helper()
	script := filepath.Join(e.Dir, e.Name("init")) // where root of a user namespace may look, too
	text := "#!/bin/sh\nset --\n" + k.init + "\n[ \"$1\" = su ] || set -- \"$@\" sleep 1000000\nexec \"$@\"\n"
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	c := e.Run(t, engine.Busybox, slices.Concat(mountProber(t), k.run, []string{
		"-v", script + ":/changer:ro", "-v", suite.Build(t, "dx/e2e/oddcaller") + ":/oddcaller:ro", "--entrypoint", "/changer",
	})...)
	eventually(t, "init has changed", func() bool {
		cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", c.PID))
		program, _, _ := strings.Cut(string(cmdline), "\x00")
		on := slices.Contains([]string{"unshare", "chroot", "/oddcaller"}, program) // what changes it has sleep behind it
		return !on && strings.HasSuffix(string(cmdline), "sleep\x001000000\x00")
	})
	if k.outside != "" {
		if out, err := exec.Command("sh", "-ec", k.outside, "sh", strconv.Itoa(c.PID)).CombinedOutput(); err != nil {
			t.Fatalf("change init: %v: %s", err, out)
		}
	}
	return c
}

// TestExecOfAMovedInit: init is in other cgroups than those that the runtime made, deeper
// or elsewhere. The command is in the container's own: in none of the caller's.
func TestExecOfAMovedInit(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine.Engine) {
		for name, target := range map[string]func(dir string) string{
			"deeper":    func(dir string) string { return filepath.Join(dir, "deeper") },
			"elsewhere": func(dir string) string { return filepath.Join(filepath.Dir(dir), e.Name("elsewhere")) },
		} {
			t.Run(name, func(t *testing.T) {
				var made []string
				t.Cleanup(func() { // after the container has gone
					for _, dir := range made {
						eventually(t, dir+" is removed", func() bool { err := os.Remove(dir); return err == nil || os.IsNotExist(err) })
					}
				})
				c := e.Run(t, engine.Busybox, append(mountProber(t), "--memory", "64m", "--pids-limit", "50", "--cgroupns", "host")...)
				for _, dir := range cgroupDirs(t, e, c) {
					to := target(dir)
					made = append(made, to)
					moveTo(t, to, c.PID)
				}
				mustMatch(t, e, c)
				same(t, e, c, nil, "cat", "/proc/self/cgroup")
			})
		}
	})
}

// cgroupDirs are the directories of the container's own cgroups.
func cgroupDirs(t *testing.T, e *engine.Engine, c engine.Container) (dirs []string) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", c.PID))
	if err != nil {
		t.Fatal(err)
	}
	root := fmt.Sprintf("/proc/%d/root/sys/fs/cgroup", e.PID)
	for line := range strings.Lines(string(b)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		dir := filepath.Join(root, strings.TrimPrefix(f[1], "name="), f[2])
		if _, err := os.Stat(dir); err == nil && strings.HasSuffix(f[2], c.ID) {
			dirs = append(dirs, dir)
		}
	}
	if len(dirs) == 0 {
		t.Fatalf("no cgroup of %s in %q", c.Name, b)
	}
	return dirs
}

// moveTo moves a process into a new cgroup.
func moveTo(t *testing.T, dir string, pid int) {
	t.Helper()
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} { // v1: empty in a new one, and nobody may enter it
		if b, err := os.ReadFile(filepath.Join(filepath.Dir(dir), file)); err == nil {
			_ = os.WriteFile(filepath.Join(dir, file), b, 0)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0); err != nil {
		t.Fatal(err)
	}
}
