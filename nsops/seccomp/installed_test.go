package seccomp

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"dx/nsops/proc"
)

// These make the test binary another program.
const (
	filteredEnv = "DX_SECCOMP_TEST_FILTERS" // N: a process with N filters, which echoes lines
	tracerEnv   = "DX_SECCOMP_TEST_TRACE"   // PID: stops that process, and waits to be killed
)

func TestMain(m *testing.M) {
	if n, err := strconv.Atoi(os.Getenv(filteredEnv)); err == nil {
		echoUnderFilters(n)
	}
	if pid, err := strconv.Atoi(os.Getenv(tracerEnv)); err == nil {
		stopUntilKilled(pid)
	}
	os.Exit(m.Run())
}

// echoUnderFilters installs filters on all threads, and echoes.
func echoUnderFilters(n int) {
	err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	for i := range n {
		program := sample(i)
		fprog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
		flags := sampleFlags(i) | unix.SECCOMP_FILTER_FLAG_TSYNC
		if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&fprog))); errno != 0 {
			err = errors.Join(err, errno)
		}
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGUSR1)
	go func() {
		for range signals {
			fmt.Println("SIGUSR1")
		}
	}()
	fmt.Println("ready", err)
	io.Copy(os.Stdout, os.Stdin)
	os.Exit(0)
}

// sample is the i-th filter: it denies a call that does not exist, and has some of
// the instructions that libraries do not make.
func sample(i int) []unix.SockFilter {
	program := []unix.SockFilter{
		{Code: unix.BPF_LDX | unix.BPF_W | unix.BPF_LEN},
		{Code: unix.BPF_STX, K: uint32(i % unix.BPF_MEMWORDS)},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offNr},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(60000 + i), Jt: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(i+1)},
	}
	for range i { // each of another length
		program = append([]unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_IMM, K: uint32(i)}}, program...)
	}
	return program
}

func sampleFlags(i int) uintptr {
	if i%2 == 1 {
		return unix.SECCOMP_FILTER_FLAG_LOG
	}
	return 0
}

func stopUntilKilled(pid int) {
	p, err := proc.Open(pid)
	if err == nil {
		err = whileStopped(context.Background(), p, func() error {
			fmt.Println("stopped")
			_, err := io.Copy(io.Discard, os.Stdin) // Go ends a program of which all goroutines wait for each other
			return err
		})
	}
	fmt.Println(err)
	os.Exit(1)
}

// program is a running one of the two.
type program struct {
	*exec.Cmd
	*proc.Process
	in    io.WriteCloser
	lines *bufio.Reader
}

func start(t *testing.T, variable, value, greeting string) *program {
	t.Helper()
	p := &program{Cmd: exec.Command("/proc/self/exe")}
	p.Cmd.Env = append(os.Environ(), variable+"="+value)
	var err error
	if p.in, err = p.Cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.Cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.lines = bufio.NewReader(out)
	if err := p.Cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Cmd.Process.Kill(); p.Cmd.Wait() })
	if line, err := p.lines.ReadString('\n'); err != nil || strings.TrimSpace(line) != greeting {
		t.Fatalf("%s=%s: %q, %v", variable, value, line, err)
	}
	if p.Process, err = proc.Open(p.Cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Process.Close() })
	return p
}

// filtered starts a process with n filters.
func filtered(t *testing.T, n int) *program {
	t.Helper()
	return start(t, filteredEnv, strconv.Itoa(n), "ready <nil>")
}

// mustAnswer sees that the process goes on as before.
func (p *program) mustAnswer(t *testing.T) {
	t.Helper()
	eventually(t, "nobody traces it", func() bool {
		st, err := p.Process.Status()
		return err == nil && st.TracerPID == 0
	})
	p.mustEcho(t)
}

func (p *program) mustEcho(t *testing.T) {
	t.Helper()
	fmt.Fprintln(p.in, "hello")
	if line, err := p.lines.ReadString('\n'); err != nil || line != "hello\n" {
		t.Fatalf("it answers %q, %v", line, err)
	}
}

func (p *program) mustBeIn(t *testing.T, state byte) {
	t.Helper()
	eventually(t, "it is in state "+string(state), func() bool {
		st, err := p.Process.Stat()
		return err == nil && st.State == state
	})
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not so after a minute: %s", what)
		}
	}
}

// mustHave reads the filters and compares them with those that were installed.
func (p *program) mustHave(t *testing.T, n int) {
	t.Helper()
	filters, err := Installed(t.Context(), p.Process)
	if err != nil {
		t.Fatal(err)
	}
	if len(filters) != n {
		t.Fatalf("%d filters, want %d", len(filters), n)
	}
	for i, f := range filters {
		if want := sample(i); !slices.Equal(f.Program, want) {
			t.Errorf("filter %d: %v, want %v", i, f.Program, want)
		}
		if f.Flags&^unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW != sampleFlags(i) {
			t.Errorf("filter %d: flags %#x, want %#x", i, f.Flags, sampleFlags(i))
		}
		if got := filters.Evaluate(Data{Nr: int32(60000 + i), Arch: NativeArch().Audit()}); got != unix.SECCOMP_RET_ERRNO|uint32(i+1) {
			t.Errorf("call %d: %#x", 60000+i, got)
		}
	}
}

func needTracing(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("reading filters takes CAP_SYS_ADMIN")
	}
	self, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(self), "\nSeccomp:\t0\n") {
		t.Skip("these tests run under a seccomp filter")
	}
}

