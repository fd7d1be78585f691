package e2e

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"dx/e2e/await"
	"dx/e2e/engine"
)

// nobody is a caller without any right.
var nobody = []string{"setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--"}

// callers run a command line as root and as a plain user.
var callers = map[string][]string{"root": nil, "nobody": nobody}

// hostRun runs a command on the host, without an engine.
func hostRun(t *testing.T, args ...string) engine.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), await.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &stdout, &stderr, 5*time.Second
	err := cmd.Run()
	var exit *exec.ExitError
	if ctx.Err() != nil || err != nil && !errors.As(err, &exit) {
		t.Fatalf("%q: %v %v: %s", args, err, ctx.Err(), &stderr)
	}
	code := cmd.ProcessState.ExitCode()
	if ws := cmd.ProcessState.Sys().(syscall.WaitStatus); ws.Signaled() {
		code = 128 + int(ws.Signal())
	}
	return engine.Result{Stdout: stdout.String(), Stderr: stderr.String(), Code: code}
}

// unsharers are dx and the one that it is compared with, which needs to be told
// to fork.
func unsharers(t *testing.T, caller []string, flags []string, command ...string) (want, got engine.Result) {
	t.Helper()
	engine.Require(t, engine.Root, engine.Lsns)
	want = hostRun(t, slices.Concat(caller, []string{"unshare", "--fork"}, flags, command)...)
	got = hostRun(t, slices.Concat(caller, []string{suite.Dx(t), "unshare"}, flags, command)...)
	return want, got
}

// lookAround tells what namespaces change of a process, but its PIDs.
const lookAround = `id -u; id -g; umask; pwd; uname -n
	cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups
	grep -E '^(Cap|Groups|NoNewPrivs|Seccomp:|SigBlk|SigIgn)' /proc/self/status
	grep -E '^[^ ]+ [^ ]+ [^ ]+ [^ ]+ (/|/proc|/tmp) ' /proc/self/mountinfo | cut -d' ' -f4- | sed -E 's/(shared|master):[0-9]+/\1/g'
	grep -c : /proc/net/dev; cd /proc/self/ns; readlink cgroup ipc mnt net pid time user uts`

// newOrShared says of each link to a namespace whether it is that of the test
// itself, but for the mount namespace: the test gives each run one of its own.
func newOrShared(t *testing.T, out string) string {
	t.Helper()
	lines := strings.Split(out, "\n")
	for i, line := range lines {
		kind, _, ok := strings.Cut(line, ":[")
		if !ok || !slices.Contains(nsTypes, kind) {
			continue
		}
		link, err := os.Readlink("/proc/self/ns/" + kind)
		if err != nil {
			t.Fatal(err)
		}
		lines[i] = map[bool]string{true: "shared", false: "new"}[link == line] + " " + kind
	}
	return strings.Join(lines, "\n")
}

// sharedMounts runs a command among mounts that are all shared, and in which
// nobody else mounts anything. The shell stays, so that the peers of a slave do.
var sharedMounts = []string{"unshare", "--mount", "--propagation", "slave", "sh", "-c", `mount --make-rshared /; "$@"; exit $?`, "sh"}

func TestUnshareIsUnshare(t *testing.T) {
	for name, caller := range callers {
		for _, flags := range [][]string{
			{}, {"-p", "--mount-proc", "--kill-child"}, {"--net", "--uts"}, {"-i", "-C", "-T"}, {"--mount"}, {"-m", "--propagation", "slave"},
			{"-m", "--propagation", "unchanged"}, {"-U"}, {"-r"}, {"-c"}, {"-r", "-p", "-n", "-u", "-i", "-C", "-T", "--mount-proc"},
			{"-r", "-m", "-w", "/tmp"},
		} {
			t.Run(name+" "+strings.Join(flags, " "), func(t *testing.T) {
				script := lookAround
				if slices.Contains(flags, "-p") {
					script += "; echo $$; cd /proc; echo [0-9]*"
				}
				want, got := unsharers(t, slices.Concat(sharedMounts, caller), flags, "sh", "-c", script)
				if want.Code == 1 && got.Code == 125 && strings.Contains(want.Stderr, "Operation not permitted") && strings.Contains(got.Stderr, "(-r) needs no right") {
					return // a plain user without a user namespace
				}
				want.Stdout, got.Stdout = newOrShared(t, want.Stdout), newOrShared(t, got.Stdout)
				if want != got || got.Code != 0 {
					t.Errorf("unshare: %+v\ndx:      %+v", want, got)
				}
			})
		}
	}
}

