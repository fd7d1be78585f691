package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"dx/e2e/disposition"
	"dx/nsops/launch"
	"dx/nsops/tty"
)

func TestMain(m *testing.M) {
	disposition.CatchIgnored()
	os.Exit(m.Run())
}

func kernel(t *testing.T) launch.Kernel {
	t.Helper()
	k, err := launch.ThisKernel()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// command is a session of a program that joins nothing.
func command(t *testing.T, args ...string) *Session {
	t.Helper()
	prog, err := launch.CompileVisit(&launch.Visit{Plan: &launch.Plan{
		Process: &specs.Process{Args: args, Env: os.Environ()}, Kernel: kernel(t),
	}})
	if err != nil {
		t.Fatal(err)
	}
	root, err := launch.HostRoot()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return &Session{Program: prog, SigProxy: true, Root: root, Deputy: &launch.Deputy{}, Of: "the host", UID: os.Geteuid(), GID: os.Getegid()}
}

// pipe returns what is written to a file, once it was closed everywhere.
func pipe(t *testing.T) (w *os.File, read func() string) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	text := make(chan string)
	go func() {
		b, _ := io.ReadAll(r)
		text <- string(b)
	}()
	return w, func() string {
		w.Close()
		defer r.Close()
		return <-text
	}
}

func input(t *testing.T, text string) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	go func() {
		io.WriteString(w, text)
		w.Close()
	}()
	return r
}

// What a shell says of a command is what a session says.
func TestExitCodes(t *testing.T) {
	for _, script := range []string{"exit 0", "exit 7", "kill -TERM $$", "kill -KILL $$"} {
		said, err := exec.Command("sh", "-c", "sh -c '"+script+"'; echo $?").Output()
		if err != nil {
			t.Fatal(err)
		}
		want := strings.TrimSpace(string(said))
		s := command(t, "sh", "-c", script)
		w, read := pipe(t)
		s.In, s.Out, s.Err = input(t, ""), w, w
		code, err := s.Run(context.Background())
		if fmt.Sprint(code) != want || err != nil {
			t.Errorf("%s: %d, %v, want %s", script, code, err, want)
		}
		read()
	}
}

func TestStreams(t *testing.T) {
	text := strings.Repeat("a line\n", 10000)
	s := command(t, "sh", "-c", "cat; echo end >&2")
	out, readOut := pipe(t)
	log, readLog := pipe(t)
	s.In, s.Out, s.Err, s.Interactive = input(t, text), out, log, true
	if code, err := s.Run(context.Background()); code != 0 || err != nil {
		t.Fatalf("%d, %v", code, err)
	}
	if got := readOut(); got != text {
		t.Errorf("%d bytes came out, want %d", len(got), len(text))
	}
	if got := readLog(); got != "end\n" {
		t.Errorf("stderr %q", got)
	}
}

// Who is not interactive sends nothing.
func TestNoInput(t *testing.T) {
	s := command(t, "cat")
	out, read := pipe(t)
	s.In, s.Out, s.Err = input(t, "secret"), out, out
	if code, err := s.Run(context.Background()); code != 0 || err != nil {
		t.Fatalf("%d, %v", code, err)
	}
	if got := read(); got != "" {
		t.Errorf("%q reached the command", got)
	}
}

func TestDetach(t *testing.T) {
	done, err := os.CreateTemp(t.TempDir(), "done")
	if err != nil {
		t.Fatal(err)
	}
	defer done.Close()
	fifo := done.Name() + ".fifo"
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	s := command(t, "sh", "-c", "read x < "+fifo+"; yes | head -c 1000000; echo $x >> "+done.Name()+"; echo end > "+fifo)
	out, read := pipe(t)
	s.In, s.Out, s.Err, s.Detach = input(t, ""), out, out, true
	if code, err := s.Run(context.Background()); code != 0 || err != nil {
		t.Fatalf("%d, %v", code, err)
	}
	if err := os.WriteFile(fifo, []byte("hello\n"), 0); err != nil {
		t.Fatal(err)
	}
	// The command lives, and nothing keeps it from writing.
	if b, err := os.ReadFile(fifo); string(b) != "end\n" {
		t.Errorf("%q, %v", b, err)
	}
	if b, err := os.ReadFile(done.Name()); string(b) != "hello\n" {
		t.Errorf("%q, %v", b, err)
	}
	if got := read(); got != "" {
		t.Errorf("output of a detached command: %q", got)
	}
}

func TestStartErrors(t *testing.T) {
	s := command(t, "/no/such/program")
	out, read := pipe(t)
	defer read()
	s.In, s.Out, s.Err = input(t, ""), out, out
	_, err := s.Run(context.Background())
	var start *StartError
	var step *launch.StepError
	if !errors.As(err, &start) || !errors.As(err, &step) || !errors.Is(err, unix.ENOENT) {
		t.Errorf("%v", err)
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("/dev/pts/ptmx is root's alone (devpts, ptmxmode)")
	}
}

