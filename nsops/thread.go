package nsops

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// OnOwnThread runs f on a thread that ends with it, so that nothing else ever runs
// where f has gone (setns(2), unshare(2)). Never on the process's first one: the
// runtime cannot end it, and its namespaces are what /proc/PID calls the process's.
func OnOwnThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// While this goroutine holds the first thread, the next gets another.
			done <- OnOwnThread(f)
			runtime.UnlockOSThread()
			return
		}
		done <- f() // still locked: the thread ends here
	}()
	return <-done
}