// TestUnshareHandsDownNoFiles: what the caller has open beyond its streams stays
// with the caller, other than with unshare(1).
func TestUnshareHandsDownNoFiles(t *testing.T) {
	engine.Require(t, engine.Root)
	for _, flags := range []string{"--uts", "--pid --mount-proc --init"} {
		r := hostRun(t, "sh", "-c", `exec 7</etc/passwd; exec "$0" unshare `+flags+` sh -c 'echo /proc/$$/fd/*'`, suite.Dx(t))
		if n := len(strings.Fields(r.Stdout)); n > 4 || strings.Contains(r.Stdout, "/fd/7") { // the shell itself may have one
			t.Errorf("a command of unshare %s has the files %v, want those of its streams only", flags, r)
		}
	}
}

// TestUnshareExitCodes: the command's own, 128+n, and those of a command that
// cannot be run.
func TestUnshareExitCodes(t *testing.T) {
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{
		{"true"}, {"sh", "-c", "exit 7"}, {"sh", "-c", "exit 255"},
		{"sh", "-c", "kill -TERM $$; exit 3"}, {"no-such-command"}, {"/no/such"}, {plain}, {"/etc"},
	} {
		for _, flags := range [][]string{{"--uts"}, {"--pid"}, {"--pid", "--mount-proc"}} {
			want, got := unsharers(t, nil, flags, command...)
			if want.Code != got.Code || want.Stdout != got.Stdout {
				t.Errorf("%q %q\nunshare: %+v\ndx:      %+v", flags, command, want, got)
			}
		}
	}
	// Of SIGKILL unshare 2.38 makes an exit code of 1: it fails to unblock it.
	const kill = "sh -c 'kill -KILL $$'; exit $?"
	want := hostRun(t, "sh", "-c", kill)
	if got := hostRun(t, suite.Dx(t), "unshare", "--uts", "sh", "-c", "kill -KILL $$"); got.Code != want.Code {
		t.Errorf("killed: %+v, a shell says %+v", got, want)
	}
}

// TestUnshareInit: what a shell makes of a status, and no zombies.
func TestUnshareInit(t *testing.T) {
	engine.Require(t, engine.Root)
	for script, want := range map[string]int{
		"exit 0": 0, "exit 7": 7, "exit 255": 255, "kill -TERM $$": 143, "kill -KILL $$": 137, "ulimit -c 0; kill -QUIT $$": 131, "exec no-such": 127,
	} {
		if shell := hostRun(t, "sh", "-c", "sh -c '"+script+"'; exit $?"); shell.Code != want {
			t.Errorf("sh says %d of %q", shell.Code, script)
		}
		if r := hostRun(t, suite.Dx(t), "unshare", "--pid", "--init", "sh", "-c", script); r.Code != want {
			t.Errorf("%q under init: %+v, want %d", script, r, want)
		}
	}
	// Orphans of a command that reaps nobody, seen once they have ended.
	const orphans = `for i in 1 2 3 4 5 6 7 8 9; do (sh -c 'sleep 0.1 &'); done; sleep 1.5; grep -l '^State:.Z' /proc/[0-9]*/status; cat /proc/1/comm; echo $$ $PPID`
	if r := hostRun(t, suite.Dx(t), "unshare", "--pid", "--mount-proc", "--init", "sh", "-c", orphans); r.Stdout != "dx-init\n2 1\n" {
		t.Errorf("with orphans: %+v", r)
	}
}