func TestTerminal(t *testing.T) {
	needRoot(t)
	s := command(t, "sh", "-c", "test -t 0 && test -t 2 && echo a terminal; exit 5")
	out, read := pipe(t)
	s.In, s.Out, s.Err, s.TTY = input(t, ""), out, out, true
	if code, err := s.Run(context.Background()); code != 5 || err != nil {
		t.Errorf("%d, %v", code, err)
	}
	if got := read(); got != "a terminal\r\n" {
		t.Errorf("output %q", got)
	}
}

// Who types the detach keys leaves the command running.
func TestDetachKeys(t *testing.T) {
	needRoot(t)
	fifo := t.TempDir() + "/fifo"
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	s := command(t, "sh", "-c", "read x < "+fifo+"; echo $x > "+fifo)
	out, read := pipe(t)
	defer read()
	s.In, s.Out, s.Err, s.TTY, s.Interactive = input(t, "ab"), out, out, true, true
	s.DetachKeys = []byte("ab")
	if _, err := s.Run(context.Background()); !errors.Is(err, tty.ErrDetached) {
		t.Errorf("%v", err)
	}
	if err := os.WriteFile(fifo, []byte("hello\n"), 0); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(fifo); string(b) != "hello\n" {
		t.Errorf("%q, %v", b, err)
	}
}

func TestRunOn(t *testing.T) {
	for _, tc := range []struct {
		args []string
		code int
		err  error
	}{
		{args: []string{"sh", "-c", "cat; exit 3"}, code: 3},
		{args: []string{"no-such-program"}, err: unix.ENOENT},
	} {
		prog, err := launch.CompileUnshare(&launch.Unshare{Args: tc.args, Env: os.Environ(), Kernel: kernel(t)})
		if err != nil {
			t.Fatal(err)
		}
		out, read := pipe(t)
		code, err := RunOn(context.Background(), prog, [3]*os.File{input(t, "text"), out, out})
		if code != tc.code || !errors.Is(err, tc.err) {
			t.Errorf("%q: %d, %v", tc.args, code, err)
		}
		if got := read(); tc.err == nil && got != "text" {
			t.Errorf("%q: output %q", tc.args, got)
		}
	}
}

// fake notes the signals that a command gets.
type fake struct{ got chan unix.Signal }

func (f fake) Signal(n unix.Signal) error {
	f.got <- n
	return nil
}

func TestSignalsWaitForTheCommand(t *testing.T) {
	ctx, s := catchSignals(context.Background(), true)
	defer s.stop()
	s.skip = func(n unix.Signal) bool { return n == unix.SIGQUIT }
	f := fake{make(chan unix.Signal, 10)}
	s.pass(unix.SIGUSR1)
	s.pass(unix.SIGQUIT)
	s.passTo(f)
	s.pass(unix.SIGHUP)
	s.pass(unix.SIGQUIT)
	s.pass(unix.SIGUSR2)
	for _, want := range []unix.Signal{unix.SIGUSR1, unix.SIGHUP, unix.SIGUSR2} {
		if got := <-f.got; got != want {
			t.Errorf("the command gets %v, want %v", got, want)
		}
	}
	if len(f.got) != 0 || ctx.Err() != nil {
		t.Errorf("%d more signals, %v", len(f.got), context.Cause(ctx))
	}
}

// The third SIGINT ends the session.
func TestImpatience(t *testing.T) {
	ctx, s := catchSignals(context.Background(), true)
	defer s.stop()
	f := fake{make(chan unix.Signal, 10)}
	s.passTo(f)
	var got []unix.Signal
	for range impatience - 1 {
		s.caught <- unix.SIGINT
		got = append(got, <-f.got)
	}
	if !slices.Equal(got, []unix.Signal{unix.SIGINT, unix.SIGINT}) || ctx.Err() != nil {
		t.Errorf("%v, %v", got, context.Cause(ctx))
	}
	s.caught <- unix.SIGTERM
	<-ctx.Done()
	var interrupted *Interrupted
	if !errors.As(context.Cause(ctx), &interrupted) || interrupted.Signal != unix.SIGTERM {
		t.Errorf("%v", context.Cause(ctx))
	}
}

// A signal does not wait for a start that hangs.
func TestSignalEndsAStartThatHangs(t *testing.T) {
	ctx, s := catchSignals(context.Background(), true)
	defer s.stop()
	s.pass(unix.SIGHUP)
	<-ctx.Done()
	if got := context.Cause(ctx).Error(); got != "interrupted by SIGHUP" {
		t.Error(got)
	}
}

func TestUntilSignal(t *testing.T) {
	ctx, stop := UntilSignal(context.Background())
	defer stop()
	if err := unix.Kill(os.Getpid(), unix.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	<-ctx.Done()
	var interrupted *Interrupted
	if !errors.As(context.Cause(ctx), &interrupted) || interrupted.Signal != unix.SIGUSR1 {
		t.Errorf("%v", context.Cause(ctx))
	}
}
