package tty

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"dx/e2e/await"
	"dx/e2e/disposition"
	"dx/nsops/launch"
	"dx/nsops/proc"
	"dx/nsops/rootfs"
)

func TestMain(m *testing.M) {
	disposition.CatchIgnored()
	if os.Getenv("DX_TEST_HELPER") == "no-new-calls" {
		denyNewCalls()
	}
	os.Exit(m.Run())
}

// denyNewCalls makes this process's kernel look like 4.18 for the calls that the
// package uses and that came later.
func denyNewCalls() {
	prog := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}}
	for _, nr := range []uint32{unix.SYS_OPENAT2, unix.SYS_OPEN_TREE, unix.SYS_MOUNT_SETATTR, unix.SYS_FSOPEN} {
		prog = append(prog,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: nr},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)})
	}
	prog = append(prog, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
	fprog := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&fprog)))
	if errno != 0 {
		panic("seccomp: " + errno.Error())
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("a devpts of one's own needs root")
	}
}

// noLeaks fails the test if it leaves descriptors or goroutines behind. What the
// libraries keep for good (Go its poller and the goroutine that
// takes signals, dx its own process) must exist before.
func noLeaks(t *testing.T) {
	t.Helper()
	if _, err := proc.Self(); err != nil {
		t.Fatal(err)
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGWINCH)
	signal.Stop(signals)
	if r, w, err := os.Pipe(); err == nil {
		r.Close()
		w.Close()
	}
	// The garbage collector closes what earlier code has dropped.
	runtime.GC()
	time.Sleep(10 * time.Millisecond)
	fds, goroutines := openFiles(t), runtime.NumGoroutine()
	t.Cleanup(func() {
		var leaked []string
		clean := func() bool {
			leaked = nil
			for fd, name := range openFiles(t) {
				if fds[fd] == "" {
					leaked = append(leaked, fd+" -> "+name)
				}
			}
			return len(leaked) == 0 && runtime.NumGoroutine() <= goroutines
		}
		if await.Holds(clean) {
			return
		}
		buf := make([]byte, 1<<16)
		t.Errorf("leaked descriptors %q; %d goroutines, %d before\n%s", leaked, runtime.NumGoroutine(), goroutines,
			buf[:runtime.Stack(buf, true)])
	})
}

func openFiles(t *testing.T) map[string]string {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, e := range entries {
		// The descriptor of the listing itself is gone by now.
		if name, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil {
			files[e.Name()] = name
		}
	}
	return files
}

func hostRoot(t testing.TB) *rootfs.Root { return openRoot(t, "/") }

func openRoot(t testing.TB, dir string) *rootfs.Root {
	t.Helper()
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f, deputy := os.NewFile(uintptr(fd), dir), &launch.Deputy{}
	t.Cleanup(func() { f.Close(); deputy.Close() })
	return rootfs.At(f, deputy, dir)
}

// localPipe is a pipe of the caller, closed when the test ends.
func localPipe(t testing.TB) (r, w *os.File) {
	t.Helper()
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	r, w = os.NewFile(uintptr(fds[0]), "local"), os.NewFile(uintptr(fds[1]), "local")
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

// collect reads a file to its end in the background.
func collect(f *os.File) <-chan string {
	got := make(chan string, 1)
	go func() {
		b, _ := io.ReadAll(f)
		got <- string(b)
	}()
	return got
}

// process is a command on a Stdio, in place of one in a container.
type process struct {
	*Stdio
	cmd    *exec.Cmd
	exited chan struct{}
}

func pipes(t testing.TB, stdin bool) *Stdio {
	t.Helper()
	s, err := NewPipes(hostRoot(t), stdin)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func onPTY(t *testing.T) *Stdio {
	t.Helper()
	needRoot(t)
	s, err := NewPTY(hostRoot(t), Size{Rows: 33, Cols: 101})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func start(t testing.TB, s *Stdio, argv ...string) *process {
	t.Helper()
	p := &process{Stdio: s, cmd: exec.Command(argv[0], argv[1:]...), exited: make(chan struct{})}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = s.Child[0], s.Child[1], s.Child[2]
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: s.master != nil}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		// The session holds what the command left in the background, too.
		_ = unix.Kill(-p.cmd.Process.Pid, unix.SIGKILL)
		<-p.exited
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return p
}

// limited is a context that ends when patience does.
func limited(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeoutCause(context.Background(), await.Patience, errors.New("the relay does not end"))
	t.Cleanup(cancel)
	return ctx
}

// relay runs the relay. One that does not end by itself is an error: what a test
// lets hold the streams holds them for longer than patience.
func (p *process) relay(t testing.TB, local Streams) error {
	return p.relayUntil(limited(t), local)
}

func (p *process) relayUntil(ctx context.Context, local Streams) error {
	ended := make(chan error, 1)
	go func() { ended <- p.Relay(ctx, local, p.exited) }()
	select {
	case err := <-ended:
		return err
	case <-time.After(2 * await.Patience):
		return errors.New("the relay does not end with its context")
	}
}

// run starts a command, and returns what came out.
func run(t *testing.T, s *Stdio, in *os.File, argv ...string) (stdout, stderr string) {
	t.Helper()
	return start(t, s, argv...).output(t, in)
}

// output relays a command's output to pipes and returns what came out.
func (p *process) output(t *testing.T, in *os.File) (stdout, stderr string) {
	t.Helper()
	outR, outW := localPipe(t)
	errR, errW := localPipe(t)
	out, errs := collect(outR), collect(errR)
	if err := p.relay(t, Streams{In: in, Out: outW, Err: errW}); err != nil {
		t.Errorf("relay of %q: %v", p.cmd.Args, err)
	}
	outW.Close()
	errW.Close()
	return <-out, <-errs
}

// sum is sha256sum's answer about what it reads from f.
func sum(t *testing.T, f *os.File) string {
	t.Helper()
	cmd := exec.Command("sha256sum")
	cmd.Stdin = f
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes.Fields(out)[0])
}

// randomFile is a file of so many MiB of noise, with its sha256sum.
func randomFile(t *testing.T, mib int) (path, hash string) {
	t.Helper()
	path = t.TempDir() + "/noise"
	cmd := exec.Command("sh", "-c", fmt.Sprintf("head -c %dM /dev/urandom >%s", mib, path))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	f := openFile(t, path, os.O_RDONLY)
	return path, sum(t, f)
}

func openFile(t *testing.T, path string, flags int) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func want(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %q, want %q", what, clip(got), clip(want))
	}
}

func clip(s string) string {
	if len(s) > 200 {
		return s[:200] + fmt.Sprintf("… (%d bytes)", len(s))
	}
	return strings.ToValidUTF8(s, "?")
}