// TestUnshareSignals: a signal to dx reaches the command, with and without a
// PID namespace, and through init.
func TestUnshareSignals(t *testing.T) {
	engine.Require(t, engine.Root)
	// A shell cannot trap what its caller ignores, as nohup does.
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGHUP)
	defer signal.Stop(caught)
	for _, flags := range [][]string{{}, {"--pid"}, {"--pid", "--init"}} {
		for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGINT} {
			cmd := exec.Command(suite.Dx(t), slices.Concat([]string{"unshare"}, flags, []string{"sh", "-c",
				`trap 'echo got; exit 5' HUP INT TERM USR1; echo ready; while :; do sleep 0.05; done`})...)
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // no terminal
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			stop := time.AfterFunc(await.Patience, func() { _ = cmd.Process.Kill() })
			if b := make([]byte, 6); !readAll(out, b) || string(b) != "ready\n" {
				t.Fatalf("%q: the command says %q", flags, b)
			}
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			b := make([]byte, 4)
			readAll(out, b)
			_ = cmd.Wait()
			stop.Stop()
			if string(b) != "got\n" || cmd.ProcessState.ExitCode() != 5 {
				t.Errorf("unshare %q and %v: the command says %q and ends with %v, want got and exit code 5", flags, sig, b, cmd.ProcessState)
			}
		}
	}
}

func readAll(r interface{ Read([]byte) (int, error) }, b []byte) bool {
	for n := 0; n < len(b); {
		m, err := r.Read(b[n:])
		if n += m; err != nil {
			return n == len(b)
		}
	}
	return true
}

// TestUnshareOnATerminal: ctrl-C reaches a command once, and init's, too.
func TestUnshareOnATerminal(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	engine.Require(t, engine.Tmux)
	const trap = `trap "echo INT; n=\$((n+1))" INT; echo ready; sleep 20; sleep 1; echo times=$n; tty`
	for _, flags := range []string{"", "--pid", "--pid --init"} {
		dir := t.TempDir()
		s := openScreen(t, e, session(suite.Dx(t)+" unshare "+flags+" sh -c '"+trap+"'", dir))
		s.wait("^ready")
		s.keys("C-c")
		s.wait("^times=1$")
		s.wait("^/dev/pts/")
		s.wait("^code=0")
	}
	s := openScreen(t, e, session(suite.Dx(t)+" unshare --pid --init sleep 1000", t.TempDir()))
	eventually(t, "the command runs", func() bool { return hostRun(t, "pgrep", "-x", "dx-init").Code == 0 })
	s.keys("C-c")
	s.wait("code=130$")
}

// TestUnshareMapAuto: the subordinate ids of an account, which the test has in a
// mount namespace of its own.
func TestUnshareMapAuto(t *testing.T) {
	engine.Require(t, engine.Root, engine.Uidmap)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "subid"), []byte("nobody:300000:65536\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	const script = `for f in subuid subgid; do [ -e /etc/$f ] || exit 77; mount --bind "$0/subid" /etc/$f || exit 77; done; shift 0; exec "$@"`
	run := func(tool ...string) engine.Result {
		return hostRun(t, slices.Concat([]string{"unshare", "-m", "sh", "-c", script, dir}, nobody, tool,
			[]string{"sh", "-c", "cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups; setpriv --reuid 7 --clear-groups id -u"})...)
	}
	want := run("unshare", "--fork", "-r", "--map-auto")
	got := run(suite.Dx(t), "unshare", "-r", "--map-auto")
	if want != got {
		t.Errorf("unshare: %+v\ndx:      %+v", want, got)
	}
}

func TestUnshareRefuses(t *testing.T) {
	engine.Require(t, engine.Root)
	for _, test := range []struct {
		flags []string
		want  string
	}{
		{[]string{"--fork=false", "true"}, "--fork=false"},
		{[]string{"-r", "-c", "true"}, "exclude each other"},
		{[]string{"--map-auto", "true"}, "--map-root-user (-r), which is missing"},
		{[]string{"--init", "true"}, "--pid is missing"},
		{[]string{"--mount-dev", "true"}, "--root is missing"},
		{[]string{"--root", "/no/such", "true"}, "the new root: open /no/such: no such file or directory"},
		{[]string{"--root", "/etc/passwd", "true"}, "not a directory"},
		{[]string{"--root", "/tmp", "--propagation", "shared", "true"}, "private or slave"},
		{[]string{"--propagation", "odd", "true"}, `"odd" is no propagation`},
		{[]string{"--pid", "--root", t.TempDir(), "--mount-proc", "true"}, "cannot mount /proc: no such file or directory; create that directory first"},
	} {
		r := hostRun(t, append([]string{suite.Dx(t), "unshare"}, test.flags...)...)
		if r.Code != 125 || !strings.Contains(r.Stderr, test.want) {
			t.Errorf("%q: %+v, want %q", test.flags, r, test.want)
		}
	}
}
