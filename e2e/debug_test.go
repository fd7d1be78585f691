package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"dx/e2e/engine"
)

// sleeper is an image FROM scratch with one static program, which sleeps.
const sleeper = "dx-sleeper"

// importSleeper makes the image once an engine.
func importSleeper(t *testing.T, e *engine.Engine) string {
	t.Helper()
	if e.Docker(t, "image", "inspect", sleeper).Code == 0 {
		return sleeper
	}
	archive := tarOf(t, map[string]string{"sleep": busybox(t)})
	r := e.Do(t, engine.Command{
		Args:  []string{"docker", "import", "-c", `CMD ["/sleep","1000000"]`, "-", sleeper},
		Stdin: bytes.NewReader(archive),
	})
	if r.Code != 0 {
		t.Fatalf("docker import: %+v", r)
	}
	return sleeper
}

func busybox(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// tarOf is an archive of programs: name in the archive → file of the host.
func tarOf(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, from := range files {
		content, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o755, Size: int64(len(content))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// bareKinds are containers without tools, as servers have them.
var bareKinds = []struct {
	name string
	run  []string
}{
	{"scratch", nil},
	{"read-only", []string{"--read-only"}},
	{"user", []string{"--user", "4711:4712"}},
	{"cap-drop", []string{"--cap-drop", "ALL"}},
	{"no-new-privileges", []string{"--security-opt", "no-new-privileges", "--user", "4711"}},
	{"all", []string{"--read-only", "--user", "4711", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--network", "none", "--ulimit", "nofile=64:64"}},
}

// state is what a container is seen to be from outside.
func state(t *testing.T, e *engine.Engine, c engine.Container) string {
	t.Helper()
	mounts, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", c.PID))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join([]string{string(mounts), e.MustDocker(t, "top", c.Name, "-eo", "pid,args").Stdout, e.MustDocker(t, "diff", c.Name).Stdout}, "\n")
}

var postureLine = regexp.MustCompile(`(?m)^(CapBnd|NoNewPrivs|Seccomp|Uid|Gid):.*$`)

// posture is what of a /proc/PID/status says what a process may do.
func posture(status string) string { return strings.Join(postureLine.FindAllString(status, -1), "\n") }

// TestDebugInBareContainers: a shell and tools where there is nothing, with the
// rights of the container's own init, and nothing is left or changed.
func TestDebugInBareContainers(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine.Engine) {
		image := importSleeper(t, e)
		for _, k := range bareKinds {
			t.Run(k.name, func(t *testing.T) { debugBare(t, e, e.Run(t, image, k.run...)) })
		}
	})
}

func debugBare(t *testing.T, e *engine.Engine, c engine.Container) {
	before := state(t, e, c)
	r := e.Do(t, engine.Command{
		Args:  slices.Concat(e.DxArgs(t), []string{"debug", c.Name}),
		Stdin: strings.NewReader("cat /proc/self/status; readlink /proc/1/exe; awk 'BEGIN { print 6*7 }' | tr 4 9; exit 3\n"),
	})
	if r.Code != 3 || !strings.HasSuffix(r.Stdout, "\n/sleep\n92\n") {
		t.Errorf("a shell from stdin: %+v", r)
	}
	init, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.PID))
	if err != nil {
		t.Fatal(err)
	}
	want := posture(string(init))
	if e.UsernsRemap {
		want = regexp.MustCompile(`\b200000\b`).ReplaceAllString(want, "0")
	}
	if got := posture(r.Stdout); got != want {
		t.Errorf("rights\n%s\nbut init has\n%s", got, want)
	}
	missing := e.Docker(t, "exec", c.Name, "nosuch")
	if r := e.Dx(t, "debug", c.Name, "nosuch"); r.Code != missing.Code || r.Stdout != missing.Stdout {
		t.Errorf("a command that nobody has: %+v\ndocker exec: %+v", r, missing)
	}
	if after := state(t, e, c); after != before {
		t.Errorf("the container was\n%s\nand is\n%s", before, after)
	}
}

func TestDebugUsernsRemap(t *testing.T) {
	for name, v := range cgroups {
		t.Run(name, func(t *testing.T) {
			e := suite.Start(t, engine.Options{Cgroup: v, UsernsRemap: true})
			c := e.Run(t, importSleeper(t, e))
			debugBare(t, e, c)
			r := e.Dx(t, "debug", "-u", "4711:4712", c.Name, "sh", "-c", "id -u; id -g; cp /proc/self/fd/99/busybox /x")
			if !strings.HasPrefix(r.Stdout, "4711\n4712\n") || r.Code == 0 {
				t.Errorf("as a user: %+v", r)
			}
			hostNet := e.Dx(t, "debug", "--host-tools", c.Name, "sh", "-c", "readlink /proc/1/exe; id -u; ls /container")
			if hostNet.Stdout != "/sleep\n0\ndev\netc\nproc\nsleep\nsys\n" {
				t.Errorf("host tools: %+v", hostNet)
			}
		})
	}
}

// TestDebugRightsAreDockerExecs compares with docker exec where there are programs.
func TestDebugRightsAreDockerExecs(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine.Engine) {
		c := e.Run(t, engine.Busybox, "--cap-add", "NET_ADMIN", "-e", "A=1", "-w", "/tmp")
		for _, flags := range [][]string{nil, {"-u", "app"}, {"-e", "A=2"}, {"-w", "/home"}} {
			command := []string{"sh", "-c", "grep -E '^(Cap|Uid|Gid|Groups|Seccomp|NoNewPrivs)' /proc/self/status; cat /proc/self/limits /proc/self/cgroup; pwd; echo $A $HOME"}
			want := e.Docker(t, slices.Concat([]string{"exec"}, flags, []string{c.Name}, command)...)
			got := e.Dx(t, slices.Concat([]string{"debug"}, flags, []string{c.Name}, command)...)
			if want != got {
				t.Errorf("%v\ndocker exec %+v\ndx debug    %+v", flags, want, got)
			}
		}
	})
}

