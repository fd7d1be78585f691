// Command execer is an attacker: a process under a seccomp filter that executes a file
// whose file system does not answer. Whoever wants to trace it waits for that execve(2),
// which holds cred_guard_mutex (kernel/ptrace.c, ptrace_attach).
//
//	execer FILE
package main

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

func main() {
	err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	allow := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW}}
	prog := unix.SockFprog{Len: uint16(len(allow)), Filter: &allow[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	if err != nil || errno != 0 {
		fmt.Fprintln(os.Stderr, "execer:", err, errno)
		os.Exit(1)
	}
	fmt.Fprintln(os.Stderr, "execer:", unix.Exec(os.Args[1], os.Args[1:], nil))
}
