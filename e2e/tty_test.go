package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"dx/e2e/await"
	"dx/e2e/engine"
)

// screen is a terminal of 100×30 in a tmux server of its own.
type screen struct {
	t      *testing.T
	e      *engine.Engine
	socket string
}

// openScreen runs a shell command line on a new terminal. The server belongs to
// the engine: it goes with it, however the test ends.
func openScreen(t *testing.T, e *engine.Engine, command string) *screen {
	t.Helper()
	s := &screen{t, e, filepath.Join(e.Dir, e.Name("tmux"))}
	e.Spawn(t, "tmux", "-S", s.socket, "-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "30", command)
	eventually(t, "tmux answers", func() bool { return s.tmux("list-sessions").Code == 0 })
	t.Cleanup(func() { s.tmux("kill-server") })
	return s
}

func (s *screen) tmux(args ...string) engine.Result {
	s.t.Helper()
	return s.e.Do(s.t, engine.Command{Args: append([]string{"tmux", "-S", s.socket}, args...)})
}

// keys types tmux key names: "C-c", "Enter", or text.
func (s *screen) keys(keys ...string) {
	s.t.Helper()
	s.tmux(append([]string{"send-keys"}, keys...)...)
}

// interrupted runs a command line that lasts and types ctrl-C into it: once the line
// runs. Until then the shell's own editor has the terminal, to which ctrl-C is a key
// like any other, and between two commands the shell may lose it.
func (s *screen) interrupted() {
	s.t.Helper()
	s.line("sh -c 'echo waiting; exec sleep 1000'")
	s.wait(`^waiting$`)
	s.keys("C-c")
}

func (s *screen) line(text string) { s.t.Helper(); s.keys("-l", text); s.keys("Enter") }

var trailing = regexp.MustCompile(`(?m)[ \t\r]+$`)

// wait waits until the screen matches, and returns the first group.
func (s *screen) wait(pattern string) string {
	s.t.Helper()
	re := regexp.MustCompile("(?m)" + pattern)
	var text string
	var found []string
	shown := func() bool {
		text = trailing.ReplaceAllString(s.tmux("capture-pane", "-p", "-S", "-100").Stdout, "")
		found = re.FindStringSubmatch(text)
		return found != nil
	}
	if !await.Holds(shown) {
		s.t.Fatalf("the screen never shows %s, but\n%s", pattern, strings.TrimSpace(text))
	}
	return found[len(found)-1]
}

// session is the command line that runs a program between two looks at the
// settings of the terminal. It keeps the terminal open.
func session(program, dir string) string {
	return "stty -a >" + dir + "/before; " + program + "; echo code=$?; stty -a >" + dir + "/after; echo over; sleep 1000"
}

// onTerminal runs a test with docker, which shows that the test is right, and
// with dx.
func onTerminal(t *testing.T, test func(t *testing.T, e *engine.Engine, tool string)) {
	onBoth(t, func(t *testing.T, e *engine.Engine) {
		engine.Require(t, engine.Tmux)
		t.Run("docker", func(t *testing.T) { test(t, e, "docker") })
		t.Run("dx", func(t *testing.T) { test(t, e, strings.Join(e.DxArgs(t), " ")) })
	})
}

func TestTerminal(t *testing.T) {
	onTerminal(t, func(t *testing.T, e *engine.Engine, tool string) {
		c := e.Run(t, engine.Bash)
		dir := t.TempDir()
		s := openScreen(t, e, session(tool+" exec -it "+c.Name+" bash --norc", dir))
		s.wait(`^bash-[\d.]+#$`)
		s.line("tty; echo got=$(tty)")
		s.wait(`^got=/dev/pts/\d+$`)
		s.line("echo size=$(stty size)")
		s.wait(`^size=30 100$`)
		s.tmux("resize-window", "-x", "120", "-y", "40")
		s.line(`until [ "$(stty size)" = "40 120" ]; do sleep 0.05; done; echo resized=$(stty size)`)
		s.wait(`^resized=40 120$`)
		s.interrupted()
		s.line("echo after=$?")
		s.wait(`^after=130$`)
		s.line("exit 7")
		s.wait(`^code=7$`)
		s.wait(`^over$`)
		sameSettings(t, dir)
	})
}

// TestTerminalSignals: job control works: ctrl-Z stops, fg goes on, and a killed
// shell gives its exit code.
func TestTerminalSignals(t *testing.T) {
	onTerminal(t, func(t *testing.T, e *engine.Engine, tool string) {
		c := e.Run(t, engine.Bash)
		dir := t.TempDir()
		s := openScreen(t, e, session(tool+" exec -it "+c.Name+" bash --norc", dir))
		s.wait(`^bash-[\d.]+#$`)
		// What comes back is marked: what the terminal echoes while bash hands it
		// over may come anywhere, or not at all.
		s.line(`sh -c 'echo up; while read -r l; do echo "got $l"; done'`)
		s.wait(`^up$`)
		s.keys("C-z")
		s.wait(`Stopped +sh`)
		s.line("fg")
		s.wait(`# fg\nsh -c `) // now the terminal is the command's: bash's editor would leave it an Enter
		s.line("a line")
		s.wait(`got a line$`)
		s.keys("C-d")
		s.line("kill -KILL $$")
		s.wait(`^code=137$`)
		s.wait(`^over$`)
		sameSettings(t, dir)
	})
}

func TestTerminalDetach(t *testing.T) {
	onTerminal(t, func(t *testing.T, e *engine.Engine, tool string) {
		c := e.Run(t, engine.Bash)
		dir := t.TempDir()
		s := openScreen(t, e, session(tool+" exec -it "+c.Name+" sh -c 'echo up; cat; echo more >/tmp/more; sleep 1000'", dir))
		s.wait(`^up$`)
		s.keys("C-p", "C-q")
		s.wait(`^(read escape sequence)$`)
		s.wait(`^code=1$`)
		s.wait(`^over$`)
		sameSettings(t, dir)
		r := e.Docker(t, "exec", c.Name, "sh", "-c", "ps -o args | grep -c '^[c]at'")
		if strings.TrimSpace(r.Stdout) != "1" {
			t.Errorf("the process does not run on: %+v", r)
		}
	})
}

func sameSettings(t *testing.T, dir string) {
	t.Helper()
	before, err := os.ReadFile(filepath.Join(dir, "before"))
	if err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(filepath.Join(dir, "after"))
	if err != nil {
		t.Fatal(err)
	}
	// The size is tmux's to change.
	size := regexp.MustCompile(`rows \d+; columns \d+`)
	if size.ReplaceAllString(string(before), "") != size.ReplaceAllString(string(after), "") {
		t.Errorf("the terminal is not as it was:\n%s\n%s", before, after)
	}
}
