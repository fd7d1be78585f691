package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dx/e2e/engine"
)

// kind is a container in which a process must not be able to tell dx from docker.
type kind struct {
	name  string
	run   []string // flags of docker run, with names of fixtures
	execs [][]string
	// prepare is a shell script that changes the container first.
	prepare string
}

var kinds = []kind{
	{name: "default", execs: [][]string{{}, {"-u", "app"}, {"-t"}, {"-i"}, {"-w", "/tmp"}, {"-e", "A=1"}}},
	{name: "cap-drop", run: []string{"--cap-drop", "ALL"}, execs: [][]string{{}, {"-u", "app"}}},
	{name: "cap-add", run: []string{"--cap-add", "SYS_ADMIN", "--cap-drop", "CHOWN"}, execs: [][]string{{}, {"-u", "1000"}}},
	{name: "pid-host", run: []string{"--pid", "host"}, execs: [][]string{{}}},
	{name: "ipc-host", run: []string{"--ipc", "host"}, execs: [][]string{{}}},
	{name: "uts-host", run: []string{"--uts", "host"}, execs: [][]string{{}}},
	{name: "network-host", run: []string{"--network", "host"}, execs: [][]string{{}}},
	{name: "cgroupns-host", run: []string{"--cgroupns", "host"}, execs: [][]string{{}}},
	{name: "cgroupns-private", run: []string{"--cgroupns", "private"}, execs: [][]string{{}}},
	{name: "seccomp-unconfined", run: []string{"--security-opt", "seccomp=unconfined"}, execs: [][]string{{}, {"-u", "app"}}},
	{name: "apparmor-unconfined", run: []string{"--security-opt", "apparmor=unconfined"}, execs: [][]string{{}}},
	{name: "no-new-privileges", run: []string{"--security-opt", "no-new-privileges"}, execs: [][]string{{}, {"-u", "app"}}},
	{name: "user", run: []string{"--user", "app", "--group-add", "4711"}, execs: [][]string{{}, {"-u", "0"}, {"-u", "root:extra"}}},
	{name: "user-numeric", run: []string{"--user", "77:88"}, execs: [][]string{{}, {"-u", "app"}}},
	{name: "group-add", run: []string{"--group-add", "extra", "--group-add", "99"}, execs: [][]string{{}, {"-u", "app"}}},
	// Not nofile: see TestExecLimits.
	{name: "ulimit", run: []string{"--ulimit", "nproc=1000:2000", "--ulimit", "core=0"}, execs: [][]string{{}}},
	{name: "oom-score-adj", run: []string{"--oom-score-adj", "321"}, execs: [][]string{{}}},
	{name: "read-only", run: []string{"--read-only", "--tmpfs", "/run"}, execs: [][]string{{}}},
	{name: "init", run: []string{"--init"}, execs: [][]string{{}}},
	{name: "cpuset", run: []string{"--cpuset-cpus", "0"}, execs: [][]string{{}}},
	{name: "limits", run: []string{"--memory", "64m", "--pids-limit", "50"}, execs: [][]string{{}}},
	{name: "workdir-hostname-env", run: []string{"-w", "/home/app", "-h", "box", "-e", "PATH=/bin", "-e", "B=x y", "-e", "HOME=/tmp"}, execs: [][]string{{}, {"-e", "B=2", "-e", "C=3", "-e", "HOSTNAME"}}},
	{name: "tty", run: []string{"-t"}, execs: [][]string{{}, {"-t"}}},
	{name: "volume", run: []string{"-v", "/v", "--tmpfs", "/scratch:size=1m", "--shm-size", "1m"}, execs: [][]string{{}}},
}

func TestExecIsDockerExec(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine.Engine) { mustMatchAll(t, e, kinds) })
}

// TestExecOfOtherKinds: what these are about is the same on each cgroup version.
func TestExecOfOtherKinds(t *testing.T) { mustMatchAll(t, suite.Engine(t, engine.Host), otherKinds) }

func mustMatchAll(t *testing.T, e *engine.Engine, kinds []kind) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			c := k.start(t, e)
			for n, flags := range k.execs {
				t.Run(flagsName(n, flags), func(t *testing.T) { mustMatch(t, e, c, flags...) })
			}
		})
	}
}

// TestExecPrivileged: docker exec --privileged works without CAP_SYS_RESOURCE
// only in a runtime that does not ask for it.
func TestExecPrivileged(t *testing.T) {
	engine.Require(t, engine.SysResource)
	onBoth(t, func(t *testing.T, e *engine.Engine) {
		mustMatch(t, e, e.Run(t, engine.Busybox), "--privileged")
		mustMatch(t, e, e.Run(t, engine.Busybox, "--privileged"))
	})
}

