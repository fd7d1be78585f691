// Command oddcaller sets every attribute of itself that survives fork and execve and
// that this machine lets it set, and becomes the command:
//
//	oddcaller [-for-life | -bounding | -namespaces] COMMAND [ARGUMENT...]
//
// What a shell can set is left out. Instead, -for-life sets what nobody can undo, -bounding
// drops capabilities from the bounding set, and -namespaces makes a cgroup and a time
// namespace, for which a container's unshare(1) has no flags.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

func main() {
	runtime.LockOSThread()
	args := os.Args[1:]
	do, err := map[string]func() error{"-for-life": setForLife, "-bounding": dropBounding, "-namespaces": unshare}[args[0]], error(nil)
	if do == nil {
		set()
	} else {
		args, err = args[1:], do()
	}
	path := ""
	if err == nil {
		path, err = exec.LookPath(args[0])
	}
	if err == nil {
		err = unix.Exec(path, args, os.Environ())
	}
	fmt.Fprintln(os.Stderr, "oddcaller:", err)
	os.Exit(1)
}

func setForLife() error { return unix.Prctl(unix.PR_SET_MDWE, unix.PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) }

func dropBounding() error {
	for _, c := range []uintptr{unix.CAP_CHOWN, unix.CAP_NET_RAW, unix.CAP_SETPCAP} {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
			return err
		}
	}
	return nil
}

// unshare makes a time namespace as well, which the execve enters.
func unshare() error { return unix.Unshare(unix.CLONE_NEWCGROUP | unix.CLONE_NEWTIME) }

// set ignores what this kernel, machine or sandbox refuses: the prober shows what
// was set.
func set() {
	prctl(unix.PR_SET_THP_DISABLE, 1)
	prctl(unix.PR_MCE_KILL, unix.PR_MCE_KILL_SET, unix.PR_MCE_KILL_EARLY)
	prctl(unix.PR_SET_MEMORY_MERGE, 1)
	prctl(unix.PR_SET_IO_FLUSHER, 1)
	prctl(unix.PR_SET_TIMERSLACK, 12345)
	prctl(unix.PR_SET_CHILD_SUBREAPER, 1)
	prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGUSR2))
	prctl(unix.PR_SET_SPECULATION_CTRL, unix.PR_SPEC_STORE_BYPASS, unix.PR_SPEC_DISABLE)
	prctl(unix.PR_SET_SPECULATION_CTRL, unix.PR_SPEC_INDIRECT_BRANCH, unix.PR_SPEC_DISABLE)
	prctl(unix.PR_SET_SPECULATION_CTRL, unix.PR_SPEC_L1D_FLUSH, unix.PR_SPEC_ENABLE)
	const userKeyring = 4 // KEY_REQKEY_DEFL_USER_KEYRING
	call(unix.SYS_KEYCTL, unix.KEYCTL_SET_REQKEY_KEYRING, userKeyring)
	call(unix.SYS_KEYCTL, unix.KEYCTL_JOIN_SESSION_KEYRING, 0)
	nodes := uint64(1)
	call(unix.SYS_SET_MEMPOLICY, unix.MPOL_INTERLEAVE, uintptr(unsafe.Pointer(&nodes)), 64)
	call(unix.SYS_PERSONALITY, 0x0440000) // ADDR_NO_RANDOMIZE, READ_IMPLIES_EXEC
	ports()
	_, _ = unix.Setitimer(unix.ITIMER_REAL, unix.Itimerval{Value: unix.Timeval{Sec: 3600}})
	_, _ = unix.Setitimer(unix.ITIMER_PROF, unix.Itimerval{Value: unix.Timeval{Sec: 3600}})
	// A signal that does no harm to the command, should it be let through.
	blocked := uint64(1 << (int(unix.SIGWINCH) - 1))
	call(unix.SYS_RT_SIGPROCMASK, unix.SIG_BLOCK, uintptr(unsafe.Pointer(&blocked)), 0, 8)
	_ = unix.Kill(unix.Getpid(), unix.SIGWINCH) // pending
	_ = os.WriteFile("/proc/self/autogroup", []byte("9"), 0)
}

func prctl(args ...uintptr) { call(unix.SYS_PRCTL, args...) }

func call(nr uintptr, args ...uintptr) {
	var a [5]uintptr
	copy(a[:], args)
	_, _, _ = unix.RawSyscall6(nr, a[0], a[1], a[2], a[3], a[4], 0)
}
