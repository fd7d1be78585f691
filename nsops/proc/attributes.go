package proc

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Attributes is what a process hands down to its children and that no namespace,
// cgroup or credential holds.
type Attributes struct {
	Sched          unix.SchedAttr // policy, nice, priority (sched_getattr(2))
	IOPriority     int            // class<<13 | priority (ioprio_get(2))
	TimerSlack     uint64         // nanoseconds; 0: not known, which takes CAP_SYS_NICE
	CoredumpFilter uint64         // bits of core(5)
	LoginUID       uint32         // 4294967295: unset; the same on kernels without audit
}

const whoProcess = 1 // IOPRIO_WHO_PROCESS

// Attributes reads them.
func (p *Process) Attributes() (Attributes, error) {
	a := Attributes{LoginUID: ^uint32(0)}
	sched, err := unix.SchedGetAttr(p.PID, 0)
	if err != nil {
		return a, p.wrap("sched_getattr", "", err)
	}
	a.Sched = *sched
	prio, _, errno := unix.Syscall(unix.SYS_IOPRIO_GET, whoProcess, uintptr(p.PID), 0)
	if errno != 0 {
		return a, p.wrap("ioprio_get", "", errno)
	}
	a.IOPriority = int(prio)
	login := uint64(a.LoginUID)
	files := []number{{"timerslack_ns", 10, &a.TimerSlack}, {"coredump_filter", 16, &a.CoredumpFilter}, {"loginuid", 10, &login}}
	if p.shared && OwnTimerSlack != 0 {
		a.TimerSlack, files = OwnTimerSlack, files[1:]
	}
	for _, f := range files {
		err := p.readNumber(f.name, f.base, f.to)
		// Since Linux 4.6 the slack of another process is for CAP_SYS_NICE, even
		// one of the same user (timerslack_ns_show in fs/proc/base.c).
		if errors.Is(err, unix.EPERM) && f.to == &a.TimerSlack {
			continue
		}
		if err != nil {
			return a, err
		}
	}
	a.LoginUID = uint32(login)
	// What was asked by number was asked of this process only if it is still there.
	return a, p.Alive()
}

// number is a file that holds one.
type number struct {
	name string
	base int
	to   *uint64
}

// OwnTimerSlack is the timer slack in nanoseconds with which this process was started
// (prctl(2)): that of its first thread, on which packages are initialised. Its other
// threads may have another one (cmd/dx/sysmon).
var OwnTimerSlack = firstTimerSlack()

func firstTimerSlack() uint64 {
	n, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil {
		return 0
	}
	return uint64(n)
}

// readNumber reads a file that holds one number. A file that this kernel lacks
// changes nothing.
func (p *Process) readNumber(name string, base int, to *uint64) error {
	b, err := p.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if len(b) == 0 { // what describes its memory is empty once that has gone
		return p.wrap("read", name, unix.ESRCH)
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(b)), base, 64)
	if err != nil {
		return fmt.Errorf("/proc/%d/%s: %w", p.PID, name, err)
	}
	*to = n
	return nil
}
