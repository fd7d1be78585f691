package seccomp

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

const childEnv = "DX_SECCOMP_TEST_CHILD"

// TestLoad loads Docker's default filter into a child of this test and has the
// kernel answer calls. The expected values are those of a shell in a container.
func TestLoad(t *testing.T) {
	if os.Getenv(childEnv) != "" {
		underFilter(t)
		return
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestLoad$", "-test.v")
	cmd.Env = append(os.Environ(), childEnv+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("calls checked")) {
		t.Fatalf("child: %v\n%s", err, out)
	}
}

func underFilter(t *testing.T) {
	var profile specs.LinuxSeccomp
	readJSON(t, "testdata/default.json", &profile)
	f, err := Compile(&profile, NativeArch())
	if err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread() // the filter is this thread's
	load(t, f)
	const cachestat = 451 // younger than the profile
	calls := []struct {
		name     string
		nr, arg0 uintptr
		want     unix.Errno
	}{
		{"getppid", unix.SYS_GETPPID, 0, 0},
		{"unshare", unix.SYS_UNSHARE, 0, unix.EPERM},
		{"personality(PER_LINUX)", unix.SYS_PERSONALITY, 0, 0},
		{"personality(PER_BSD)", unix.SYS_PERSONALITY, 6, unix.EPERM},
		{"clone(CLONE_NEWUTS)", unix.SYS_CLONE, unix.CLONE_NEWUTS, unix.EPERM},
		{"clone3", unix.SYS_CLONE3, 0, unix.ENOSYS},
		{"cachestat", cachestat, ^uintptr(0), unix.ENOSYS},
	}
	for _, c := range calls {
		if _, _, errno := unix.RawSyscall(c.nr, c.arg0, 0, 0); errno != c.want {
			t.Errorf("%s: %v, want %v", c.name, errno, c.want)
		}
	}
	fmt.Println("calls checked")
}

func load(t *testing.T, f *Filter) {
	t.Helper()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	program := unix.SockFprog{Len: uint16(len(f.Program)), Filter: &f.Program[0]}
	_, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, f.Flags, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		t.Fatalf("load %d instructions: %v", len(f.Program), errno)
	}
	status, err := os.ReadFile("/proc/thread-self/status")
	if err != nil || !strings.Contains(string(status), "Seccomp:\t2") {
		t.Fatalf("the kernel shows no filter: %v", err)
	}
}
