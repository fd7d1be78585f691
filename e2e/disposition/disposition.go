// Package disposition undoes what the starter of a test binary did to its
// signals. It is for TestMain: what dx itself hands down belongs to nsops/launch.
package disposition

import (
	"os"
	"os/signal"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	lastSignal = 64
	sigIgn     = 1 // SIG_IGN of signal(7)
)

// action is the kernel's struct sigaction, the same on amd64 and arm64.
type action struct{ handler, flags, restorer, mask uint64 }

// CatchIgnored makes handlers of what this process inherited as ignored, so that
// its children have the default: nohup ignores SIGHUP, a shell's & SIGINT and
// SIGQUIT, and glibc's posix_spawn, which make uses, 32 and 33. A process ignores
// again what its parent ignored, but execve(2) resets a handler. The process
// itself goes on to survive these signals, all but 32 to 34, which Go cannot catch.
func CatchIgnored() {
	survived := make(chan os.Signal, 1)
	for n := 1; n <= lastSignal; n++ {
		if !ignored(n) {
			continue
		}
		signal.Notify(survived, syscall.Signal(n))
		if ignored(n) {
			set(n, action{})
		}
	}
}

func ignored(n int) bool {
	var now action
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(n), 0, uintptr(unsafe.Pointer(&now)), 8, 0, 0)
	return errno == 0 && now.handler == sigIgn
}

func set(n int, a action) {
	unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(n), uintptr(unsafe.Pointer(&a)), 0, 8, 0, 0)
}
