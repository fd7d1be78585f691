package seccomp

import (
	"context"
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"dx/nsops/proc"
)

// Installed returns the filters of a process's main thread, oldest first, as the
// kernel has them: the very instructions that were installed, and their flags as far
// as they can still be found out. A process without any has none, which is no error.
//
// It takes CAP_SYS_ADMIN in the initial user namespace, the right to ptrace the
// process, a caller without a filter of its own, and a kernel with
// CONFIG_CHECKPOINT_RESTORE. The thread is stopped for some microseconds: a wait of
// it may end with EINTR, as it may under strace(1). ctx bounds the wait for it to
// stop, which a frozen one never does.
//
// A filter that asks a supervisor (SECCOMP_RET_USER_NOTIF) is returned as any other.
// Installed again it has no supervisor, and the calls in question answer ENOSYS.
func Installed(ctx context.Context, p *proc.Process) (Filters, error) {
	status, err := p.Status()
	if err != nil || status.Seccomp != unix.SECCOMP_MODE_FILTER {
		return nil, err
	}
	var filters Filters
	err = whileStopped(ctx, p, func() (err error) {
		filters, err = readFilters(p.PID)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the seccomp filters of pid %d: %w", p.PID, err)
	}
	if !status.SpeculationForced {
		// Without this flag the kernel would force a mitigation, where it is so set.
		for _, f := range filters {
			f.Flags |= unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW
		}
	}
	return filters, nil
}

// readFilters reads those of a tracee that has stopped.
func readFilters(pid int) (Filters, error) {
	var out Filters
	program := make([]unix.SockFilter, unix.BPF_MAXINSNS)
	for {
		// The index counts from the oldest on, whatever ptrace(2) says
		// (kernel/seccomp.c, get_nth_filter).
		n, err := ptrace(unix.PTRACE_SECCOMP_GET_FILTER, pid, uintptr(len(out)), unsafe.Pointer(&program[0]))
		if errors.Is(err, unix.ENOENT) {
			return out, nil
		}
		if err != nil {
			return nil, explain(err)
		}
		f, err := NewFilter(program[:n], NativeArch())
		if err != nil {
			return nil, err
		}
		if f.Flags, err = flagsOf(pid, len(out)); err != nil {
			return nil, err
		}
		out = append(out, f)
	}
}

// flagsOf returns SECCOMP_FILTER_FLAG_LOG if the filter has it, which is the only
// flag that the kernel remembers. EIO: Linux before 4.16.
func flagsOf(pid, index int) (uintptr, error) {
	md := struct{ index, flags uint64 }{index: uint64(index)} // struct seccomp_metadata
	_, err := ptrace(unix.PTRACE_SECCOMP_GET_METADATA, pid, unsafe.Sizeof(md), unsafe.Pointer(&md))
	if err != nil && !errors.Is(err, unix.EIO) {
		return 0, fmt.Errorf("flags: %w", err)
	}
	return uintptr(md.flags), nil
}

// explain says what an errno of PTRACE_SECCOMP_GET_FILTER means.
func explain(err error) error {
	switch {
	case errors.Is(err, unix.EACCES):
		return fmt.Errorf("it takes CAP_SYS_ADMIN on the host, and no filter on dx itself: %w", err)
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EIO):
		return fmt.Errorf("this kernel lacks CONFIG_CHECKPOINT_RESTORE: %w", err)
	case errors.Is(err, unix.EMEDIUMTYPE):
		return fmt.Errorf("one of them is no classic BPF: %w", err)
	}
	return err
}
