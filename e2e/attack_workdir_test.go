package e2e

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"dx/e2e/engine"
)

// A container makes its working directory a link that leads out of it, by the
// root of a process that has another one (CVE-2024-21626). dx goes there with
// rights that the container lacks, and must see that it is outside.

// escape is what the runtime says of such a directory.
const escape = "current working directory is outside of container mount namespace root"

// hostSecret is what only the host has.
const hostSecret = "only-the-host-has-this"

// outside is a directory of the host with a secret, and the link that a container
// makes to lead there.
type outside struct {
	dir    string // on the host
	link   string // target of the container's /x
	secret string // seen from there
	fake   string // the directory that getcwd's answer names, when looked up there
}

// secretDirectory is one that everybody may search.
func secretDirectory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "dxa-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/secret", []byte(hostSecret), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// shareWithHost starts a container in the host's PID namespace, where this test
// has a foreign root, with a directory of the host that it may write to.
func shareWithHost(t *testing.T, e *engine.Engine, flags ...string) (engine.Container, outside) {
	t.Helper()
	dir := secretDirectory(t)
	c := e.Run(t, engine.Busybox, slices.Concat([]string{"--pid", "host", "-w", "/x", "-v", dir + ":/data"}, flags)...)
	o := outside{dir: dir, link: "/proc/" + strconv.Itoa(os.Getpid()) + "/root" + dir, secret: "secret", fake: "/data/(unreachable)" + dir}
	inContainer(t, e, c, "rmdir /x; ln -s "+o.link+" /x")
	return c, o
}

// withHostTools starts a container without any right, in which an administrator
// runs dx debug --host-tools: a process with the host's root, in its PID namespace.
func withHostTools(t *testing.T, e *engine.Engine) (engine.Container, outside) {
	t.Helper()
	const seconds = "313373"
	dir := secretDirectory(t)
	c := e.Run(t, engine.Busybox, "-w", "/x")
	e.Spawn(t, slices.Concat(e.DxArgs(t), []string{"debug", "--host-tools", c.Name, "sleep", seconds})...)
	const find = `for p in /proc/[0-9]*; do
		[ "$(tr '\0' ' ' <$p/cmdline)" = "sleep ` + seconds + ` " ] && echo ${p#/proc/} && exit; done; exit 1`
	var pid string
	eventually(t, "the host's tools run in the container", func() bool {
		r := e.Docker(t, "exec", "-w", "/", c.Name, "sh", "-c", find)
		pid = strings.TrimSpace(r.Stdout)
		return r.Code == 0
	})
	o := outside{dir: dir, link: "/proc/" + pid + "/root/container", secret: ".." + dir + "/secret", fake: "/(unreachable)/container"}
	inContainer(t, e, c, "rmdir /x; ln -s "+o.link+" /x")
	return c, o
}

// inContainer runs what the attacker does inside.
func inContainer(t *testing.T, e *engine.Engine, c engine.Container, script string) {
	t.Helper()
	if r := e.Docker(t, "exec", "-u", "0", "-w", "/", c.Name, "sh", "-c", script); r.Code != 0 {
		t.Fatalf("in the container, %q: %+v", script, r)
	}
}

