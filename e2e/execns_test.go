package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"dx/e2e/engine"
)

// TestExecNSIsNsenter: single namespaces, and everything else is the caller's.
func TestExecNSIsNsenter(t *testing.T) {
	const look = `for n in cgroup ipc net pid time user uts; do readlink /proc/self/ns/$n; done; pwd; id; uname -n; ls /; umask
		grep -E '^(Cap|Groups|NoNewPrivs|Seccomp:)' /proc/self/status; cat /proc/net/dev; cat /proc/self/cgroup; env | sort | grep -v ^_; echo $0`
	onBoth(t, func(t *testing.T, e *engine.Engine) {
		c := e.Run(t, engine.Busybox, "--user", "app", "--cap-drop", "ALL", "-h", "box", "--ipc", "private")
		pid := strconv.Itoa(c.PID)
		for kinds, flags := range map[string][]string{
			"net": {"-n"}, "uts": {"-u"}, "ipc,uts": {"-i", "-u"}, "cgroup": {"-C"}, "network,uts,ipc": {"-n", "-u", "-i"},
			"mnt,uts": {"-m", "-u"}, "pid,mnt,net": {"-p", "-m", "-n"},
		} {
			args := slices.Concat([]string{"nsenter", "-t", pid}, flags, []string{"--"})
			if strings.Contains(kinds, "mnt") {
				args = slices.Insert(args, 1, "-r")
			}
			want := e.Do(t, engine.Command{Args: append(args, "sh", "-c", look)})
			got := e.Dx(t, "exec", "--expose-host", "--ns", kinds, c.Name, "sh", "-c", look)
			if got != want {
				t.Errorf("--ns %s\nnsenter: %+v\ndx:      %+v", kinds, want, got)
			}
		}
	})
}

// TestExecNSNames: host tools resolve as the container does, and the host goes
// on as before.
func TestExecNSNames(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine.Engine) {
		c := e.Run(t, engine.Busybox, "--network", "none", "--dns", "10.9.8.7", "--add-host", "db.example:10.1.2.3", "-h", "box")
		host := func() engine.Result {
			return e.Do(t, engine.Command{Args: []string{"cat", "/etc/resolv.conf", "/etc/hosts", "/proc/self/mountinfo"}})
		}
		before := host()
		want := e.MustDocker(t, "exec", c.Name, "cat", "/etc/resolv.conf", "/etc/hosts")
		if got := e.Dx(t, "exec", "--ns", "net", c.Name, "cat", "/etc/resolv.conf", "/etc/hosts"); got != want {
			t.Errorf("docker exec: %+v\ndx exec --ns net: %+v", want, got)
		}
		if r := e.Dx(t, "exec", "--ns", "net", c.Name, "getent", "hosts", "db.example"); !strings.HasPrefix(r.Stdout, "10.1.2.3") {
			t.Errorf("getent: %+v", r)
		}
		// As a plain user of the host reads them, whatever the caller's umask.
		r := e.Do(t, engine.Command{Args: slices.Concat([]string{"sh", "-c", `umask 077; exec "$@"`, "sh"}, e.DxArgs(t),
			[]string{"exec", "--ns", "net", c.Name}, nobody, []string{"cat", "/etc/hosts"})})
		if !strings.Contains(r.Stdout, "db.example") {
			t.Errorf("as nobody: %+v", r)
		}
		// Not without net, and with the container's own root there is nothing to mount.
		r = e.Dx(t, "exec", "--ns", "uts", c.Name, "cat", "/etc/resolv.conf", "/etc/hosts", "/proc/self/mountinfo")
		if r.Stdout != before.Stdout {
			t.Errorf("--ns uts sees %s\nthe host %s", r.Stdout, before.Stdout)
		}
		if after := host(); after != before {
			t.Errorf("the host had %s\nand has %s", before.Stdout, after.Stdout)
		}
	})
}

// TestExecNSPid: the host's ps sees the container's processes, by its PIDs.
func TestExecNSPid(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine.Engine) {
		c := e.Run(t, engine.Busybox)
		want := e.MustDocker(t, "exec", c.Name, "sh", "-c", "cat /proc/1/cmdline | tr '\\0' ' '")
		got := e.Dx(t, "exec", "--ns", "pid", c.Name, "ps", "-o", "args=", "-p", "1")
		if strings.TrimSpace(got.Stdout) != strings.TrimSpace(want.Stdout) {
			t.Errorf("pid 1 is %+v, want %+v", got, want)
		}
		if r := e.Dx(t, "exec", "-t", "--ns", "pid,net", c.Name, "sh", "-c", "tty; echo /proc/[0-9]*"); !strings.HasPrefix(r.Stdout, "/dev/pts/") || len(strings.Fields(r.Stdout)) != 3 {
			t.Errorf("with a terminal: %+v", r)
		}
	})
}

