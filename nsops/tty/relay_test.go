package tty

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"dx/e2e/await"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

func TestRelayStreams(t *testing.T) {
	noLeaks(t)
	stdout, stderr := run(t, pipes(t, false), nil, "sh", "-c", "echo out; echo err >&2; cat; echo end")
	want(t, "stdout", stdout, "out\nend\n")
	want(t, "stderr", stderr, "err\n")
}

// TestRelayInput: what comes in goes out, and the end of it is seen.
func TestRelayInput(t *testing.T) {
	noLeaks(t)
	r, w := localPipe(t)
	_, _ = w.WriteString("abc")
	w.Close()
	stdout, _ := run(t, pipes(t, true), r, "cat")
	want(t, "stdout", stdout, "abc")
}

// TestRelayWithoutInput: a process that has a pipe as input and gets none sees its
// end.
func TestRelayWithoutInput(t *testing.T) {
	noLeaks(t)
	run(t, pipes(t, true), nil, "cat")
}

// TestRelayUnreadableInput: docker exec -i c cat </ says nothing and exits with 0.
func TestRelayUnreadableInput(t *testing.T) {
	noLeaks(t)
	stdout, _ := run(t, pipes(t, true), openFile(t, "/", os.O_RDONLY), "sh", "-c", "cat; echo end")
	want(t, "stdout", stdout, "end\n")
}

// TestRelayBlockedInput: an input that nobody closes keeps nothing waiting.
func TestRelayBlockedInput(t *testing.T) {
	master, terminal, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	defer terminal.Close()
	silent, _ := localPipe(t)
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	socket, other := os.NewFile(uintptr(pair[0]), "socket"), os.NewFile(uintptr(pair[1]), "socket")
	defer socket.Close()
	defer other.Close()
	for name, in := range map[string]*os.File{"terminal": terminal, "pipe": silent, "socket": socket} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			stdout, _ := run(t, pipes(t, true), in, "echo", "done")
			want(t, "stdout", stdout, "done\n")
			if flags, _ := unix.FcntlInt(in.Fd(), unix.F_GETFL, 0); flags&unix.O_NONBLOCK != 0 {
				t.Error("the caller's file was made non-blocking")
			}
		})
	}
}

// TestRelayInputClosedEarly: the process reads a little of an endless input.
func TestRelayInputClosedEarly(t *testing.T) {
	noLeaks(t)
	endless := start(t, pipes(t, false), "yes")
	stdout, _ := run(t, pipes(t, true), endless.out, "head", "-n1")
	want(t, "stdout", stdout, "y\n")

	stdout, _ = run(t, pipes(t, true), endless.out, "sh", "-c", "exec <&-; sleep 0.3; echo closed")
	want(t, "stdout", stdout, "closed\n")
}

// TestRelayFullInput: the process never reads, and the pipe is full.
func TestRelayFullInput(t *testing.T) {
	noLeaks(t)
	endless := start(t, pipes(t, false), "yes")
	stdout, _ := run(t, pipes(t, true), endless.out, "sh", "-c", "sleep 0.3; echo end")
	want(t, "stdout", stdout, "end\n")

	zeros := openFile(t, "/dev/zero", os.O_RDONLY)
	run(t, pipes(t, true), zeros, "sleep", "0.3")
}

// TestRelayOutputGone is "| head -1": the process gets SIGPIPE, as in a local
// pipeline; docker exec leaves it running.
func TestRelayOutputGone(t *testing.T) {
	noLeaks(t)
	p := start(t, pipes(t, false), "yes")
	r, w := localPipe(t)
	go func() {
		_, _ = io.ReadFull(r, make([]byte, 2))
		r.Close()
	}()
	err := p.relay(t, Streams{In: nil, Out: w, Err: w})
	if err != nil {
		t.Errorf("relay: %v", err)
	}
	if got := p.signal(); got != unix.SIGPIPE {
		t.Errorf("yes ended with signal %v, want SIGPIPE", got)
	}
}

func (p *process) signal() syscall.Signal {
	return p.cmd.ProcessState.Sys().(syscall.WaitStatus).Signal()
}

