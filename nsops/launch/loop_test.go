package launch

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"dx/nsops/seccomp"
)

// runner is the command that runs an executable of this architecture on a
// machine of another one: qemu-aarch64-static. Empty: the kernel runs it.
var runner = os.Getenv("DX_TEST_RUNNER")

// bytes are those of the file.
func (i image) bytes() []byte {
	return append(append(i.code, make([]byte, segmentAlign-len(i.code))...), i.data...)
}

// runLoop runs hand-made steps and returns the exit code and what was written to
// stdout.
func runLoop(t *testing.T, steps ...*Step) (code int, out string) {
	t.Helper()
	img := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(img, (&Program{Steps: steps}).image().bytes(), 0o700); err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	argv := []string{img}
	if runner != "" {
		argv = []string{runner, img}
	}
	pid, err := syscall.ForkExec(argv[0], argv, &syscall.ProcAttr{Files: []uintptr{0, w.Fd(), 2}})
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4096)
	n, _ := r.Read(b)
	r.Close()
	status, err := reap(pid)
	if err != nil || !status.Exited() {
		t.Fatalf("the program ended with %#x, %v", status, err)
	}
	return status.ExitStatus(), string(b[:n])
}

func sys(nr uintptr, args ...Arg) *Step { return &Step{Nr: uint64(nr), Args: args} }
func set(v int) *Step                   { return &Step{Nr: opSet, Args: []Arg{num(v)}} }
func exit(code int) *Step               { return sys(unix.SYS_EXIT_GROUP, num(code)) }

func TestLoopFollowsSteps(t *testing.T) {
	badClose := func() *Step { return sys(unix.SYS_CLOSE, num(999)) } // EBADF
	tests := map[string]struct {
		steps func() []*Step
		code  int
	}{
		"in order": {func() []*Step { return []*Step{sys(unix.SYS_GETPID), set(0), exit(3)} }, 3},
		"six arguments arrive": {func() []*Step {
			// mmap with a length of zero is EINVAL; with all six right it works.
			m := sys(unix.SYS_MMAP, num(0x30000000), num(4096), num(unix.PROT_READ), num(unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_FIXED), num(^uint64(0)), num(0))
			return []*Step{m, exit(0)}
		}, 0},
		"fatal error is the exit code": {func() []*Step { return []*Step{badClose(), exit(1)} }, int(unix.EBADF)},
		"fatal error behind its base": {func() []*Step {
			s := badClose()
			s.exit = exitTTY
			return []*Step{s, exit(1)}
		}, exitTTY + int(unix.EBADF)},
		"fail is an error": {func() []*Step { return []*Step{{Nr: opFail, Args: []Arg{num(unix.EISDIR)}}, exit(1)} }, int(unix.EISDIR)},
		"any error jumps": {func() []*Step {
			s, end := badClose(), exit(5)
			s.onError = end
			return []*Step{s, exit(1), end}
		}, 5},
		"error goes on behind": {func() []*Step {
			s := badClose()
			s.onError = goNext
			return []*Step{s, exit(6)}
		}, 6},
		"the second errno jumps": {func() []*Step {
			s, end := badClose(), exit(5)
			s.onError, s.errnos = end, []unix.Errno{unix.EPERM, unix.EBADF}
			return []*Step{s, exit(1), end}
		}, 5},
		"another errno is fatal": {func() []*Step {
			s, end := badClose(), exit(5)
			s.onError, s.errnos = end, []unix.Errno{unix.EPERM}
			return []*Step{s, exit(1), end}
		}, int(unix.EBADF)},
		"an errno becomes a later argument": {func() []*Step {
			s, end := badClose(), exit(1)
			s.onError, s.errnoInto = end, &slot{step: end, arg: 0}
			return []*Step{s, exit(2), end}
		}, int(unix.EBADF)},
		"zero jumps": {func() []*Step {
			s, end := set(0), exit(7)
			s.onZero, s.onPositive = end, exit(1)
			return []*Step{s, exit(2), end}
		}, 7},
		"positive jumps": {func() []*Step {
			s, end := set(12), exit(8)
			s.onPositive = end
			return []*Step{s, exit(2), end}
		}, 8},
		"a result becomes a later argument": {func() []*Step {
			end := exit(1)
			s := set(44)
			s.into = &slot{step: end, arg: 0}
			return []*Step{s, end}
		}, 44},
		"a result becomes a later call": {func() []*Step {
			later := &Step{Nr: opSet, Args: []Arg{num(45)}}
			s := set(unix.SYS_EXIT_GROUP)
			s.into = &slot{step: later, arg: nrSlot}
			return []*Step{s, later, exit(1)}
		}, 45},
		"an error of -4095 is an error, a large address a result": {func() []*Step {
			s := sys(unix.SYS_MMAP, num(0x7f0000000000), num(4096), num(unix.PROT_READ), num(unix.MAP_PRIVATE|unix.MAP_ANONYMOUS), num(^uint64(0)), num(0))
			end := exit(9)
			s.onPositive = end
			return []*Step{s, exit(1), end}
		}, 9},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if code, _ := runLoop(t, test.steps()...); code != test.code {
				t.Errorf("exit code %d, want %d", code, test.code)
			}
		})
	}
}

