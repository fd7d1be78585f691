package tools

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	if os.Getenv("DX_TEST_HELPER") == "no-new-calls" {
		denyNewCalls()
	}
	os.Exit(m.Run())
}

// denyNewCalls makes this process's kernel look like 5.11 for mount_setattr.
func denyNewCalls() {
	prog := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: unix.SYS_MOUNT_SETATTR},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	fprog := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&fprog)))
	if errno != 0 {
		panic("seccomp: " + errno.Error())
	}
}

// TestOldKernel runs itself where mount_setattr answers ENOSYS.
func TestOldKernel(t *testing.T) {
	needRoot(t)
	if os.Getenv("DX_TEST_HELPER") == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestOldKernel$", "-test.v")
		cmd.Env = append(os.Environ(), "DX_TEST_HELPER=no-new-calls")
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS: TestOldKernel") {
			t.Errorf("this test without mount_setattr: %v\n%s", err, out)
		}
		return
	}
	for name, make := range map[string]func() (*Tree, error){
		"busybox":   func() (*Tree, error) { return Busybox(context.Background()) },
		"directory": func() (*Tree, error) { return Open(t.TempDir()) },
	} {
		if tr, err := make(); !errors.Is(err, ErrOldKernel) {
			t.Errorf("%s without mount_setattr: %v, %v, want that the kernel is too old", name, tr, err)
		}
	}
}
