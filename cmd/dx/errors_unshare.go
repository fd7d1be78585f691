package main

import (
	"errors"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"dx/nsops"
	"dx/nsops/launch"
)

// unshareError is a step that failed on the way to the command.
type unshareError struct {
	step     *launch.StepError
	rootless bool // a user namespace was not asked for, and the caller is not root
}

func (e *unshareError) Error() string { return e.step.Error() }
func (e *unshareError) Unwrap() error { return e.step }

func (e *unshareError) hint() string {
	name, errno := e.step.Step.Name, e.step.Errno
	switch {
	case errno == unix.EPERM && e.rootless:
		return "; --map-root-user (-r) needs no right, or run with sudo"
	case errno == unix.EPERM:
		return "; a security module, a sysctl or an outer user namespace forbids it"
	case name == "unshare" && errno == unix.ENOSPC:
		return "; the limit of such namespaces is reached (sysctl user.max_*_namespaces)"
	case name == "pivot_root" && errno == unix.EINVAL:
		return "; the present root is the kernel's first one (an initramfs), which cannot be left"
	case errno == unix.ENOENT && name == "mount":
		return "; create that directory first"
	}
	return ""
}

// unshareFailed separates what failed on the way to the command from the command.
func unshareFailed(u *launch.Unshare, err error) error {
	var step *launch.StepError
	if !errors.As(err, &step) {
		return err
	}
	onTheWay := &unshareError{step: step, rootless: os.Geteuid() != 0 && !slices.Contains(u.New, nsops.User)}
	return hostProgramFailed(u.Args[0], onTheWay, step)
}