// TestTheComparisonCanFail: nsenter is known to differ in most of this.
func TestTheComparisonCanFail(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine.Engine) {
		c := e.Run(t, engine.Busybox)
		if d := compare(t, e, c, withDocker, nil); len(d) != 0 {
			t.Errorf("docker exec differs from itself: %v", d)
		}
		found := strings.Join(compare(t, e, c, withNsenter, nil), "\n")
		for _, section := range []string{"status", "environ", "cgroup", "fd"} {
			if !strings.Contains(found, section+" line") {
				t.Errorf("%s: the comparison does not see that nsenter differs from docker exec", section)
			}
		}
	})
}

// TestExecLimits compares with the container's init. docker exec is no measure
// where runc was built with Go 1.19 or later and is older than 1.1.12: Go raises
// the soft limit of open files, and that runc passes it on.
func TestExecLimits(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox, "--ulimit", "nofile=100:200", "--ulimit", "fsize=1000000")
	want := e.MustDocker(t, "exec", c.Name, "cat", "/proc/1/limits")
	got := e.Dx(t, "exec", c.Name, "cat", "/proc/self/limits")
	if got != want {
		t.Errorf("init: %s\ndx:   %s", want.Stdout, got.Stdout)
	}
}

// userForms are ways to write -u.
var userForms = []string{
	"app", "root", "1000", "0", "1000:2000", "app:extra", "app:2000", "1000:app", ":extra", "app:",
	"odd", "1001", "4711", "4711:12", "0:0", "2147483647",
}

func TestExecUser(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox)
	for _, u := range userForms {
		same(t, e, c, []string{"-u", u}, "sh", "-c", "id; echo $HOME; grep -E '^(Uid|Gid|Groups|Cap)' /proc/self/status")
	}
}

func TestExecEnv(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox, "-e", "A=1", "-e", "B=", "-e", "NL=a\nb", "-e", "UTF=é", "-h", "box")
	file := filepath.Join(t.TempDir(), "env")
	content := "\ufeff# comment\nFROM=file\n  LEAD=x \nQ=\"quoted\"\n\nDX_E2E_LOCAL\nDX_E2E_UNSET\nA=file\n"
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DX_E2E_LOCAL", "local")
	for _, flags := range [][]string{
		nil,
		{"-t"},
		{"-t", "-e", "TERM=vt100"},
		{"-e", "A=2", "-e", "N=1"},
		{"-e", "N=1", "-e", "N=2"},
		{"-e", "A"},
		{"-e", "DX_E2E_LOCAL"},
		{"-e", "HOME="},
		{"-e", "HOME=/x", "-e", "PATH=/bin:/x"},
		{"-e", "E=", "-e", "X=y=z"},
		{"-e", "SP= a b "},
		{"--env-file", file},
		{"--env-file", file, "-e", "FROM=flag"},
		{"-u", "app"},
		{"-u", "4711"},
	} {
		same(t, e, c, flags, "sh", "-c", "tr '\\0' '|' </proc/self/environ")
	}
}

func TestExecWorkdir(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox, "-w", "/home")
	for _, flags := range [][]string{nil, {"-w", "/tmp"}, {"-w", "/tmp/../etc/"}, {"-w", "/"}, {"-u", "app", "-w", "/home/app"}} {
		same(t, e, c, flags, "pwd")
		same(t, e, c, flags, "readlink", "/proc/self/cwd")
	}
}

// same compares streams and exit code of one command by docker and by dx.
func same(t *testing.T, e *engine.Engine, c engine.Container, flags []string, command ...string) {
	t.Helper()
	want := withDocker(t, e, c, flags, command)
	got := withDx(t, e, c, flags, command)
	if want != got {
		t.Errorf("exec %q %q\ndocker: %+v\ndx:     %+v", flags, command, want, got)
	}
}

