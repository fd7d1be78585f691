package e2e

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"dx/e2e/engine"
	"dx/nsops/seccomp"
)

// TestTheFilterIsDockers reads back the filters of processes of docker exec and of
// dx exec, and asks both about every number of every ABI that they know: also of
// those that this kernel does not have.
func TestTheFilterIsDockers(t *testing.T) {
	t.Parallel()
	e := suite.Engine(t, engine.Host)
	for _, k := range filtered {
		t.Run(k.name, func(t *testing.T) {
			c := k.start(t, e)
			want := filterOf(t, e, c, withDocker, "1001")
			got := filterOf(t, e, c, withDx, "1002")
			if len(want) != len(got) {
				t.Fatalf("docker's process has %d filters, dx's %d", len(want), len(got))
			}
			for _, d := range filterDifferences(want, got) {
				t.Error(d)
			}
		})
	}
	a, b := filterOf(t, e, e.Run(t, engine.Busybox), withDocker, "1001"), filterOf(t, e, filtered[4].start(t, e), withDocker, "1002")
	if len(filterDifferences(a, b)) == 0 {
		t.Error("the comparison does not see that CAP_SYS_ADMIN changes the filter")
	}
}

// TestExecUnderATightFilter: what a profile denies keeps no command from starting that
// docker exec starts.
func TestExecUnderATightFilter(t *testing.T) {
	t.Parallel()
	e := suite.Engine(t, engine.Host)
	for _, more := range [][]string{nil, {"--security-opt", "no-new-privileges"}} {
		for _, denied := range [][]string{
			{"setsid"}, {"ioctl"}, {"faccessat"}, {"faccessat2"}, {"madvise"}, {"clone"}, tight,
		} {
			c := e.Run(t, engine.Busybox, append([]string{"--security-opt", "seccomp=" + denyingProfile(t, denied)}, more...)...)
			for _, flags := range [][]string{{}, {"-u", "app", "-t"}, {"-w", "/nosuch"}} {
				for _, command := range []string{"true", "false", "/etc", "nosuch"} {
					want, got := withDocker(t, e, c, flags, []string{command}), withDx(t, e, c, flags, []string{command})
					if want != got {
						t.Errorf("%v denied, exec %v %s %v: docker %v, dx %v", denied, flags, command, more, want, got)
					}
				}
			}
		}
	}
}

// filterOf starts a process and reads its filters.
func filterOf(t *testing.T, e *engine.Engine, c engine.Container, by program, seconds string) seccomp.Filters {
	t.Helper()
	if r := by(t, e, c, []string{"-d"}, []string{"sleep", seconds}); r.Code != 0 {
		t.Fatalf("exec -d: %+v", r)
	}
	pid, err := strconv.Atoi(findProcess(t, c.ID, "sleep\x00"+seconds+"\x00"))
	if err != nil {
		t.Fatal(err)
	}
	return installedFilters(t, pid)
}

// installedFilters asks the kernel (PTRACE_SECCOMP_GET_FILTER of ptrace(2)) for the
// filters of a process.
func installedFilters(t *testing.T, pid int) seccomp.Filters {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(status), "Seccomp:\t0") {
		return nil
	}
	runtime.LockOSThread() // the tracer is a thread
	defer runtime.UnlockOSThread()
	if err := unix.PtraceAttach(pid); err != nil {
		t.Fatalf("attach to %d: %v", pid, err)
	}
	defer unix.PtraceDetach(pid)
	if _, err := unix.Wait4(pid, nil, unix.WALL, nil); err != nil {
		t.Fatalf("wait for %d: %v", pid, err)
	}
	var filters seccomp.Filters
	program := make([]unix.SockFilter, 4096) // BPF_MAXINSNS
	for {
		n, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SECCOMP_GET_FILTER, uintptr(pid), uintptr(len(filters)), uintptr(unsafe.Pointer(&program[0])), 0, 0)
		if errno == unix.ENOENT {
			return filters
		}
		if errno != 0 {
			t.Fatalf("filter of %d: %v", pid, errno)
		}
		f, err := seccomp.NewFilter(program[:n], seccomp.NativeArch())
		if err != nil {
			t.Fatal(err)
		}
		filters = append(filters, f)
	}
}

// filterArguments are what the profiles ask for, and what is beside it.
var filterArguments = [][6]uint64{
	{}, {1}, {2}, {8}, {0x20000}, {0x20008}, {0x20001}, {0xffffffff}, {^uint64(0)}, {0o77}, {1<<32 | 1}, {1<<32 | 0o77},
	{16, 3}, {16, 2}, {40}, {38}, {unix.CLONE_NEWUSER}, {unix.CLONE_NEWNS | 17}, {0, unix.CLONE_NEWUTS}, {17}, {10, 11, 12, 13, 14, 15},
}

func filterDifferences(want, got seccomp.Filters) []string {
	var out []string
	for arch, audit := range map[string]uint32{"x86_64": unix.AUDIT_ARCH_X86_64, "i386": unix.AUDIT_ARCH_I386, "aarch64": unix.AUDIT_ARCH_AARCH64} {
		for _, base := range []int32{0, 1 << 30} {
			for nr := range int32(700) {
				for _, args := range filterArguments {
					d := seccomp.Data{Nr: base + nr, Arch: audit, Args: args}
					if w, g := want.Evaluate(d), got.Evaluate(d); w != g {
						out = append(out, fmt.Sprintf("%s %#x %v: docker %#x, dx %#x", arch, d.Nr, args, w, g))
						break
					}
				}
			}
		}
	}
	return out
}