// TestRelayOutputFull: docker exec c echo x >/dev/full says "write /dev/stdout: no
// space left on device".
func TestRelayOutputFull(t *testing.T) {
	noLeaks(t)
	p := start(t, pipes(t, false), "yes")
	full := openFile(t, "/dev/full", os.O_WRONLY)
	err := p.relay(t, Streams{Out: full, Err: full})
	if !errors.Is(err, unix.ENOSPC) || err.Error() != "write /dev/full: no space left on device" {
		t.Errorf("relay: %v", err)
	}
	if got := p.signal(); got != unix.SIGPIPE {
		t.Errorf("yes ended with signal %v, want SIGPIPE", got)
	}
}

// TestRelayLingers: what background children write after the exit is delivered, but
// those that hold their streams are not waited for without end.
func TestRelayLingers(t *testing.T) {
	noLeaks(t)
	fifo := filepath.Join(t.TempDir(), "go")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, lingering(t, time.Hour), "sh", "-c", "(read -r line <"+fifo+"; echo late) & echo hi; exit 3")
	go func() {
		<-p.exited
		time.Sleep(200 * time.Millisecond) // a relay that does not linger is gone by now
		_ = os.WriteFile(fifo, []byte("\n"), 0)
	}()
	stdout, _ := p.output(t, nil)
	want(t, "stdout with what came after the exit", stdout, "hi\nlate\n")

	stdout, _ = run(t, lingering(t, time.Millisecond), nil, "sh", "-c", "echo hi; sleep 1000 & exit 3")
	want(t, "stdout of one whose child sleeps", stdout, "hi\n")

	p = start(t, lingering(t, time.Millisecond), "sh", "-c", "yes & exit 3")
	null := openFile(t, os.DevNull, os.O_WRONLY)
	if err := p.relay(t, Streams{Out: null, Err: null}); err != nil {
		t.Errorf("relay of one whose child writes on: %v", err)
	}
}

// TestLingersAsDocker: moby daemon/monitor.go waits for two seconds (since 20.10).
func TestLingersAsDocker(t *testing.T) {
	s := pipes(t, false)
	defer s.Close()
	if s.linger != 2*time.Second {
		t.Errorf("a relay lingers for %v, want docker's two seconds", s.linger)
	}
}

// lingering is a Stdio of pipes whose relay lingers for that time.
func lingering(t *testing.T, d time.Duration) *Stdio {
	s := pipes(t, false)
	s.linger = d
	return s
}

// TestRelaySlowReader: the two seconds are for writers. A reader that begins later
// still gets all that was written by then, although a child holds the stream.
func TestRelaySlowReader(t *testing.T) {
	noLeaks(t)
	p := start(t, lingering(t, time.Millisecond), "sh", "-c", "sleep 1000 & head -c 100000 /dev/zero")
	relay, err := newRelay(p.Stdio)
	if err != nil {
		t.Fatal(err)
	}
	r, w := localPipe(t)
	ended := make(chan error, 1)
	go func() {
		ended <- relay.run(limited(t), Streams{Out: w, Err: w}, p.exited)
		w.Close()
	}()
	await.Until(t, "the time for writers is over", relay.drain.raised)
	got, err := io.ReadAll(r)
	if err := errors.Join(err, <-ended); err != nil || len(got) != 100000 {
		t.Errorf("got %d bytes of 100000, %v", len(got), err)
	}
}

// TestRelayReaderThatNeverReads: nothing is left to deliver once the caller's pipe
// holds it all, so dx ends as a process that wrote there itself would.
func TestRelayReaderThatNeverReads(t *testing.T) {
	noLeaks(t)
	p := start(t, pipes(t, false), "head", "-c", "65536", "/dev/zero")
	_, w := localPipe(t)
	err := p.relay(t, Streams{Out: w, Err: w})
	if err != nil {
		t.Error(err)
	}
}

