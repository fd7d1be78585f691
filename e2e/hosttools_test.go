package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"dx/e2e/engine"
)

// TestHostTools: the host's programs see the container's processes, network and
// files, and nothing of it stays.
func TestHostTools(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine.Engine) {
		c := e.Run(t, importSleeper(t, e), "-h", "box")
		before := state(t, e, c)
		mounts := mountsOf(t, e)
		const look = `for n in net ipc uts pid; do readlink /proc/self/ns/$n; done
hostname; ls /container; cat /proc/1/comm; command -v bash; pwd
touch /container/made; rm /container/made; touch /made 2>/dev/null || echo read-only`
		var want strings.Builder
		for _, n := range []string{"net", "ipc", "uts", "pid"} {
			fmt.Fprintf(&want, "%s:[%d]\n", n, kernelInode(t, c.PID, n))
		}
		bash, err := exec.LookPath("bash")
		if err != nil {
			t.Fatal(err)
		}
		want.WriteString("box\ndev\netc\nproc\nsleep\nsys\nsleep\n" + bash + "\n/\nread-only\n")
		r := e.Dx(t, "debug", "--host-tools", c.Name, "bash", "-c", look)
		if r.Stdout != want.String() || r.Code != 0 {
			t.Errorf("%+v\nwant %s", r, &want)
		}
		if after := state(t, e, c); after != before {
			t.Errorf("the container was\n%s\nand is\n%s", before, after)
		}
		if after := mountsOf(t, e); after != mounts {
			t.Errorf("the host's mounts were\n%s\nand are\n%s", mounts, after)
		}
		// A shell reads its commands, and its exit code is kept.
		r = e.Do(t, engine.Command{Args: slices.Concat(e.DxArgs(t), []string{"debug", "--host-tools", c.Name}), Stdin: strings.NewReader("cat /proc/1/comm; exit 9\n")})
		if r.Stdout != "sleep\n" || r.Code != 9 {
			t.Errorf("a shell from stdin: %+v", r)
		}
	})
}

var engineDir = regexp.MustCompile(`/dx[eb]-\d+`)

// mountsOf is the mount table of the engine's clients without what is of other
// engines, which come and go.
func mountsOf(t *testing.T, e *engine.Engine) string {
	t.Helper()
	var own []string
	for line := range strings.Lines(e.Do(t, engine.Command{Args: []string{"cat", "/proc/self/mountinfo"}}).Stdout) {
		if dir := engineDir.FindString(line); dir == "" || strings.HasSuffix(e.Dir, dir) {
			own = append(own, line)
		}
	}
	return strings.Join(own, "")
}

// TestHostToolsOfAPausedContainer: the command is not in the container's cgroup.
func TestHostToolsOfAPausedContainer(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine.Engine) {
		c := e.Run(t, importSleeper(t, e))
		e.MustDocker(t, "pause", c.Name)
		defer e.MustDocker(t, "unpause", c.Name)
		if r := e.Dx(t, "debug", "--host-tools", c.Name, "cat", "/proc/1/comm"); r.Stdout != "sleep\n" {
			t.Errorf("debug --host-tools of a paused container: %v, want the name of its init, sleep", r)
		}
	})
}

// attackHost tries to read a file of the host through a command with the host's
// root that the container sees: in all ways that /proc offers.
const attackHost = `
for p in /proc/[0-9]*; do
	tr '\0' ' ' <$p/cmdline 2>/dev/null | grep -q '^sleep 4711' || continue
	echo seen
	cat $p/root/$SECRET $p/cwd/../$SECRET $p/root/proc/self/root/$SECRET 2>/dev/null
	cat $p/environ >/dev/null 2>&1 && echo environ
	readlink $p/fd/0 >/dev/null && echo fd
	(echo x >$p/fd/1) 2>/dev/null && echo wrote
	(echo >$p/mem) 2>/dev/null && echo mem
done
true`

