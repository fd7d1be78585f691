package tty

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// The bulk tests send a file of noise several times over and compare sha256sum's
// answers.
const (
	noiseMiB = 8
	times    = 4
)

func noise(t *testing.T) (file string, argv []string, hash string) {
	file, _ = randomFile(t, noiseMiB)
	argv = []string{"cat"}
	for range times {
		argv = append(argv, file)
	}
	out, err := exec.Command("sh", append([]string{"-c", `"$@" | sha256sum`, "sh"}, argv...)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	return file, argv, string(out[:64])
}

func TestBulkOutput(t *testing.T) {
	_, argv, hash := noise(t)
	for name, sinkOf := range map[string]func(t *testing.T) (w *os.File, got func() string){
		"pipe":        func(t *testing.T) (*os.File, func() string) { return hashed(t, os.Pipe) },
		"socket":      func(t *testing.T) (*os.File, func() string) { return hashed(t, socketPair) },
		"slow reader": slowReader,
		"file":        func(t *testing.T) (*os.File, func() string) { return toFile(t, 0) },
		"log file":    func(t *testing.T) (*os.File, func() string) { return toFile(t, os.O_APPEND) },
		"nonblocking": nonblockingPipe,
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			w, got := sinkOf(t)
			p := start(t, pipes(t, false), argv...)
			err := p.relay(t, Streams{Out: w, Err: w})
			w.Close()
			if sum := got(); err != nil || sum != hash {
				t.Errorf("sha256 %s, want %s (%v)", sum, hash, err)
			}
		})
	}
}

func socketPair() (r, w *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	return os.NewFile(uintptr(fds[0]), "socket"), os.NewFile(uintptr(fds[1]), "socket"), nil
}

// hashed starts a sha256sum at the other end.
func hashed(t *testing.T, open func() (r, w *os.File, err error)) (*os.File, func() string) {
	t.Helper()
	r, w, err := open()
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 1)
	go func() {
		cmd := exec.Command("sha256sum")
		cmd.Stdin = r
		out, _ := cmd.Output()
		r.Close()
		got <- fmt.Sprintf("%.64s", out)
	}()
	return w, func() string { return <-got }
}

// slowReader reads odd amounts, so that pipes are full most of the time.
func slowReader(t *testing.T) (*os.File, func() string) {
	r, w := localPipe(t)
	next, got := hashed(t, os.Pipe)
	go func() {
		for n := int64(1); ; n = n*7%65537 + 1 {
			if _, err := io.CopyN(next, r, n); err != nil {
				next.Close()
				return
			}
		}
	}()
	return w, got
}

func toFile(t *testing.T, flags int) (*os.File, func() string) {
	path := filepath.Join(t.TempDir(), "out")
	f := openFile(t, path, os.O_WRONLY|os.O_CREATE|flags)
	return f, func() string { return sum(t, openFile(t, path, os.O_RDONLY)) }
}

// nonblockingPipe is a standard output that somebody else has made non-blocking.
func nonblockingPipe(t *testing.T) (*os.File, func() string) {
	w, got := hashed(t, os.Pipe)
	if err := unix.SetNonblock(int(w.Fd()), true); err != nil {
		t.Fatal(err)
	}
	return w, got
}

func TestBulkInput(t *testing.T) {
	file, argv, _ := noise(t)
	for name, sourceOf := range map[string]func(t *testing.T) *os.File{
		"file": func(t *testing.T) *os.File { return openFile(t, file, os.O_RDONLY) },
		"pipe": func(t *testing.T) *os.File { return outputOf(t, os.Pipe, argv[:2]) },
		"socket": func(t *testing.T) *os.File {
			return outputOf(t, socketPair, argv[:2])
		},
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			in := sourceOf(t)
			stdout, _ := run(t, pipes(t, true), in, "sha256sum")
			in.Close()
			want(t, "sha256", fmt.Sprintf("%.64s", stdout), sum(t, openFile(t, file, os.O_RDONLY)))
		})
	}
}

func outputOf(t *testing.T, open func() (r, w *os.File, err error), argv []string) *os.File {
	t.Helper()
	r, w, err := open()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	go func() { _ = cmd.Wait() }()
	return r
}

// TestPipesGrowLate: a short command sees the pipes that docker gives, and the
// caller's pipe stays as it is; a long stream enlarges both.
func TestPipesGrowLate(t *testing.T) {
	for count, size := range map[int]int{10 << 10: 64 << 10, 4 << 20: growTo} {
		noLeaks(t)
		s := pipes(t, false)
		p := start(t, s, "head", "-c", fmt.Sprint(count), "/dev/zero")
		r, w := localPipe(t)
		all := collect(r)
		if err := p.relay(t, Streams{Out: w, Err: w}); err != nil {
			t.Error(err)
		}
		if got, _ := unix.FcntlInt(w.Fd(), unix.F_GETPIPE_SZ, 0); got != size {
			t.Errorf("after %d bytes the pipe has %d, want %d", count, got, size)
		}
		w.Close()
		if n := len(<-all); n != count {
			t.Errorf("got %d bytes of %d", n, count)
		}
	}
}

// TestRelayDoesNotCopy: between pipes, the kernel counts next to nothing as read by
// this process (proc_pid_io(5); splice is not counted). It does count what dd and
// cat, its children, have read.
func TestRelayDoesNotCopy(t *testing.T) {
	const mib = 256
	before := bytesRead(t)
	relayToCat(t, mib)
	if own := bytesRead(t) - before - 2*mib<<20; own > mib<<20/10 {
		t.Errorf("read %d bytes to relay %d MiB", own, mib)
	}
}

func bytesRead(t *testing.T) (n int64) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscanf(string(b), "rchar: %d", &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// BenchmarkDirect is what BenchmarkRelay is to be compared with.
func BenchmarkDirect(b *testing.B) {
	for b.Loop() {
		if err := exec.Command("sh", "-c", zeros(1024)+" | cat >/dev/null").Run(); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(1 << 30)
}

func BenchmarkRelay(b *testing.B) {
	for b.Loop() {
		relayToCat(b, 1024)
	}
	b.SetBytes(1 << 30)
}

func zeros(mib int) string {
	return fmt.Sprintf("dd if=/dev/zero bs=64k count=%d 2>/dev/null", mib*16)
}

func relayToCat(t testing.TB, mib int) {
	t.Helper()
	r, w := localPipe(t)
	reader := exec.Command("sh", "-c", "cat >/dev/null")
	reader.Stdin = r
	if err := reader.Start(); err != nil {
		t.Fatal(err)
	}
	p := start(t, pipes(t, false), "sh", "-c", zeros(mib))
	if err := p.relay(t, Streams{Out: w, Err: w}); err != nil {
		t.Error(err)
	}
	w.Close()
	r.Close()
	_ = reader.Wait()
}
