// Command leaker starts a process in the PID namespace of another, the way a
// careless program would: the child is visible there while it still has the
// descriptors of its parent, for as long as execve(2) takes.
//
//	leaker PID PROGRAM [ARG...]
//
// It exists to show that the watcher sees so short a leak.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "leaker:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	pid, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	// The file is close-on-exec, as Go opens all.
	secret, err := os.Open("/etc/passwd")
	if err != nil {
		return err
	}
	defer secret.Close()
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/pid", pid))
	if err != nil {
		return err
	}
	defer ns.Close()
	runtime.LockOSThread()
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWPID); err != nil {
		return fmt.Errorf("setns: %w", err)
	}
	return exec.Command(args[1], args[2:]...).Run()
}
