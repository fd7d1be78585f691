// Package fdtable has the kernel make room for descriptors while dx starts, if dx will list
// containers: a list holds three for each. By itself the kernel makes a table larger when it is
// full, and in a process with threads all wait then for an RCU grace period, some 8 ms
// (expand_fdtable, fs/file.c). That is as long as all that dx does before it needs the room.
//
// It is imported for its init alone, which comes before that of most packages: see package
// sysmon.
package fdtable

import (
	"os"
	"syscall"
)

func init() {
	if lists(os.Args[1:]) {
		go grow(enough)
	}
}

// enough is for 1,300 containers.
const enough = 4096

// lists reports whether the first verb among the arguments is one that lists containers. Where
// a flag's value is called so, dx is a little slower, and nothing else.
func lists(args []string) bool {
	for _, arg := range args {
		switch arg {
		case "ps", "ls", "list", "ns", "map":
			return true
		case "exec", "debug", "unshare", "diff", "inspect", "top", "who", "doctor", "help":
			return false
		}
	}
	return false
}

// grow makes the table large enough for a descriptor with that number, and takes no room in it.
func grow(number uint64) {
	const open = 0x200000 | syscall.O_CLOEXEC // O_PATH
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil || limit.Cur == 0 {
		return
	}
	fd, err := syscall.Open("/", open, 0)
	if err != nil {
		return
	}
	const fcntlDupFDCloexec = 1030 // F_DUPFD_CLOEXEC
	far, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), fcntlDupFDCloexec, uintptr(min(number, limit.Cur)-1))
	if errno == 0 {
		_ = syscall.Close(int(far))
	}
	_ = syscall.Close(fd)
}
