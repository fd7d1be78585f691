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

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

func TestRelayStreams(t *testing.T) {
	noLeaks(t)
	stdout, stderr, _ := run(t, pipes(t, false), nil, "sh", "-c", "echo out; echo err >&2; cat; echo end")
	want(t, "stdout", stdout, "out\nend\n")
	want(t, "stderr", stderr, "err\n")
}

// TestRelayInput: what comes in goes out, and the end of it is seen.
func TestRelayInput(t *testing.T) {
	noLeaks(t)
	r, w := localPipe(t)
	_, _ = w.WriteString("abc")
	w.Close()
	stdout, _, took := run(t, pipes(t, true), r, "cat")
	want(t, "stdout", stdout, "abc")
	between(t, "cat", took, 0, time.Second)
}

// TestRelayWithoutInput: a process that has a pipe as input and gets none sees its
// end.
func TestRelayWithoutInput(t *testing.T) {
	noLeaks(t)
	_, _, took := run(t, pipes(t, true), nil, "cat")
	between(t, "cat", took, 0, time.Second)
}

// TestRelayUnreadableInput: docker exec -i c cat </ says nothing and exits with 0.
func TestRelayUnreadableInput(t *testing.T) {
	noLeaks(t)
	stdout, _, _ := run(t, pipes(t, true), openFile(t, "/", os.O_RDONLY), "sh", "-c", "cat; echo end")
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
			stdout, _, took := run(t, pipes(t, true), in, "echo", "done")
			want(t, "stdout", stdout, "done\n")
			between(t, "echo", took, 0, time.Second)
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
	stdout, _, took := run(t, pipes(t, true), endless.out, "head", "-n1")
	want(t, "stdout", stdout, "y\n")
	between(t, "head", took, 0, time.Second)

	stdout, _, _ = run(t, pipes(t, true), endless.out, "sh", "-c", "exec <&-; sleep 0.3; echo closed")
	want(t, "stdout", stdout, "closed\n")
}

// TestRelayFullInput: the process never reads, and the pipe is full.
func TestRelayFullInput(t *testing.T) {
	noLeaks(t)
	endless := start(t, pipes(t, false), "yes")
	stdout, _, took := run(t, pipes(t, true), endless.out, "sh", "-c", "sleep 0.3; echo end")
	want(t, "stdout", stdout, "end\n")
	between(t, "sleep", took, 0, time.Second)

	zeros := openFile(t, "/dev/zero", os.O_RDONLY)
	_, _, took = run(t, pipes(t, true), zeros, "sleep", "0.3")
	between(t, "sleep", took, 0, time.Second)
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
	took, err := p.relay(t, Streams{In: nil, Out: w, Err: w})
	if err != nil {
		t.Errorf("relay: %v", err)
	}
	between(t, "yes", took, 0, time.Second)
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
	_, err := p.relay(t, Streams{Out: full, Err: full})
	if !errors.Is(err, unix.ENOSPC) || err.Error() != "write /dev/full: no space left on device" {
		t.Errorf("relay: %v", err)
	}
	if got := p.signal(); got != unix.SIGPIPE {
		t.Errorf("yes ended with signal %v, want SIGPIPE", got)
	}
}

// TestRelayLingers: docker waits two seconds for what background children hold.
func TestRelayLingers(t *testing.T) {
	noLeaks(t)
	stdout, _, took := run(t, pipes(t, false), nil, "sh", "-c", "echo hi; (sleep 30; echo late) & exit 3")
	want(t, "stdout", stdout, "hi\n")
	between(t, "sleep 30 &", took, 1900*time.Millisecond, 2600*time.Millisecond)

	stdout, _, took = run(t, pipes(t, false), nil, "sh", "-c", "echo hi; (sleep 1; echo late) & exit 3")
	want(t, "stdout", stdout, "hi\nlate\n")
	between(t, "sleep 1 &", took, 900*time.Millisecond, 1900*time.Millisecond)

	p := start(t, pipes(t, false), "sh", "-c", "yes & exit 3")
	null := openFile(t, os.DevNull, os.O_WRONLY)
	took, err := p.relay(t, Streams{Out: null, Err: null})
	if err != nil {
		t.Error(err)
	}
	between(t, "yes &", took, 1900*time.Millisecond, 2600*time.Millisecond)
}

// TestRelaySlowReader: the two seconds are for writers. A slow reader still gets
// all that was written by then, although a child holds the stream.
func TestRelaySlowReader(t *testing.T) {
	noLeaks(t)
	p := start(t, pipes(t, false), "sh", "-c", "sleep 30 & head -c 100000 /dev/zero")
	r, w := localPipe(t)
	got := make(chan int, 1)
	go func() {
		<-p.exited
		time.Sleep(3 * time.Second)
		b, _ := io.ReadAll(r)
		got <- len(b)
	}()
	took, err := p.relay(t, Streams{Out: w, Err: w})
	w.Close()
	if n := <-got; err != nil || n != 100000 {
		t.Errorf("got %d bytes of 100000, %v", n, err)
	}
	between(t, "a reader that begins after 3 s", took, 2900*time.Millisecond, 4*time.Second)
}

// TestRelayReaderThatNeverReads: nothing is left to deliver once the caller's pipe
// holds it all, so dx ends as a process that wrote there itself would.
func TestRelayReaderThatNeverReads(t *testing.T) {
	noLeaks(t)
	p := start(t, pipes(t, false), "head", "-c", "65536", "/dev/zero")
	_, w := localPipe(t)
	took, err := p.relay(t, Streams{Out: w, Err: w})
	if err != nil {
		t.Error(err)
	}
	between(t, "head", took, 0, time.Second)
}

// TestRelayContext: nothing holds a relay whose context ends.
func TestRelayContext(t *testing.T) {
	noLeaks(t)
	p := start(t, pipes(t, true), "yes")
	silent, _ := localPipe(t)
	_, full := localPipe(t)
	cause := errors.New("told to stop")
	ctx, cancel := context.WithCancelCause(context.Background())
	time.AfterFunc(200*time.Millisecond, func() { cancel(cause) })
	begin := time.Now()
	err := p.Relay(ctx, Streams{In: silent, Out: full, Err: full}, p.exited)
	if !errors.Is(err, cause) {
		t.Errorf("relay: %v", err)
	}
	between(t, "stop", time.Since(begin), 200*time.Millisecond, 600*time.Millisecond)

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
	time.AfterFunc(300*time.Millisecond, func() {
		_, _ = w.WriteString("late")
		w.Close()
	})
	run(t, pipes(t, true), r, "sh", "-c", "exec >&- 2>&-; cat >"+file)
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
	stdout, _, _ := run(t, s, nil, "sh", "-c", "stat -L -c '%u:%g:%a' /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2; echo x >/proc/self/fd/1")
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
	stdout, _, _ := run(t, pipes(t, true), nil, "sh", "-c", script)
	want(t, "with -i", stdout, "pipe:\nflags:\t00\npipe:\nflags:\t01\npipe:\nflags:\t01\n")
	stdout, _, _ = run(t, pipes(t, false), nil, "sh", "-c", script)
	want(t, "without -i", stdout, "/dev/null\nflags:\t0100000\npipe:\nflags:\t01\npipe:\nflags:\t01\n")
}
