package tty

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"dx/e2e/await"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// runOnPTY is run with a terminal of 33 × 101.
func runOnPTY(t *testing.T, in *os.File, argv ...string) (output string) {
	t.Helper()
	output, _ = run(t, onPTY(t), in, argv...)
	return output
}

func TestPTY(t *testing.T) {
	needRoot(t)
	noLeaks(t)
	output := runOnPTY(t, nil, "sh", "-c", "echo out; echo err >&2; stty size; tty | tr -d '0-9'; echo x >/dev/tty")
	want(t, "output", output, "out\r\nerr\r\n33 101\r\n/dev/pts/\r\nx\r\n")
}

// TestPTYSettings: what stty -a says in docker exec -t (20.10, runc 1.1.5), which is
// the kernel's default.
func TestPTYSettings(t *testing.T) {
	needRoot(t)
	output := runOnPTY(t, nil, "stty", "-a")
	for _, setting := range []string{"speed 38400", " opost ", " onlcr ", " icrnl ", " isig ", " icanon ", " echo ", " ixon ", " -iutf8", " -hupcl "} {
		if !strings.Contains(strings.ReplaceAll(output, "\r\n", " ")+" ", setting) {
			t.Errorf("no %q in %q", setting, output)
		}
	}
}

// TestPTYInputEnds: the end of the caller's input leaves the terminal open.
func TestPTYInputEnds(t *testing.T) {
	needRoot(t)
	noLeaks(t)
	r, w := localPipe(t)
	_, _ = w.WriteString("typed\n")
	w.Close()
	output := runOnPTY(t, r, "sh", "-c", "stty -echo; read line; echo got $line; sleep 0.3; echo still")
	if !strings.HasSuffix(output, "got typed\r\nstill\r\n") {
		t.Errorf("output %q", output)
	}
}

// TestPTYBulk: all that was written comes out, also what was pending at the exit.
func TestPTYBulk(t *testing.T) {
	needRoot(t)
	noLeaks(t)
	for range 5 {
		output := runOnPTY(t, nil, "seq", "1", "100000")
		direct, err := exec.Command("seq", "1", "100000").Output()
		if err != nil {
			t.Fatal(err)
		}
		if want := strings.ReplaceAll(string(direct), "\n", "\r\n"); output != want {
			t.Errorf("got %d bytes, want %d, or others", len(output), len(want))
		}
	}
}

// TestPTYSlowReader: the reader begins after the process is gone.
func TestPTYSlowReader(t *testing.T) {
	needRoot(t)
	noLeaks(t)
	p := start(t, onPTY(t), "sh", "-c", "stty -opost; head -c 6000 /dev/zero")
	<-p.exited
	r, w := localPipe(t)
	out := collect(r)
	if err := p.relay(t, Streams{Out: w}); err != nil {
		t.Error(err)
	}
	w.Close()
	if n := len(<-out); n != 6000 {
		t.Errorf("got %d bytes of 6000", n)
	}
}

// TestPTYBackground: the terminal of a session is hung up when its leader exits, so
// that nothing is left to wait for; docker exec -t does not wait either.
func TestPTYBackground(t *testing.T) {
	needRoot(t)
	noLeaks(t)
	output := runOnPTY(t, nil, "sh", "-c", "trap '' HUP; sleep 1000 & echo hi")
	want(t, "output", output, "hi\r\n")
}

// TestPTYOutputGone: docker exec -t c yes | head -1 leaves yes running; here it is
// hung up.
func TestPTYOutputGone(t *testing.T) {
	needRoot(t)
	noLeaks(t)
	p := start(t, onPTY(t), "yes")
	silent, _ := localPipe(t)
	r, w := localPipe(t)
	r.Close()
	err := p.relay(t, Streams{In: silent, Out: w})
	if err != nil {
		t.Error(err)
	}
	if got := p.signal(); got != unix.SIGHUP && got != unix.SIGPIPE {
		t.Errorf("yes ended with %v, want a hangup", p.cmd.ProcessState)
	}
}

// typist is a relay whose caller types into a pipe and reads what is echoed.
type typist struct {
	*process
	in     *os.File // to type into
	screen *os.File // to read from
	ended  chan error
}

