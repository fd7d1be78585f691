// Command faker is an init that has seccomp filters of its own: one that denies a call,
// and one that answers in the kernel's place that every call succeeded by which a process
// gives up rights. It lies to calls that come from somewhere, and allows them to a
// compiler that asks beforehand. In the environment HONEST=1 leaves that one out, and
// NNP=1 sets no_new_privs, without which it takes CAP_SYS_ADMIN. With arguments it
// becomes that command, with its filters.
package main

import (
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// rights are the calls by which a process becomes less.
var rights = []uint32{
	unix.SYS_SETGROUPS, unix.SYS_SETGID, unix.SYS_SETUID, unix.SYS_SETRESUID, unix.SYS_SETRESGID,
	unix.SYS_CAPSET, unix.SYS_PRCTL, unix.SYS_SECCOMP,
}

func main() {
	runtime.LockOSThread() // main's is the first thread, whose filters are the process's
	err := run()
	if len(os.Args) > 1 && err == nil {
		err = unix.Exec(os.Args[1], os.Args[1:], os.Environ())
	}
	fmt.Println("ready", err)
	for err == nil {
		_ = unix.Pause()
	}
	os.Exit(1)
}

func run() error {
	if os.Getenv("NNP") != "" {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return err
		}
	}
	filters := [][]unix.SockFilter{answering(unix.SECCOMP_RET_ERRNO|77, unix.SYS_ACCT)}
	if os.Getenv("HONEST") == "" {
		filters = append(filters, answering(unix.SECCOMP_RET_ERRNO, rights...))
	}
	for _, f := range filters {
		prog := unix.SockFprog{Len: uint16(len(f)), Filter: &f[0]}
		_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
		if errno != 0 {
			return errno
		}
	}
	return nil
}

// answering is a filter that answers to some calls, if they come from somewhere.
func answering(answer uint32, calls ...uint32) []unix.SockFilter {
	const offNr, offIP = 0, 8
	f := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offIP},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: 0, Jt: uint8(2*len(calls) + 1)},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offNr},
	}
	for _, nr := range calls {
		f = append(f,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: nr, Jf: 1},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: answer})
	}
	return append(f, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
}
