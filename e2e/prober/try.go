//go:build amd64

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// call is a system call to try. The assembly knows its layout.
type call struct {
	compat uint64 // 1: by int 0x80, else by syscall
	nr     uint64
	args   arguments
	result int64
	done   uint64
}

// attempt is a call and what the kernel did with it: "ok", an errno, the signal
// or the exit that ended the process, or that it does not return.
type attempt struct {
	name   string
	call   call
	answer string
}

// fork makes the calls from up to to in a child, in turn, and returns the child's
// pid, or -errno.
//
//go:noescape
func fork(from, to *call) int64

const (
	batch   = 64                     // calls a child makes, if it lives
	workers = 4                      // at once
	patient = 300 * time.Millisecond // how long a call sleeps that does not return
)

// try makes the calls in children: what a call does to memory, ids or limits, it
// does to one of them.
func try(list []attempt) error {
	if err := defaultSignals(); err != nil {
		return err
	}
	work := make(chan []attempt)
	errs := make(chan error, workers)
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			shared, err := sharedCalls()
			for part := range work {
				if err == nil {
					err = tryAll(shared, part)
				}
			}
			errs <- err
		})
	}
	for len(list) > 0 {
		n := min(batch, len(list))
		work <- list[:n]
		list = list[n:]
	}
	close(work)
	all.Wait()
	close(errs)
	var failed error
	for err := range errs {
		failed = errors.Join(failed, err)
	}
	return failed
}

// defaultSignals: in a child a signal must end it, not run a handler of the Go
// runtime's.
func defaultSignals() error {
	for _, sig := range []unix.Signal{unix.SIGSEGV, unix.SIGILL, unix.SIGBUS, unix.SIGFPE, unix.SIGSYS, unix.SIGTRAP, unix.SIGPIPE, unix.SIGXFSZ} {
		var byDefault [4]uint64 // struct kernel_sigaction: SIG_DFL, no flags
		_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&byDefault)), 0, 8, 0, 0)
		if errno != 0 {
			return fmt.Errorf("rt_sigaction: %w", errno)
		}
	}
	return nil
}

// sharedCalls lie in memory that children share.
func sharedCalls() ([]call, error) {
	size := batch * int(unsafe.Sizeof(call{}))
	b, err := unix.Mmap(-1, 0, size+1, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANON)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	// One more: the address behind the last is an argument.
	return unsafe.Slice((*call)(unsafe.Pointer(&b[0])), batch), nil
}

// tryAll goes on behind each call that ends a child.
func tryAll(shared []call, list []attempt) error {
	for len(list) > 0 {
		for i := range list {
			shared[i] = list[i].call
		}
		first := &shared[0]
		pid := fork(first, (*call)(unsafe.Add(unsafe.Pointer(first), uintptr(len(list))*unsafe.Sizeof(*first))))
		if pid < 0 {
			return os.NewSyscallError("clone", syscall.Errno(-pid))
		}
		end := wait(int(pid), shared[:len(list)])
		n := 0
		for ; n < len(list) && shared[n].done == 1; n++ {
			list[n].answer = answer(shared[n].result)
		}
		if n < len(list) {
			list[n].answer = end
			n++
		}
		list = list[n:]
	}
	return nil
}

func answer(result int64) string {
	if result < 0 && result > -4096 {
		return errnoName(syscall.Errno(-result))
	}
	return "ok" // the value may be a number that differs from run to run
}

// wait says how a child ended. One that sleeps in the same call for long does not
// return; one that waits for a processor or a disk is on its way.
func wait(pid int, calls []call) string {
	ended := make(chan unix.WaitStatus, 1)
	go func() {
		var status unix.WaitStatus
		for {
			if _, err := unix.Wait4(pid, &status, unix.WALL, nil); err != unix.EINTR {
				break
			}
		}
		ended <- status
	}()
	for before := -1; ; {
		select {
		case status := <-ended:
			return end(status)
		case <-time.After(patient):
			now := made(calls)
			if now == before && sleeps(pid) {
				_ = unix.Kill(pid, unix.SIGKILL)
				if status := <-ended; !status.Signaled() || status.Signal() != unix.SIGKILL {
					return end(status) // it was ending
				}
				return "does not return"
			}
			before = now
		}
	}
}

func end(status unix.WaitStatus) string {
	if status.Signaled() {
		return unix.SignalName(status.Signal())
	}
	return fmt.Sprint("exits with ", status.ExitStatus())
}

// made is how many of the calls have returned.
func made(calls []call) (n int) {
	for i := range calls {
		n += int(atomic.LoadUint64(&calls[i].done))
	}
	return n
}

// sleeps reports whether a process waits for an event, by its state in
// /proc/PID/stat. A container without /proc is taken for one where it does.
func sleeps(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	at := bytes.LastIndexByte(b, ')')
	return err != nil || at < 0 || len(b) < at+3 || b[at+2] == 'S'
}

func errnoName(e syscall.Errno) string {
	if name := unix.ErrnoName(e); name != "" {
		return name
	}
	return fmt.Sprint("errno ", int(e))
}