func TestLoopDataIsReachable(t *testing.T) {
	text := "bytes, strings and tables\n"
	code, out := runLoop(t, sys(unix.SYS_WRITE, num(1), raw([]byte(text), ""), num(len(text))), exit(0))
	if code != 0 || out != text {
		t.Errorf("wrote %q and exited with %d", out, code)
	}
	echo := sys(unix.SYS_EXECVE, str("/bin/sh"), table([]string{"sh", "-c", `printf "%s,%s" "$A" "$1"`, "x", "arg"}, ""), table([]string{"A=env"}, ""))
	if runner == "" {
		if _, out := runLoop(t, echo); out != "env,arg" {
			t.Errorf("execve handed over %q", out)
		}
	}
}

// The loop's literals and the Go constants must stay together.
func TestLoopLayout(t *testing.T) {
	src, err := os.ReadFile("loop_" + runtime.GOARCH + ".s")
	if err != nil {
		t.Fatal(err)
	}
	offsets := map[string]int{"nr": offNr, "args": offArgs, "into": offInto, "onZero": offOnZero, "onPositive": offOnPositive, "onError": offOnError, "errno": offErrno, "errno2": offErrno2, "exit": offExit, "errnoInto": offErrnoInto}
	for name, off := range offsets {
		if !strings.Contains(string(src), fmt.Sprintf("%d(R1", off)) {
			t.Errorf("loop_%s.s does not read %s at %d", runtime.GOARCH, name, off)
		}
	}
	header := map[string]string{"amd64": "BX", "arm64": "R20"}[runtime.GOARCH]
	for i := range len(seccomp.Key{}) {
		if want := fmt.Sprintf("%d(%s), R", offKey+8*i, header); !strings.Contains(string(src), want) {
			t.Errorf("loop_%s.s does not read the key at %s", runtime.GOARCH, want)
		}
	}
	if offKey < 8+offReportChild+8 || offKey+len(seccomp.Key{})*8 > headerSize {
		t.Error("the key lies over the scratch report, or does not fit")
	}
	if offErrnoInto+8 > stepSize || scratch+offReportErrno+8 > dataBase+headerSize {
		t.Error("a step or a report does not fit")
	}
	if n := len(loopCode()); n < 100 || n > 400 {
		t.Errorf("the loop is %d bytes long", n)
	}
}

// A report page that was never mapped must not be written: the first failure
// goes to the scratch report.
func TestLoopScratchReport(t *testing.T) {
	data := (&Program{Steps: []*Step{exit(0)}}).image().data
	if got := binary.NativeEndian.Uint64(data); got != scratch {
		t.Errorf("the report pointer starts as %#x, want the scratch report %#x", got, scratch)
	}
}
