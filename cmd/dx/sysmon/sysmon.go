// Package sysmon lets the thread by which Go's runtime watches its others (sysmon,
// runtime/proc.go) sleep longer than 20 µs at a time: its waking is a tenth of the processor
// time of an exec. What it does may come a quarter of a millisecond later by that.
//
// That thread starts others, and they and the processes that they start inherit its timer
// slack. So the keeper sets that of dx's caller (nsops/launch), and so does whoever starts
// something that outlives dx.
//
// It is imported for its init alone, which comes before that of most packages: the order is
// that of import paths, as dependencies allow, so it does without golang.org/x/sys/unix.
package sysmon

import (
	"strconv"
	"syscall"
)

// slack is by how many nanoseconds the kernel may let it sleep longer.
const slack = "250000"

func init() {
	tid := thread()
	// The /proc at hand may be that of another PID namespace (unshare --pid --fork), where
	// the number is somebody else's.
	if tid == 0 || syscall.Access("/proc/self/task/"+strconv.Itoa(tid), 0) != nil {
		return
	}
	// A thread's own directory, in task, has no such file.
	fd, err := syscall.Open("/proc/"+strconv.Itoa(tid)+"/timerslack_ns", syscall.O_WRONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	_, _ = syscall.Write(fd, []byte(slack)) // takes CAP_SYS_NICE
	_ = syscall.Close(fd)
}

// maxGap is how many numbers other processes may have taken before the thread got its own.
const maxGap = 64

// thread is the number of the thread that the runtime has started first (runtime.main), the
// next after dx's own; 0: it is not near. Where numbers began anew in between, all are lower.
func thread() int {
	own := syscall.Getpid()
	for tid := own + 1; tid <= own+maxGap; tid++ {
		if syscall.Tgkill(own, tid, 0) == nil {
			return tid
		}
	}
	return 0
}
