package e2e

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"dx/e2e/engine"
)

// TestPicker: on a terminal a container is asked for, and found by a part of its name; a
// shell opens in it. Off a terminal there is docker's error.
func TestPicker(t *testing.T) {
	e := suite.Start(t, engine.Options{})
	engine.Require(t, engine.Tmux)
	c, other := e.Run(t, engine.Busybox), e.Run(t, engine.Busybox)
	dx := strings.Join(e.DxArgs(t), " ")
	for _, verb := range []string{"exec", "exec -it", "shell"} {
		s := openScreen(t, e, dx+" "+verb+"; echo code=$?; sleep 1000")
		s.wait("^> " + other.Name + " ")
		s.keys("-l", c.Name)
		s.wait("^> " + c.Name + " ")
		s.keys("Enter")
		s.wait("[#$]$")
		s.line("hostname; exit 7")
		s.wait("^" + c.ID[:12] + "$")
		s.wait("^code=7$")
		s.tmux("kill-server")
	}
	s := openScreen(t, e, dx+" exec -it "+c.Name+"; echo code=$?; "+dx+" top; echo top=$?; sleep 1000")
	s.wait("[#$]$")
	s.line("exit 3")
	s.wait("^code=3$")
	s.wait("^> " + other.Name + " ")
	s.keys("C-c")
	s.wait("^top=130$")
	killedAtTheQuestion(t, e, dx)
	for _, args := range [][]string{{"exec", "-it", c.Name}, {"exec"}, {"top"}} {
		want, got := e.Docker(t, args...), e.Dx(t, args...)
		if got.Code != want.Code || !strings.Contains(got.Stderr, " requires ") {
			t.Errorf("dx %q off a terminal: %v, docker: %v", args, got, want)
		}
	}
}

// killedAtTheQuestion: the terminal is as it was before.
func killedAtTheQuestion(t *testing.T, e *engine.Engine, dx string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "pid")
	s := openScreen(t, e, "sh -c 'echo $$ >"+file+"; exec "+dx+" top'; echo code=$?; stty -a | tr ' ;' '\\n\\n' | grep icanon; sleep 1000")
	s.wait("^> ")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.wait("^code=143$")
	s.wait("^icanon$")
}