// TestExecThroughItsOwnProc: /proc/self in a command or a directory is the command's own
// process, in the container's /proc.
func TestExecThroughItsOwnProc(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox)
	for _, flags := range [][]string{nil, {"-u", "app"}, {"-t"}} {
		for _, command := range []string{
			"/proc/self/root/bin/true", "/proc/thread-self/root/bin/true", "/proc/self/../self/cwd/bin/true",
			"/proc/self/root/nosuch", "/proc/self/root/etc", "/proc/self/root/etc/passwd", "/proc/self/nosuch", "/proc/self/fd/77", "/proc/self/fd/0",
			"/dev/fd/0", "/dev/fd/77", "/dev/stdin", "/dev/stdin/x",
		} {
			same(t, e, c, flags, command)
		}
		for _, dir := range []string{"/proc/self/cwd", "/proc/self/root/tmp", "/proc/thread-self/root", "/proc/self/nosuch", "/proc/self/fd/77", "/proc/self/root/etc/passwd"} {
			same(t, e, c, append([]string{"-w", dir}, flags...), "pwd")
		}
		same(t, e, c, append([]string{"-w", "/proc/self/root/bin"}, flags...), "./true")
		for _, path := range []string{"/nosuch:/proc/self/root/bin", "/dev/fd:/proc/self/cwd/bin:/bin", "/proc/self/root/etc", ":/proc/self/nosuch"} {
			same(t, e, c, append([]string{"-e", "PATH=" + path}, flags...), "true")
			same(t, e, c, append([]string{"-e", "PATH=" + path}, flags...), "group")
		}
	}
}

// TestExecUsernsRemap: containers have a user namespace of their own, also those whose init
// has changed.
func TestExecUsernsRemap(t *testing.T) {
	for name, c := range cgroups {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := suite.Start(t, engine.Options{Cgroup: c, UsernsRemap: true})
			mustMatchAll(t, e, remappedKinds)
			mustMatchChanged(t, e)
		})
	}
}

// TestExecFromAnOddCaller: nothing that dx inherits reaches the process.
func TestExecFromAnOddCaller(t *testing.T) {
	odd := func(t testing.TB, e *engine.Engine, c engine.Container, flags, command []string) engine.Result {
		const setUp = `trap "" HUP INT USR1 CHLD
			umask 077
			ulimit -S -n 64; ulimit -S -c 0; ulimit -S -s 1024
			echo 500 >/proc/self/oom_score_adj
			echo 0x7f >/proc/self/coredump_filter
			exec nice -n 7 ionice -c 3 chrt -b 0 taskset 1 setarch -R \
				setpriv --inh-caps +net_admin --ambient-caps +net_admin --securebits +no_setuid_fixup --groups 0,6,42 "$@"`
		args := slices.Concat([]string{"sh", "-c", setUp, "sh", suite.Build(t, "dx/e2e/oddcaller")}, e.DxArgs(t), []string{"exec"}, flags, []string{c.Name}, command)
		return e.Do(t, engine.Command{Args: args})
	}
	onBoth(t, func(t *testing.T, e *engine.Engine) {
		// Docker's own filter keeps the prober from asking for some of it.
		for _, flags := range [][]string{nil, {"--security-opt", "seccomp=unconfined"}} {
			c := e.Run(t, engine.Busybox, append(mountProber(t), flags...)...)
			for _, d := range compare(t, e, c, odd, nil) {
				t.Errorf("%v: %s", flags, d)
			}
		}
	})
}

// TestExecFromACallerForLife: what nobody can undo is an error.
func TestExecFromACallerForLife(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox)
	run := func(flags ...string) engine.Result {
		args := slices.Concat([]string{suite.Build(t, "dx/e2e/oddcaller"), "-for-life"}, e.DxArgs(t), []string{"exec"}, flags, []string{c.Name, "true"})
		return e.Do(t, engine.Command{Args: args})
	}
	if r := run(); r.Code == 0 || !strings.Contains(r.Stderr, "PR_SET_MDWE") || !strings.Contains(r.Stderr, "--ignore-caller-limits") {
		t.Errorf("%+v, want an error about PR_SET_MDWE and the way round it", r)
	}
	if r := run("--ignore-caller-limits"); r.Code != 0 {
		t.Errorf("with --ignore-caller-limits: %+v", r)
	}
}

// TestTheOddCallerIsOdd: what it sets reaches a process that nobody protects from it.
func TestTheOddCallerIsOdd(t *testing.T) {
	engine.Require(t, engine.Root)
	prober := suite.Build(t, "dx/e2e/prober")
	plain := hostRun(t, prober, "self")
	odd := hostRun(t, suite.Build(t, "dx/e2e/oddcaller"), prober, "self")
	if plain.Code != 0 || odd.Code != 0 {
		t.Fatalf("prober: %+v, %+v", plain, odd)
	}
	found := strings.Join(factDifferences(plain.Stdout, odd.Stdout), "\n")
	for _, name := range []string{"THP_DISABLE", "MCE_KILL", "MEMORY_MERGE", "TIMERSLACK", "get_mempolicy", "personality", "requested keys", "getitimer 0"} {
		if !strings.Contains(found, name) {
			t.Errorf("%s is as usual under an odd caller; different are\n%s", name, found)
		}
	}
}