func TestDebugPath(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox)
	for _, test := range []struct{ flags, want string }{
		{"", "/bin/cat\n"},
		{"--tools-first", "/proc/self/fd/99/cat\n"},
	} {
		args := slices.Concat([]string{"debug"}, strings.Fields(test.flags), []string{c.Name, "/bin/which", "cat"})
		if r := e.Dx(t, args...); r.Stdout != test.want {
			t.Errorf("debug %s finds cat: %v, want %q", test.flags, r, test.want)
		}
	}
	r := e.Dx(t, "debug", "--explain", c.Name, "ls")
	for _, step := range []string{"dup3(tools, TOOLS, 0)", "close_range(3, 98, 0)", "execveat("} {
		if !strings.Contains(r.Stdout, step) {
			t.Errorf("--explain has no %s", step)
		}
	}
}

// TestDebugTools: every kind of --tools.
func TestDebugTools(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, importSleeper(t, e))
	dir := t.TempDir()
	archive := tarOf(t, map[string]string{"opt/../usr/bin/echo": busybox(t)})
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write(archive)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{"tools.tar": archive, "tools.tar.gz": zipped.Bytes(), "not.tar": []byte("hello, this is no archive")}
	program, err := os.ReadFile(busybox(t))
	if err != nil {
		t.Fatal(err)
	}
	files["echo"], files["bin/echo"] = program, program
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, tools := range []string{dir, dir + "/echo", dir + "/tools.tar", dir + "/tools.tar.gz", engine.Busybox, engine.Bash + ":latest"} {
		if r := e.Dx(t, "debug", "--tools", tools, c.Name, "echo", "a b"); r.Stdout != "a b\n" || r.Code != 0 {
			t.Errorf("--tools %s: %+v", tools, r)
		}
	}
	for tools, want := range map[string]string{
		dir + "/not.tar": "archive", dir + "/nosuch": "no such file", "dx-nosuch": "no such image",
		"/dev/null": "neither a directory nor a regular file", "/bin/bash": "linked dynamically", t.TempDir(): "no program",
	} {
		r := e.Dx(t, "debug", "--tools", tools, c.Name, "echo", "a")
		if r.Code == 0 || r.Stdout != "" || !strings.Contains(r.Stderr, want) {
			t.Errorf("--tools %s: %+v", tools, r)
		}
	}
	if r := e.Dx(t, "debug", "--tools", dir+"/echo", c.Name); r.Code != 125 || !strings.Contains(r.Stderr, "no shell in the tools") {
		t.Errorf("no shell: %+v", r)
	}
}

// TestDebugAttacker: other processes of the container reach the tools through
// /proc/PID/fd, and nothing else of the host.
func TestDebugAttacker(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine.Engine) {
		for _, flags := range [][]string{nil, {"--cap-add", "ALL", "--cap-drop", "SYS_RESOURCE", "--security-opt", "seccomp=unconfined"}} {
			c := e.Run(t, engine.Busybox, flags...)
			directory := t.TempDir()
			if err := os.WriteFile(directory+"/tool", []byte("#!/bin/sh\nexec sleep 1000\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			for _, tools := range [][]string{nil, {"--tools", directory}} {
				attackTools(t, e, c, tools)
			}
			if b, err := os.ReadFile(directory + "/tool"); err != nil || !strings.HasPrefix(string(b), "#!/bin/sh\nexec") {
				t.Errorf("the host's directory was changed: %q %v", b, err)
			}
		}
	})
}