// TestExecNSExposure plays the attacker: a container with CAP_SYS_PTRACE reads a
// file of the host's through a host program in its PID namespace. dx refuses to
// give it that chance.
func TestExecNSExposure(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	secret := filepath.Join(e.Dir, "secret")
	if err := os.WriteFile(secret, []byte("the host's secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	steal := "for i in $(seq 40); do cat /proc/[0-9]*/root" + secret + " 2>/dev/null && exit; sleep 0.1; done; exit 9"
	for _, test := range []struct {
		name   string
		run    []string
		stolen bool
	}{{"with ptrace", []string{"--cap-add", "SYS_PTRACE"}, true}, {"by default", nil, false}} {
		t.Run(test.name, func(t *testing.T) {
			c := e.Run(t, engine.Busybox, test.run...)
			flags := []string{"exec", "--ns", "pid"}
			if test.stolen {
				r := e.Dx(t, "exec", "--ns", "pid", c.Name, "true")
				if r.Code != 125 || !strings.Contains(r.Stderr, "has CAP_SYS_PTRACE") || !strings.Contains(r.Stderr, "--expose-host") {
					t.Errorf("not refused: %+v", r)
				}
				flags = append(flags, "--expose-host")
			}
			e.Spawn(t, slices.Concat(e.DxArgs(t), flags, []string{c.Name, "sleep", "20"})...)
			r := e.Docker(t, "exec", c.Name, "sh", "-c", steal)
			if stolen := r.Stdout == "the host's secret\n"; stolen != test.stolen {
				t.Errorf("the attacker has %+v", r)
			}
		})
	}
	// Without the PID namespace nobody of the container sees the command.
	c := e.Run(t, engine.Busybox, "--cap-add", "SYS_PTRACE")
	if r := e.Dx(t, "exec", "--ns", "net,ipc,uts", c.Name, "true"); r.Code != 0 {
		t.Errorf("without pid: %+v", r)
	}
}

func TestExecNSRefuses(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox)
	for _, test := range []struct {
		flags []string
		want  string
	}{
		{[]string{"--ns", "nte"}, `"nte" is not a namespace type`},
		{[]string{"--ns", "net", "-u", "app"}, "--user has no meaning with --ns"},
		{[]string{"--ns", "net", "--privileged"}, "--privileged has no meaning with --ns"},
		{[]string{"--ns", "net", "--no-cgroup"}, "--no-cgroup has no meaning with --ns"},
		{[]string{"--expose-host"}, "--expose-host requires --ns"},
	} {
		r := e.Dx(t, slices.Concat([]string{"exec"}, test.flags, []string{c.Name, "true"})...)
		if r.Code == 0 || !strings.Contains(r.Stderr, test.want) {
			t.Errorf("%q: %+v, want %q", test.flags, r, test.want)
		}
	}
}

// hasPIDsMax asks the kernel for the limit. docker exec is no witness: runc's process
// is moved into the cgroup, which no limit forbids, and fails only if the Go runtime
// happens to need another thread there.
func hasPIDsMax(t *testing.T, c engine.Container, want string) bool {
	t.Helper()
	for _, line := range cgroupLines(t, c.PID, c.ID) {
		_, path, _ := strings.Cut(line, ":/")
		for _, hierarchy := range []string{"pids", "unified", ""} {
			b, err := os.ReadFile(filepath.Join("/sys/fs/cgroup", hierarchy, path, "pids.max"))
			if err == nil && strings.TrimSpace(string(b)) == want {
				return true
			}
		}
	}
	return false
}

// TestExecNoCgroup: in at a reached limit, and in the caller's cgroup.
func TestExecNoCgroup(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine.Engine) {
		c := e.Run(t, engine.Busybox, "--pids-limit", "1")
		limited := hasPIDsMax(t, c, "1")
		if !limited && e.Cgroup == engine.V1 {
			t.Fatal("the kernel has no such limit")
		}
		// Beside cgroup v1, v2 may be without a pids controller.
		r := e.Dx(t, "exec", c.Name, "true")
		if limited && r.Code != 0 {
			t.Errorf("at the limit, where docker exec gets in: %+v", r)
		}
		const look = "hostname; sh -c 'id -u'; readlink /proc/self/ns/net; grep -E '^(Cap|Seccomp:)' /proc/self/status"
		r = e.Dx(t, "exec", "--no-cgroup", c.Name, "sh", "-c", look)
		free := e.Run(t, engine.Busybox, "--network", "container:"+c.Name)
		want := e.MustDocker(t, "exec", free.Name, "sh", "-c", look)
		if r.Code != 0 || r.Stdout != want.Stdout {
			t.Errorf("--no-cgroup: %+v, want %+v", r, want)
		}
		mine := e.Do(t, engine.Command{Args: []string{"cat", "/proc/self/cgroup"}})
		nofs := e.Run(t, engine.Busybox, "--cgroupns", "host")
		if r := e.Dx(t, "exec", "--no-cgroup", nofs.Name, "cat", "/proc/self/cgroup"); r.Stdout != mine.Stdout {
			t.Errorf("the cgroups are %s, the caller's %s", r.Stdout, mine.Stdout)
		}
		// What is paused does not hold it up.
		e.MustDocker(t, "pause", c.Name)
		if r := e.Dx(t, "exec", "--no-cgroup", c.Name, "echo", "in"); r.Stdout != "in\n" {
			t.Errorf("paused: %+v", r)
		}
		e.MustDocker(t, "unpause", c.Name)
	})
}