// stay tries every way of dx to run a command in the container's directory.
func (o outside) stay(t *testing.T, e *engine.Engine, c engine.Container, command ...string) {
	t.Helper()
	want := e.Docker(t, slices.Concat([]string{"exec", c.Name}, command)...)
	if !strings.Contains(want.Stdout, escape) {
		t.Fatalf("docker exec is not refused: %+v", want)
	}
	for _, form := range [][]string{
		{"exec", c.Name}, {"exec", "-w", "/x", c.Name}, {"exec", "-w", "/x/.", c.Name}, {"exec", "--privileged", c.Name},
		{"exec", "-w", o.link, c.Name}, {"debug", c.Name}, {"debug", "-w", "/x", c.Name},
	} {
		got := e.Dx(t, slices.Concat(form, command)...)
		if !strings.Contains(got.Stdout, escape) || got.Code != want.Code {
			t.Errorf("dx %q: %+v, docker exec says %+v", form, got, want)
		}
	}
	// Forms with other words than docker's: what counts is that nothing is read.
	words := strings.Join(command, " ")
	for _, form := range [][]string{
		{"exec", "--source", "host", c.Name, "sh", "-c", words}, {"shell", c.Name, "-c", words}, {"shell", "-w", "/x", c.Name, "-c", words},
		{"exec", "-w", "/x", "pid:" + strconv.Itoa(c.PID), "sh", "-c", words},
		{"exec", "--ns", "mnt", "-w", "/x", c.Name, "sh", "-c", words},
		{"exec", "--ns", "mnt", "--expose-host", "-w", "/x", c.Name, "sh", "-c", words},
		{"exec", "--ns", "mnt,pid", "--expose-host", "-w", "/x", c.Name, "sh", "-c", words},
	} {
		if got := e.Dx(t, form...); got.Code == 0 || strings.Contains(got.Stdout, hostSecret) {
			t.Errorf("dx %q is let out: %+v", form, got)
		}
	}
	// And the check refuses nothing else.
	for _, dir := range []string{"/", "/tmp", "/proc/1/cwd"} {
		flags := []string{"-u", "0", "-w", dir}
		want, got := withDocker(t, e, c, flags, []string{"pwd"}), withDx(t, e, c, flags, []string{"pwd"})
		if want != got {
			t.Errorf("in %s docker has %+v, dx %+v", dir, want, got)
		}
	}
}

func TestAttackWorkdirOfHostTools(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c, o := withHostTools(t, e)
	t.Run("not made", func(t *testing.T) { o.stay(t, e, c, "cat", o.secret) })
	inContainer(t, e, c, "mkdir -p '"+o.fake+"'")
	t.Run("made", func(t *testing.T) { o.stay(t, e, c, "cat", o.secret) })
}

func TestAttackWorkdirOfTheHostsPIDs(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c, o := shareWithHost(t, e)
	t.Run("not made", func(t *testing.T) { o.stay(t, e, c, "cat", o.secret) })
	inContainer(t, e, c, "mkdir -p '"+o.fake+"'")
	t.Run("made", func(t *testing.T) { o.stay(t, e, c, "cat", o.secret) })
	inContainer(t, e, c, "rm -r '/data/(unreachable)'; ln -s / '/data/(unreachable)'")
	t.Run("a link", func(t *testing.T) { o.stay(t, e, c, "cat", o.secret) })
}

// TestAttackWorkdirThatIsClosed: the user may not search the directory, which
// only says so, and a set-user-ID program goes on from there.
func TestAttackWorkdirThatIsClosed(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c, o := shareWithHost(t, e, "--user", "1000")
	reader := suite.Build(t, "dx/e2e/attacker/reader")
	if r := e.Docker(t, "cp", reader, c.Name+":/reader"); r.Code != 0 {
		t.Fatalf("docker cp: %+v", r)
	}
	inContainer(t, e, c, "chown 0:0 /reader; chmod 4755 /reader")
	if err := os.Chmod(o.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	o.stay(t, e, c, "/reader", o.secret)
	inContainer(t, e, c, "mkdir -p '"+o.fake+"'")
	o.stay(t, e, c, "/reader", o.secret)
}

// TestAttackWorkdirOfANewRoot: a tree that somebody else has made.
func TestAttackWorkdirOfANewRoot(t *testing.T) {
	root, o := busyboxRoot(t), outside{dir: secretDirectory(t)}
	if err := os.Symlink("/proc/"+strconv.Itoa(os.Getpid())+"/root"+o.dir, root+"/x"); err != nil {
		t.Fatal(err)
	}
	for _, fake := range []string{"", "/(unreachable)" + o.dir} {
		if err := os.MkdirAll(o.dir+fake, 0o755); err != nil {
			t.Fatal(err)
		}
		for dir, want := range map[string]int{"/x": 125, "/bin": 1} {
			r := hostRun(t, suite.Dx(t), "unshare", "--mount", "--mount-proc", "--root", root, "--wd", dir, "/bin/cat", "secret")
			if r.Code != want || strings.Contains(r.Stdout, hostSecret) {
				t.Errorf("in %s: %+v, want exit code %d", dir, r, want)
			}
		}
	}
}
