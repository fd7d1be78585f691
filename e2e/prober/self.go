//go:build amd64

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// facts prints one fact.
type facts func(name string, value any, err error)

// printSelf prints what the files of /proc/self do not show.
func printSelf(out io.Writer) {
	fact := func(name string, value any, err error) {
		var errno syscall.Errno
		if errors.As(err, &errno) {
			value = errnoName(errno)
		}
		fmt.Fprintf(out, "%s: %v\n", name, value)
	}
	printSchedule(fact)
	printPrctl(fact)
	printKeyring(fact)
	printSession(fact)
}

func printSchedule(fact facts) {
	attr, err := unix.SchedGetAttr(0, 0)
	fact("sched_getattr", fmt.Sprintf("%+v", attr), err)
	nice, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	fact("getpriority", nice, err)
	fact("ioprio_get", number(unix.SYS_IOPRIO_GET, 1, 0), nil)
	var cpus unix.CPUSet
	err = unix.SchedGetaffinity(0, &cpus)
	fact("sched_getaffinity", fmt.Sprintf("%x", cpus), err)
	var mode int32
	_, _, errno := unix.RawSyscall6(unix.SYS_GET_MEMPOLICY, uintptr(unsafe.Pointer(&mode)), 0, 0, 0, 0, 0)
	fact("get_mempolicy", fmt.Sprint(mode, " ", errno), nil)
	fact("personality", number(unix.SYS_PERSONALITY, 0xffffffff), nil)
	for which := range 3 {
		timer, err := unix.Getitimer(unix.ItimerWhich(which))
		fact(fmt.Sprint("getitimer ", which), timer, err)
	}
}

// number is what a call returns.
func number(nr uintptr, args ...uintptr) string {
	var a [6]uintptr
	copy(a[:], args)
	n, _, errno := unix.RawSyscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5])
	if errno != 0 {
		return errnoName(errno)
	}
	return fmt.Sprintf("%#x", n)
}

func printPrctl(fact facts) {
	for _, p := range []struct {
		name        string
		option, arg uintptr
	}{
		{"PR_GET_DUMPABLE", unix.PR_GET_DUMPABLE, 0}, {"PR_GET_KEEPCAPS", unix.PR_GET_KEEPCAPS, 0},
		{"PR_GET_SECUREBITS", unix.PR_GET_SECUREBITS, 0}, {"PR_GET_TIMERSLACK", unix.PR_GET_TIMERSLACK, 0},
		{"PR_GET_NO_NEW_PRIVS", unix.PR_GET_NO_NEW_PRIVS, 0}, {"PR_GET_SECCOMP", unix.PR_GET_SECCOMP, 0},
		{"PR_GET_THP_DISABLE", unix.PR_GET_THP_DISABLE, 0}, {"PR_GET_IO_FLUSHER", unix.PR_GET_IO_FLUSHER, 0},
		{"PR_MCE_KILL_GET", unix.PR_MCE_KILL_GET, 0}, {"PR_GET_MDWE", unix.PR_GET_MDWE, 0},
		{"PR_GET_MEMORY_MERGE", unix.PR_GET_MEMORY_MERGE, 0},
		// A seccomp filter without SPEC_ALLOW changes these.
		{"PR_GET_SPECULATION_CTRL, store bypass", unix.PR_GET_SPECULATION_CTRL, unix.PR_SPEC_STORE_BYPASS},
		{"PR_GET_SPECULATION_CTRL, indirect branch", unix.PR_GET_SPECULATION_CTRL, unix.PR_SPEC_INDIRECT_BRANCH},
		{"PR_GET_SPECULATION_CTRL, L1D flush", unix.PR_GET_SPECULATION_CTRL, unix.PR_SPEC_L1D_FLUSH},
	} {
		fact(p.name, number(unix.SYS_PRCTL, p.option, p.arg), nil)
	}
	var tsc int32
	_, _, errno := unix.RawSyscall(unix.SYS_PRCTL, unix.PR_GET_TSC, uintptr(unsafe.Pointer(&tsc)), 0)
	fact("PR_GET_TSC", fmt.Sprint(tsc, " ", errno), nil)
	var signal, reaper int32
	_, _, errno = unix.RawSyscall(unix.SYS_PRCTL, unix.PR_GET_PDEATHSIG, uintptr(unsafe.Pointer(&signal)), 0)
	fact("PR_GET_PDEATHSIG", fmt.Sprint(signal, " ", errno), nil)
	_, _, errno = unix.RawSyscall(unix.SYS_PRCTL, unix.PR_GET_CHILD_SUBREAPER, uintptr(unsafe.Pointer(&reaper)), 0)
	fact("PR_GET_CHILD_SUBREAPER", fmt.Sprint(reaper, " ", errno), nil)
}

// printKeyring: the serial shows whether two processes share a keyring. In a user
// namespace no two have the same: runc joins the keyring by its name, and there
// the kernel makes a new one of that name each time.
func printKeyring(fact facts) {
	serial, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false)
	if err != nil || inInitialUserNamespace() {
		fact("session keyring", serial, err)
	}
	const unchanged = ^uintptr(0) // KEY_REQKEY_DEFL_NO_CHANGE
	fact("requested keys go to", number(unix.SYS_KEYCTL, unix.KEYCTL_SET_REQKEY_KEYRING, unchanged), nil)
	text, err := unix.KeyctlString(unix.KEYCTL_DESCRIBE, unix.KEY_SPEC_SESSION_KEYRING)
	fact("session keyring is", text, err)
	// Not what is in it: the keyrings of everybody's containers.
	_, err = os.ReadFile("/proc/keys")
	fact("/proc/keys opens", err == nil, err)
}

// inInitialUserNamespace: that one maps every id to itself (user_namespaces(7)).
func inInitialUserNamespace() bool {
	b, err := os.ReadFile("/proc/self/uid_map")
	return err == nil && slices.Equal(strings.Fields(string(b)), []string{"0", "0", "4294967295"})
}

func printSession(fact facts) {
	pid := os.Getpid()
	sid, err := unix.Getsid(0)
	fact("leads its session", sid == pid, err)
	pgid, err := unix.Getpgid(0)
	fact("leads its process group", pgid == pid, err)
	for fd := range 3 {
		group, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
		fact(fmt.Sprintf("has terminal %d in the foreground", fd), group == pid, err)
		size, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
		fact(fmt.Sprintf("size of terminal %d", fd), fmt.Sprintf("%+v", size), err)
		modes, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		fact(fmt.Sprintf("modes of terminal %d", fd), fmt.Sprintf("%+v", modes), err)
	}
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	fact("/dev/tty opens", err == nil, err)
	if err == nil {
		tty.Close()
	}
}