func TestInstalled(t *testing.T) {
	needTracing(t)
	for _, n := range []int{1, 3, 32} {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			p := filtered(t, n)
			for range 3 {
				p.mustHave(t, n)
				p.mustAnswer(t)
			}
		})
	}
}

func TestInstalledNone(t *testing.T) {
	if filters, err := Installed(t.Context(), filtered(t, 0).Process); err != nil || len(filters) != 0 {
		t.Errorf("%v, %v, want none", filters, err)
	}
}

func TestInstalledOfStopped(t *testing.T) {
	needTracing(t)
	p := filtered(t, 2)
	p.Cmd.Process.Signal(unix.SIGSTOP)
	p.mustBeIn(t, 'T')
	p.mustHave(t, 2)
	p.mustBeIn(t, 'T')
	p.Cmd.Process.Signal(unix.SIGCONT)
	p.mustAnswer(t)
}

func TestInstalledOfTraced(t *testing.T) {
	needTracing(t)
	p := filtered(t, 1)
	tracer := start(t, tracerEnv, strconv.Itoa(p.Process.PID), "stopped")
	_, err := Installed(t.Context(), p.Process)
	if !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "traces it already") {
		t.Errorf("%v, want an error about the tracer", err)
	}
	// A tracer that is killed lets go of what it has stopped.
	p.mustBeIn(t, 't')
	if err := tracer.Cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	p.mustAnswer(t)
	p.mustHave(t, 1)
}

func TestInstalledOfGone(t *testing.T) {
	needTracing(t)
	p := filtered(t, 1)
	p.Cmd.Process.Kill()
	p.Cmd.Wait()
	if _, err := Installed(t.Context(), p.Process); !errors.Is(err, proc.ErrGone) {
		t.Errorf("%v, want %v", err, proc.ErrGone)
	}
}

// A signal that comes while the process is stopped reaches it anyway.
func TestInstalledLosesNoSignal(t *testing.T) {
	needTracing(t)
	for range 20 {
		p := filtered(t, 1)
		var reading sync.WaitGroup
		reading.Go(func() {
			for err := error(nil); err == nil; {
				_, err = Installed(context.Background(), p.Process)
			}
		})
		if err := p.Cmd.Process.Signal(unix.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		if line, err := p.lines.ReadString('\n'); err != nil || line != "SIGUSR1\n" {
			t.Fatalf("it answers %q, %v", line, err)
		}
		p.mustEcho(t)
		p.Cmd.Process.Kill()
		reading.Wait()
	}
}

// A process that cannot stop is let go of; as soon as it thaws, it goes on.
func TestInstalledOfFrozen(t *testing.T) {
	needTracing(t)
	for _, f := range freezers {
		t.Run(f.name, func(t *testing.T) {
			dir := filepath.Join(f.root, fmt.Sprintf("dx-seccomp-%d", os.Getpid()))
			if _, err := os.Stat(filepath.Join(f.root, "cgroup.procs")); err != nil {
				t.Skipf("there is no such freezer: %v", err)
			}
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Skipf("no cgroup can be made: %v", err)
			}
			t.Cleanup(func() { eventually(t, "the cgroup is removed", func() bool { return unix.Rmdir(dir) == nil }) })
			p := filtered(t, 1)
			put(t, dir, "cgroup.procs", strconv.Itoa(p.Process.PID))
			put(t, dir, f.file, f.freeze)
			t.Cleanup(func() { put(t, dir, f.file, f.thaw) })
			eventually(t, "it is frozen", func() bool { return strings.Contains(get(t, dir, f.shows), f.frozen) })
			if f.stops {
				p.mustHave(t, 1)
			} else {
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				defer cancel()
				if _, err := Installed(ctx, p.Process); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%v, want %v", err, context.DeadlineExceeded)
				}
			}
			eventually(t, "it is frozen still", func() bool { return strings.Contains(get(t, dir, f.shows), f.frozen) })
			put(t, dir, f.file, f.thaw)
			p.mustAnswer(t)
		})
	}
}

// freezers: what is frozen by v1 never stops, by v2 it does (cgroups(7)).
var freezers = []struct {
	name, root, file, freeze, thaw string
	shows, frozen                  string
	stops                          bool
}{
	{"v1", "/sys/fs/cgroup/freezer", "freezer.state", "FROZEN", "THAWED", "freezer.state", "FROZEN", false},
	{"v2", "/sys/fs/cgroup", "cgroup.freeze", "1", "0", "cgroup.events", "frozen 1", true},
	{"hybrid", "/sys/fs/cgroup/unified", "cgroup.freeze", "1", "0", "cgroup.events", "frozen 1", true},
}

func put(t *testing.T, dir, file, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, dir, file string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// FuzzNewFilter: whatever the kernel returns is refused or can be evaluated.
func FuzzNewFilter(f *testing.F) {
	for i := range 3 {
		var b []byte
		for _, s := range sample(i) {
			b = binary.LittleEndian.AppendUint16(b, s.Code)
			b = binary.LittleEndian.AppendUint32(append(b, s.Jt, s.Jf), s.K)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var program []unix.SockFilter
		for ; len(b) >= 8; b = b[8:] {
			program = append(program, unix.SockFilter{
				Code: binary.LittleEndian.Uint16(b), Jt: b[2], Jf: b[3], K: binary.LittleEndian.Uint32(b[4:]),
			})
		}
		if filter, err := NewFilter(program, AMD64); err == nil {
			filter.Evaluate(Data{Nr: 1, Arch: AMD64.Audit()})
		}
	})
}
