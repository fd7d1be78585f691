//go:build amd64

// Command seizer is a process of a container with CAP_SYS_PTRACE: it takes hold of
// each new process of its PID namespace as early as it can, reads its rights, and
// lets it make one call that only root of the host may: sethostname(2). It prints a
// line of JSON for each, lets it go on, and ends when its standard input does.
package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// lookahead is how many process numbers after the last one are tried: numbers
// are given in order, and threads take some.
const lookahead = 16

// Seized is what was found of a process.
type Seized struct {
	PID    int
	Exe    string
	Status map[string]string // lines of /proc/PID/status about rights
	Cgroup string            // /proc/PID/cgroup, as the container's mounts show it
	// Hostname is what sethostname returned in it: 0, or a negative errno.
	Hostname int
}

func main() {
	runtime.LockOSThread() // the tracer is a thread
	var stop atomic.Bool
	go func() {
		io.Copy(io.Discard, os.Stdin)
		stop.Store(true)
	}()
	out := json.NewEncoder(os.Stdout)
	os.Stdout.WriteString("ready\n")
	for last := newest(); !stop.Load(); {
		for pid := last + 1; pid <= last+lookahead; pid++ {
			if seize(pid) != nil {
				continue
			}
			last = pid
			if s, ok := examine(pid); ok {
				out.Encode(s)
			}
		}
		if n := newest(); n > last+lookahead/2 {
			last = n // others have taken numbers
		}
	}
}

// newest is the last number that was given here: the last field of /proc/loadavg.
func newest() int {
	b, _ := os.ReadFile("/proc/loadavg")
	f := strings.Fields(string(b))
	n, _ := strconv.Atoi(f[len(f)-1])
	return n
}

func seize(pid int) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(pid), 0, 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// examine stops the process, looks at it and lets it go.
func examine(pid int) (Seized, bool) {
	if unix.PtraceInterrupt(pid) != nil || !stopped(pid) {
		return Seized{}, false
	}
	defer unix.PtraceDetach(pid)
	s := Seized{PID: pid, Status: status(pid)}
	s.Exe, _ = os.Readlink("/proc/" + strconv.Itoa(pid) + "/exe")
	cgroup, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	s.Cgroup = string(cgroup)
	var ok bool
	s.Hostname, ok = sethostname(pid)
	return s, ok
}

func stopped(pid int) bool {
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(pid, &status, unix.WALL, nil)
		if err != unix.EINTR {
			return err == nil && status.Stopped()
		}
	}
}

func status(pid int) map[string]string {
	b, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	out := map[string]string{}
	for _, line := range strings.Split(string(b), "\n") {
		key, value, _ := strings.Cut(line, ":")
		if strings.HasPrefix(key, "Cap") || strings.HasPrefix(key, "Seccomp") || key == "NoNewPrivs" || key == "Groups" || key == "Uid" || key == "Gid" {
			out[key] = strings.TrimSpace(value)
		}
	}
	return out
}

// sethostname puts a system call where the process goes on, lets it make that, and
// puts everything back.
func sethostname(pid int) (int, bool) {
	var before unix.PtraceRegs
	if unix.PtraceGetRegs(pid, &before) != nil {
		return 0, false
	}
	at := uintptr(before.Rip)
	code := []byte{0x0f, 0x05, 0xcc, 'p', 'w', 'n', 'e', 'd'} // syscall; int3; the name
	old := make([]byte, len(code))
	if _, err := unix.PtracePeekText(pid, at, old); err != nil {
		return 0, false
	}
	if _, err := unix.PtracePokeText(pid, at, code); err != nil {
		return 0, false
	}
	regs := before
	regs.Rax, regs.Rdi, regs.Rsi, regs.Orig_rax = unix.SYS_SETHOSTNAME, uint64(at)+3, 5, ^uint64(0)
	var after unix.PtraceRegs
	ok := unix.PtraceSetRegs(pid, &regs) == nil && unix.PtraceSingleStep(pid) == nil && stopped(pid) && unix.PtraceGetRegs(pid, &after) == nil
	unix.PtracePokeText(pid, at, old)
	unix.PtraceSetRegs(pid, &before)
	return int(int64(after.Rax)), ok && !bytes.Equal(old, code)
}