func typing(t *testing.T, keys string, argv ...string) *typist {
	t.Helper()
	needRoot(t)
	b, err := DetachKeys(keys)
	if err != nil {
		t.Fatal(err)
	}
	inR, inW := localPipe(t)
	outR, outW := localPipe(t)
	ty := &typist{process: start(t, onPTY(t), argv...), in: inW, screen: outR, ended: make(chan error, 1)}
	ctx, cancel := context.WithTimeout(context.Background(), await.Patience)
	t.Cleanup(cancel)
	go func() {
		err := ty.Relay(ctx, Streams{In: inR, Out: outW, DetachKeys: b}, ty.exited)
		outW.Close()
		ty.ended <- err
	}()
	return ty
}

func (ty *typist) types(s string) { _, _ = ty.in.WriteString(s) }

// sees reads until the text has appeared.
func (ty *typist) sees(t *testing.T, text string) {
	t.Helper()
	var got strings.Builder
	buf := make([]byte, 100)
	for !strings.Contains(got.String(), text) {
		n, err := ty.screen.Read(buf)
		got.Write(buf[:n])
		if err != nil {
			t.Errorf("%q did not appear, but %q (%v)", text, got.String(), err)
			return
		}
	}
}

func TestDetach(t *testing.T) {
	needRoot(t)
	noLeaks(t)
	for keys, typed := range map[string]string{"": "\x10\x11", "ctrl-a,b": "\x01b", "x,DEL,z": "x\x7fz"} {
		ty := typing(t, keys, "cat")
		ty.types("hello\n" + typed)
		if err := <-ty.ended; !errors.Is(err, ErrDetached) || err.Error() != "read escape sequence" {
			t.Errorf("keys %q: relay ended with %v", keys, err)
		}
		// The process runs on, its terminal is not hung up.
		time.Sleep(50 * time.Millisecond)
		select {
		case <-ty.exited:
			t.Errorf("keys %q: cat ended: %v", keys, ty.cmd.ProcessState)
		default:
		}
	}
}

// TestDetachHalf: the first of two keys is held back, and passed on once another
// key follows.
func TestDetachHalf(t *testing.T) {
	needRoot(t)
	noLeaks(t)
	ty := typing(t, "", "sh", "-c", "stty raw -echo; echo ready; head -c 5 | od -An -c; echo end")
	ty.sees(t, "ready")
	for _, key := range []string{"a", "\x10", "b", "\x10", "\x10", "c"} {
		ty.types(key)
		time.Sleep(20 * time.Millisecond)
	}
	ty.sees(t, `a 020   b 020 020`)
	if err := <-ty.ended; err != nil {
		t.Errorf("relay ended with %v", err)
	}
}

// TestPTYKeys: control characters typed into the relay act on the process.
func TestPTYKeys(t *testing.T) {
	needRoot(t)
	noLeaks(t)
	ty := typing(t, "", "sh", "-c", "trap 'echo interrupted; exit' INT; echo ready; while :; do sleep 0.1; done")
	ty.sees(t, "ready")
	ty.types("\x03")
	ty.sees(t, "interrupted")
	if err := <-ty.ended; err != nil {
		t.Error(err)
	}
	ty = typing(t, "", "cat")
	ty.types("line\n\x04")
	ty.sees(t, "line\r\nline\r\n")
	if err := <-ty.ended; err != nil {
		t.Error(err)
	}
}

// TestDetachKeysErrors has docker's texts.
func TestDetachKeysErrors(t *testing.T) {
	for keys, text := range map[string]string{
		"foo":        "invalid detach keys (foo): unknown character: 'foo'",
		"ctrl-p,foo": "invalid detach keys (ctrl-p,foo): unknown character: 'foo'",
		"a,,b":       "invalid detach keys (a,,b): unknown character: ''",
	} {
		if _, err := DetachKeys(keys); err == nil || err.Error() != text {
			t.Errorf("detach keys %q: %v, want %s", keys, err, text)
		}
	}
}