// TestRelayContext: nothing holds a relay whose context ends.
func TestRelayContext(t *testing.T) {
	noLeaks(t)
	p := start(t, pipes(t, true), "yes")
	silent, _ := localPipe(t)
	holder, full := localPipe(t)
	cause := errors.New("told to stop")
	ctx, cancel := context.WithCancelCause(context.Background())
	go func() {
		if !await.Holds(func() bool { return unread(t, holder) >= fullPipe }) {
			t.Error("the caller's pipe does not fill")
		}
		cancel(cause)
	}()
	if err := p.relayUntil(ctx, Streams{In: silent, Out: full, Err: full}); !errors.Is(err, cause) {
		t.Errorf("relay: %v, want the context's cause", err)
	}

	// The process runs on: somebody else may read what it writes.
	if n, err := io.CopyN(io.Discard, blocking(t, p.Outputs()[0]), 1<<20); err != nil {
		t.Errorf("after %d bytes more: %v", n, err)
	}
	select {
	case <-p.exited:
		t.Errorf("yes ended: %v", p.cmd.ProcessState)
	default:
	}
}

// fullPipe is what a pipe that was not enlarged holds at least (pipe(7)).
const fullPipe = 60 << 10

// unread is how much a pipe holds.
func unread(t *testing.T, f *os.File) int {
	n, err := unix.IoctlGetInt(int(f.Fd()), unix.TIOCINQ)
	if err != nil {
		t.Errorf("TIOCINQ of %s: %v", f.Name(), err)
	}
	return n
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func blocking(t *testing.T, f *os.File) *os.File {
	t.Helper()
	if err := unix.SetNonblock(int(f.Fd()), false); err != nil {
		t.Fatal(err)
	}
	return f
}

// TestRelayOutputsEndFirst: a process that has closed its outputs still gets its
// input.
func TestRelayOutputsEndFirst(t *testing.T) {
	noLeaks(t)
	file := filepath.Join(t.TempDir(), "f")
	r, w := localPipe(t)
	go func() {
		if !await.Holds(func() bool { return exists(file) }) {
			t.Error("the process does not get to its input")
		}
		_, _ = w.WriteString("late")
		w.Close()
	}()
	run(t, pipes(t, true), r, "sh", "-c", "exec >&- 2>&-; exec cat >"+file)
	b, err := os.ReadFile(file)
	if err != nil || string(b) != "late" {
		t.Errorf("file holds %q, %v", b, err)
	}
}

// TestChown: the streams belong to the user, as after docker exec -u, and can be
// reopened through /proc.
func TestChown(t *testing.T) {
	noLeaks(t)
	needRoot(t)
	s := pipes(t, true)
	if err := s.Chown(1234, -1); err != nil {
		t.Fatal(err)
	}
	stdout, _ := run(t, s, nil, "sh", "-c", "stat -L -c '%u:%g:%a' /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2; echo x >/proc/self/fd/1")
	want(t, "owners", stdout, strings.Repeat("1234:0:600\n", 3)+"x\n")

	var before, after unix.Stat_t
	_ = unix.Stat("/dev/null", &before)
	s = pipes(t, false)
	if err := errors.Join(s.Chown(1234, -1), s.Close()); err != nil {
		t.Error(err)
	}
	if _ = unix.Stat("/dev/null", &after); after.Uid != before.Uid || after.Ctim != before.Ctim {
		t.Error("/dev/null was changed")
	}
}

// TestPipesLookLikeDockers compares with what docker exec 20.10 and 28 show: ends of
// 64 KiB pipes that block, and a read-only /dev/null without -i.
func TestPipesLookLikeDockers(t *testing.T) {
	noLeaks(t)
	script := `for i in 0 1 2; do readlink /proc/self/fd/$i | tr -d '0-9[]'; grep flags /proc/self/fdinfo/$i; done`
	stdout, _ := run(t, pipes(t, true), nil, "sh", "-c", script)
	want(t, "with -i", stdout, "pipe:\nflags:\t00\npipe:\nflags:\t01\npipe:\nflags:\t01\n")
	stdout, _ = run(t, pipes(t, false), nil, "sh", "-c", script)
	want(t, "without -i", stdout, "/dev/null\nflags:\t0100000\npipe:\nflags:\t01\npipe:\nflags:\t01\n")
}
