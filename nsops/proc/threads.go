package proc

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Threads returns the IDs of the process's threads.
func (p *Process) Threads() []string {
	dir, err := p.OpenFile("task", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(maxThreads)
	return names
}

// LeaderOf returns the PID of the process that a thread belongs to.
func LeaderOf(tid int) (int, error) {
	p, err := OpenDir(tid)
	if err != nil {
		return 0, err
	}
	defer p.Close()
	status, err := p.ReadFile("status")
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(status), "\nTgid:")
	line, _, _ := strings.Cut(rest, "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		return 0, fmt.Errorf("/proc/%d/status: Tgid %q: %w", tid, line, err)
	}
	return pid, nil
}

// ThreadStat reads /proc/PID/task/TID/stat.
func (p *Process) ThreadStat(tid string) (Stat, error) {
	b, err := p.ReadFile("task/" + tid + "/stat")
	if err != nil {
		return Stat{}, err
	}
	return ParseStat(b)
}

// ThreadIn returns a thread in that state; empty: none.
func (p *Process) ThreadIn(state byte) string {
	for _, tid := range p.Threads() {
		if st, err := p.ThreadStat(tid); err == nil && st.State == state {
			return tid
		}
	}
	return ""
}

// Switches returns how often a thread has been switched out, as text. task is "task/TID/",
// or empty for the first one.
func (p *Process) Switches(task string) string {
	status, _ := p.ReadFile(task + "status")
	_, n, _ := strings.Cut(string(status), "voluntary_ctxt_switches:")
	return n
}

// Stopped returns how a signal has stopped the process; empty: none has. Every thread stops
// by itself, when it next runs: on a busy machine the first one, whose state is the
// process's, may do so long after the others. One that has stopped tells for all, as a stop
// signal is the whole process's (signal(7)); so does one that nobody has taken yet.
func (p *Process) Stopped(st Stat) string {
	if st.State == 'T' {
		return "state T"
	}
	if tid := p.ThreadIn('T'); tid != "" {
		return "thread " + tid + " is in state T"
	}
	if status, err := p.Status(); err == nil && status.ShdPnd&(1<<(unix.SIGSTOP-1)) != 0 {
		return "SIGSTOP is pending"
	}
	return ""
}

// HeldByTracer reports whether a process in state t stays where it is for that long:
// strace(1) stops one at each system call, and lets it go on at once.
func (p *Process) HeldByTracer(pause time.Duration) bool {
	before := p.Switches("")
	time.Sleep(pause)
	st, err := p.Stat()
	return err == nil && st.State == 't' && p.Switches("") == before
}