// TestResize: the size of the caller's terminal follows into the container's.
func TestResize(t *testing.T) {
	needRoot(t)
	noLeaks(t)
	master, terminal, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	defer terminal.Close()
	resize(t, master, 20, 70)
	p := start(t, onPTY(t), "sh", "-c", "trap 'stty size' WINCH; stty size; echo ready; while :; do sleep 0.05; done")
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(limited(t))
	go func() { ended <- p.Relay(ctx, Streams{Out: terminal}, p.exited) }()
	screen := &typist{screen: master}
	screen.sees(t, "ready")
	resize(t, master, 44, 123)
	_ = unix.Kill(os.Getpid(), unix.SIGWINCH)
	screen.sees(t, "44 123")
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func resize(t *testing.T, f *os.File, rows, cols uint16) {
	t.Helper()
	if err := pty.Setsize(f, &pty.Winsize{Rows: rows, Cols: cols}); err != nil {
		t.Fatal(err)
	}
}

// stty is its answer about a terminal.
func stty(t *testing.T, terminal *os.File, args ...string) string {
	t.Helper()
	cmd := exec.Command("stty", args...)
	cmd.Stdin = terminal
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("stty: %v: %s", err, out)
	}
	return string(out)
}

func openTerminal(t *testing.T) (master, terminal *os.File) {
	t.Helper()
	master, terminal, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close(); terminal.Close() })
	return master, terminal
}

func TestRaw(t *testing.T) {
	_, terminal := openTerminal(t)
	before := stty(t, terminal, "-g")
	raw, err := Raw(terminal)
	if err != nil {
		t.Fatal(err)
	}
	got := stty(t, terminal, "-a")
	for _, setting := range []string{"-icanon", "-isig", "-echo ", "-opost", "-ixon", "-icrnl", "min = 1", "time = 0"} {
		if !strings.Contains(got, setting) {
			t.Errorf("no %q in raw mode: %s", setting, got)
		}
	}
	if err := raw.Close(); err != nil {
		t.Fatal(err)
	}
	want(t, "settings after Close", stty(t, terminal, "-g"), before)

	// Restored once: what the user does afterwards stays.
	stty(t, terminal, "-echo")
	changed := stty(t, terminal, "-g")
	if err := raw.Close(); err != nil {
		t.Fatal(err)
	}
	want(t, "settings after a second Close", stty(t, terminal, "-g"), changed)
}

// TestRawNot: NORAW, and what is no terminal.
func TestRawNot(t *testing.T) {
	_, terminal := openTerminal(t)
	file := openFile(t, os.DevNull, os.O_RDONLY)
	raw, err := Raw(file)
	if err != nil || raw.Close() != nil {
		t.Errorf("raw mode of /dev/null: %v", err)
	}
	t.Setenv("NORAW", "1")
	before := stty(t, terminal, "-g")
	raw, err = Raw(terminal)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "settings with NORAW", stty(t, terminal, "-g"), before)
	if err := raw.Close(); err != nil {
		t.Error(err)
	}
}

// TestRawRestored: by a deferred Close in a panic, and by another goroutine (the one
// that handles signals) while the terminal is being read.
func TestRawRestored(t *testing.T) {
	master, terminal := openTerminal(t)
	before := stty(t, terminal, "-g")
	func() {
		defer func() { _ = recover() }()
		raw, err := Raw(terminal)
		if err != nil {
			t.Fatal(err)
		}
		defer raw.Close()
		panic("on the way")
	}()
	want(t, "settings after a panic", stty(t, terminal, "-g"), before)

	raw, err := Raw(terminal)
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		_, _ = io.ReadFull(terminal, make([]byte, 1))
		close(read)
	}()
	time.Sleep(50 * time.Millisecond)
	closed := make(chan error, 2)
	for range 2 {
		go func() { closed <- raw.Close() }()
	}
	if err := errors.Join(<-closed, <-closed); err != nil {
		t.Error(err)
	}
	want(t, "settings after Close elsewhere", stty(t, terminal, "-g"), before)
	fmt.Fprint(master, "x\n")
	<-read
}

func TestSizeOf(t *testing.T) {
	master, terminal := openTerminal(t)
	resize(t, master, 12, 34)
	if got := SizeOf(terminal); got != (Size{Rows: 12, Cols: 34}) {
		t.Errorf("size %+v", got)
	}
	if got := SizeOf(openFile(t, os.DevNull, os.O_RDONLY)); got != (Size{}) {
		t.Errorf("size of /dev/null %+v", got)
	}
}
