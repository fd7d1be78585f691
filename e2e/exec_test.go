package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dx/e2e/engine"
)

// kinds are containers in which a process must not be able to tell dx from docker.
var kinds = []struct {
	name  string
	run   []string // flags of docker run
	execs [][]string
}{
	{"default", nil, [][]string{{}, {"-u", "app"}, {"-t"}, {"-i"}, {"-w", "/tmp"}, {"-e", "A=1"}}},
	{"cap-drop", []string{"--cap-drop", "ALL"}, [][]string{{}, {"-u", "app"}}},
	{"cap-add", []string{"--cap-add", "SYS_ADMIN", "--cap-drop", "CHOWN"}, [][]string{{}, {"-u", "1000"}}},
	{"pid-host", []string{"--pid", "host"}, [][]string{{}}},
	{"ipc-host", []string{"--ipc", "host"}, [][]string{{}}},
	{"uts-host", []string{"--uts", "host"}, [][]string{{}}},
	{"network-host", []string{"--network", "host"}, [][]string{{}}},
	{"cgroupns-host", []string{"--cgroupns", "host"}, [][]string{{}}},
	{"cgroupns-private", []string{"--cgroupns", "private"}, [][]string{{}}},
	{"seccomp-unconfined", []string{"--security-opt", "seccomp=unconfined"}, [][]string{{}, {"-u", "app"}}},
	{"no-new-privileges", []string{"--security-opt", "no-new-privileges"}, [][]string{{}, {"-u", "app"}}},
	{"user", []string{"--user", "app", "--group-add", "4711"}, [][]string{{}, {"-u", "0"}, {"-u", "root:extra"}}},
	{"user-numeric", []string{"--user", "77:88"}, [][]string{{}, {"-u", "app"}}},
	{"group-add", []string{"--group-add", "extra", "--group-add", "99"}, [][]string{{}, {"-u", "app"}}},
	// Not nofile: see TestExecLimits.
	{"ulimit", []string{"--ulimit", "nproc=1000:2000", "--ulimit", "core=0"}, [][]string{{}}},
	{"oom-score-adj", []string{"--oom-score-adj", "321"}, [][]string{{}}},
	{"read-only", []string{"--read-only", "--tmpfs", "/run"}, [][]string{{}}},
	{"init", []string{"--init"}, [][]string{{}}},
	{"cpuset", []string{"--cpuset-cpus", "0"}, [][]string{{}}},
	{"limits", []string{"--memory", "64m", "--pids-limit", "50"}, [][]string{{}}},
	{"workdir-hostname-env", []string{"-w", "/home/app", "-h", "box", "-e", "PATH=/bin", "-e", "B=x y", "-e", "HOME=/tmp"}, [][]string{{}, {"-e", "B=2", "-e", "C=3", "-e", "HOSTNAME"}}},
	{"tty", []string{"-t"}, [][]string{{}, {"-t"}}},
	{"volume", []string{"-v", "/v", "--tmpfs", "/scratch:size=1m", "--shm-size", "1m"}, [][]string{{}}},
}

func TestExecIsDockerExec(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine.Engine) {
		for _, k := range kinds {
			t.Run(k.name, func(t *testing.T) {
				t.Parallel()
				c := e.Run(t, engine.Busybox, k.run...)
				for _, flags := range k.execs {
					t.Run(strings.Join(flags, " "), func(t *testing.T) { mustMatch(t, e, c, flags...) })
				}
			})
		}
	})
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
	want := e.Docker(t, "exec", c.Name, "cat", "/proc/1/limits")
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

// TestExecUsernsRemap: containers have a user namespace of their own.
func TestExecUsernsRemap(t *testing.T) {
	for name, c := range cgroups {
		t.Run(name, func(t *testing.T) {
			e := suite.Start(t, engine.Options{Cgroup: c, UsernsRemap: true})
			for _, flags := range [][]string{nil, {"--cap-drop", "ALL"}, {"--user", "app"}} {
				box := e.Run(t, engine.Busybox, flags...)
				mustMatch(t, e, box)
				mustMatch(t, e, box, "-t", "-u", "app")
			}
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
			exec nice -n 7 ionice -c 3 chrt -b 0 taskset 1 "$@"`
		args := slices.Concat([]string{"sh", "-c", setUp, "sh"}, e.DxArgs(t), []string{"exec"}, flags, []string{c.Name}, command)
		return e.Do(t, engine.Command{Args: args})
	}
	onBoth(t, func(t *testing.T, e *engine.Engine) {
		c := e.Run(t, engine.Busybox)
		for _, d := range compare(t, e, c, odd, nil) {
			t.Error(d)
		}
	})
}