// TestHostToolsAttacker plays a process of the container. Where it has
// CAP_SYS_PTRACE it does reach the host (which shows that the attack is one), and
// dx refuses; where dx does not refuse, it reaches nothing.
func TestHostToolsAttacker(t *testing.T) {
	ptrace := []string{"--cap-add", "SYS_PTRACE"}
	all := []string{"--cap-add", "ALL", "--cap-drop", "SYS_RESOURCE"}
	for _, test := range []struct {
		name   string
		run    []string
		flags  []string
		refuse bool
		want   string
	}{
		{"default", nil, nil, false, "seen\n"},
		{"default, hidden", nil, []string{"--share-pid=false"}, false, ""},
		{"ptrace", ptrace, nil, true, ""},
		{"ptrace, hidden", ptrace, []string{"--share-pid=false"}, false, ""},
		{"ptrace, exposed", ptrace, []string{"--expose-host"}, false, "seen\nsecret\nsecret\nenviron\nfd\nwrote\n"},
		{"all", all, nil, true, ""},
		{"ptrace of the host's PIDs", append([]string{"--pid", "host"}, ptrace...), nil, true, ""},
		{"ptrace of the host's PIDs, hidden", append([]string{"--pid", "host"}, ptrace...), []string{"--share-pid=false"}, true, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, e *engine.Engine) {
				playAttacker(t, e, e.Run(t, engine.Busybox, test.run...), test.flags, test.refuse, test.want)
			})
		})
	}
}

func playAttacker(t *testing.T, e *engine.Engine, c engine.Container, flags []string, refuse bool, want string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/secret", []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := slices.Concat([]string{"debug", "--host-tools"}, flags, []string{c.Name, "bash", "-c"})
	if refuse {
		r := e.Dx(t, append(args, "true")...)
		if r.Code != 125 || !strings.Contains(r.Stderr, "CAP_SYS_PTRACE") || !strings.Contains(r.Stderr, "--expose-host") {
			t.Errorf("not refused: %+v", r)
		}
		return
	}
	e.Spawn(t, slices.Concat(e.DxArgs(t), args, []string{"echo >" + dir + "/up; exec sleep 4711"})...)
	eventually(t, "the command runs", func() bool { _, err := os.Stat(dir + "/up"); return err == nil })
	r := e.Docker(t, "exec", "-e", "SECRET="+dir+"/secret", c.Name, "sh", "-c", attackHost)
	if r.Stdout != want {
		t.Errorf("the attacker gets %+v, want %q", r, want)
	}
}

// TestHostToolsWatcherOfAnotherContainer: whoever shares the PID namespace counts.
func TestHostToolsWatcherOfAnotherContainer(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox)
	e.Run(t, engine.Busybox, "--pid", "container:"+c.Name, "--cap-add", "SYS_PTRACE")
	if r := e.Dx(t, "debug", "--host-tools", c.Name, "true"); r.Code != 125 || !strings.Contains(r.Stderr, "CAP_SYS_PTRACE") {
		t.Errorf("debug --host-tools beside a process that may trace: %v, want a refusal (125) that names CAP_SYS_PTRACE", r)
	}
}

// TestHostToolsTerminal: the terminal is the host's, where the container cannot
// type into it.
func TestHostToolsTerminal(t *testing.T) {
	engine.Require(t, engine.Tmux)
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox)
	dir := t.TempDir()
	s := openScreen(t, e, session(strings.Join(e.DxArgs(t), " ")+" debug --host-tools "+c.Name+" bash --norc", dir))
	s.wait(`^dx host-tools ` + c.Name + `:/ #$`)
	s.line("tty; test -c $(tty) && echo open; ls /container/dev/pts")
	s.wait(`^/dev/pts/\d+\nopen\nptmx$`)
	s.interrupted()
	s.line("exit 5")
	s.wait(`^code=5$`)
	s.wait(`^over$`)
	sameSettings(t, dir)
}
