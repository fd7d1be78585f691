package e2e

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"dx/e2e/engine"
)

// TestShell: the best shell there is, as readlink sees it.
func TestShell(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	busyboxed, bash := e.Run(t, engine.Busybox), e.Run(t, engine.Bash)
	passwd := e.Run(t, engine.Bash)
	accounts := "root:x:0:0::/root:/bin/bash\napp:x:1000:1000::/:/sbin/nologin\nodd:x:1001:1001::/:/bin/nosuch.sh\n"
	e.Do(t, engine.Command{Args: []string{"docker", "exec", "-i", passwd.Name, "sh", "-c", "cat >/etc/passwd"}, Stdin: strings.NewReader(accounts)})
	for _, test := range []struct {
		c     engine.Container
		flags []string
		want  string
	}{
		{busyboxed, nil, "/bin/sh"},
		{busyboxed, []string{"-u", "4711"}, "/bin/ash"}, // not in passwd
		{bash, nil, "/bin/sh"},                          // as passwd says
		{bash, []string{"-u", "4711"}, "/bin/bash"},
		{passwd, nil, "/bin/bash"},
		{passwd, []string{"-u", "app"}, "/bin/bash"},
		{passwd, []string{"-u", "odd", "-e", "PATH=/nosuch:/bin"}, "/bin/bash"},
		{passwd, []string{"-u", "odd", "-e", "PATH=/usr"}, "sh"}, // none in PATH: that of dx debug
	} {
		args := slices.Concat([]string{"shell"}, test.flags, []string{test.c.Name, "-c", "echo $0:$1", "", "word"})
		want := ":word\n"
		r := e.Dx(t, args...)
		if r.Stdout != want {
			t.Errorf("%v: %+v, want %q", test.flags, r, want)
		}
		r = e.Dx(t, slices.Concat([]string{"shell"}, test.flags, []string{test.c.Name, "-c", "echo $0"})...)
		if r.Stdout != test.want+"\n" {
			t.Errorf("%v: %+v, want %s", test.flags, r, test.want)
		}
	}
}

// TestShellIsDockerExecs: what docker exec gives with the shell's name written out.
func TestShellIsDockerExecs(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine.Engine) {
		c := e.Run(t, engine.Busybox, "-e", "A=1")
		script := "id; pwd; echo $A; tr '\\0' '\\n' </proc/self/environ; exit 4\n"
		for _, flags := range [][]string{nil, {"-u", "app", "-w", "/tmp", "-e", "A=2"}} {
			run := func(tool, words []string) engine.Result {
				return e.Do(t, engine.Command{Args: slices.Concat(tool, flags, []string{c.Name}, words), Stdin: bytes.NewBufferString(script)})
			}
			want := run([]string{"docker", "exec", "-i"}, []string{"/bin/sh"})
			got := run(append(e.DxArgs(t), "shell"), nil)
			if got != want {
				t.Errorf("%v\ndocker %+v\ndx     %+v", flags, want, got)
			}
		}
	})
}

// TestShellOfNone: a container without a shell gets that of dx debug.
func TestShellOfNone(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, importSleeper(t, e))
	r := e.Do(t, engine.Command{Args: append(e.DxArgs(t), "shell", c.Name), Stdin: strings.NewReader("readlink /proc/1/exe; exit 6\n")})
	if r.Stdout != "/sleep\n" || r.Code != 6 || !strings.Contains(r.Stderr, "has no shell") {
		t.Errorf("shell of a container without one: %v, want what debug's says, exit code 6, and a word that there is none", r)
	}
	if r := e.Dx(t, "shell", c.Name, "-c", "echo $((6*7))"); r.Stdout != "42\n" {
		t.Errorf("shell -c of a container without a shell: %v, want 42", r)
	}
}

func TestShellPrompt(t *testing.T) {
	engine.Require(t, engine.Tmux)
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Bash)
	dir := t.TempDir()
	s := openScreen(t, e, session(strings.Join(e.DxArgs(t), " ")+" shell -u 4711 "+c.Name, dir))
	s.wait(`^bash-[\d.]+\$$`)
	s.line("id -u; exit 3")
	s.wait(`^4711$`)
	s.wait(`^code=3$`)
	s.wait(`^over$`)
	sameSettings(t, dir)
}