func attackTools(t *testing.T, e *engine.Engine, c engine.Container, flags []string) {
	t.Helper()
	e.Spawn(t, slices.Concat(e.DxArgs(t), []string{"debug"}, flags, []string{c.Name, "sh", "-c", "echo $$ >/tmp/victim; sleep 1000"})...)
	defer func() {
		if t.Failed() {
			processes, _ := exec.Command("ps", "-eo", "pid,ppid,stat,wchan:32,args", "--forest").Output()
			t.Logf("dx said: %s\n%s", e.SpawnedTail(), processes)
		}
	}()
	eventually(t, "the shell is there", func() bool { return e.Docker(t, "exec", c.Name, "test", "-s", "/tmp/victim").Code == 0 })
	const attack = `
f=/proc/$(cat /tmp/victim)/fd
ls -1 $f | tr '\n' ' '; echo
ls $f/99 >/tmp/in; ls $f/99/.. >/tmp/up; ls $f/99/../../.. >/tmp/upup
cmp /tmp/in /tmp/up && cmp /tmp/in /tmp/upup && test -s /tmp/in && echo same
for o in rw bind,rw; do mount -o remount,$o $f/99 2>/dev/null && echo remounted; done
for p in $f/99/new $f/99/tool $f/99/busybox; do (echo x >>$p) 2>/dev/null && echo wrote $p; done
cat $f/99/../etc/passwd $f/99/../../etc/passwd 2>/dev/null
readlink /proc/$(cat /tmp/victim)/root
kill -9 $(cat /tmp/victim); rm /tmp/victim
`
	r := e.Docker(t, "exec", c.Name, "sh", "-c", attack)
	if r.Stdout != "0 1 2 99 \nsame\n/\n" {
		t.Errorf("%v %v: the attacker sees %+v", c.Name, flags, r)
	}
}

// TestDebugCopies: the busybox in the container is not the host's file.
func TestDebugCopies(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, importSleeper(t, e))
	r := e.Dx(t, "debug", c.Name, "sh", "-c", "stat -Lc %D /proc/self/exe; stat -fc %T /proc/self/fd/99")
	host, err := exec.Command("stat", "-Lc", "%D", busybox(t)).Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(r.Stdout, "\n")
	if len(lines) != 3 || lines[0] == strings.TrimSpace(string(host)) || lines[1] != "tmpfs" {
		t.Errorf("%+v, the host's is on %s", r, host)
	}
}

// TestDebugWithoutProc: a container that has unmounted its /proc gets the first
// program anyway, and is told.
func TestDebugWithoutProc(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox, "--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined")
	e.MustDocker(t, "exec", c.Name, "umount", "-l", "/proc")
	r := e.Dx(t, "debug", "--tools-first", c.Name, "sh", "-c", "echo up; test -e /proc/self || echo none")
	if r.Stdout != "up\nnone\n" || !strings.Contains(r.Stderr, "has no /proc") {
		t.Errorf("debug where there is no /proc: %v, want a program that runs, and a word about /proc", r)
	}
}

func TestDebugPrompt(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine.Engine) {
		engine.Require(t, engine.Tmux)
		c := e.Run(t, importSleeper(t, e), "-w", "/etc")
		dir := t.TempDir()
		dx := strings.Join(e.DxArgs(t), " ")
		s := openScreen(t, e, session(dx+" debug "+c.Name, dir))
		s.wait(`^dx debug ` + c.Name + `:/etc #$`)
		s.line("stty size; tty; echo $TERM")
		s.wait(`^30 100\n/dev/pts/\d+\nxterm$`)
		s.interrupted()
		s.line("exit 7")
		s.wait(`^(\^\[\[\d+;\d+R)?code=7$`) // ash asks where the cursor is, and may end before the answer
		s.wait(`^over$`)
		sameSettings(t, dir)
	})
}

// TestDebugRefuses: flags that do not go together, and docker's own refusals.
func TestDebugRefuses(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox)
	for _, args := range [][]string{
		{"debug"}, {"debug", "nosuch"}, {"debug", "--tools", "", c.Name}, {"debug", "--share-pid=false", c.Name}, {"debug", "--expose-host", c.Name},
		{"debug", "--host-tools", "-u", "app", c.Name}, {"debug", "--host-tools", "--ignore-paused", c.Name, "true"}, {"debug", "--host-tools", "--tools", "/bin", c.Name},
		{"debug", "--host-tools", "-w", "etc", c.Name, "true"}, {"debug", "-w", "/nosuch", c.Name, "true"}, {"shell"}, {"shell", "nosuch"},
	} {
		if r := e.Dx(t, args...); r.Code == 0 || r.Stderr == "" && r.Stdout == "" {
			t.Errorf("dx %q is not refused: %v", args, r)
		}
	}
}
