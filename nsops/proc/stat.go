package proc

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Stat is the part of /proc/PID/stat that dx uses (proc_pid_stat(5)).
type Stat struct {
	Comm       string
	State      byte // R S D T t Z X I …
	PPID       int
	PGRP       int
	Session    int
	TTY        int    // device number as stat(2) has it; 0: none
	Flags      uint64 // PF_* of the kernel's include/linux/sched.h
	UTime      uint64 // clock ticks
	STime      uint64 // clock ticks
	Nice       int
	NumThreads int
	StartTime  uint64 // clock ticks since boot
	RSS        int    // pages
	ExitSignal int    // for its parent; -1: it is a thread, and not its process's first
}

// PFForkNoExec is PF_FORKNOEXEC: forked but never exec'ed. execve(2) clears it,
// and it stays readable in a zombie.
const PFForkNoExec = 0x40

// PFKthread is PF_KTHREAD: a kernel thread.
const PFKthread = 0x00200000

// PFExiting is PF_EXITING: in do_exit, and not to come back.
const PFExiting = 0x4

// Exiting reports whether the process has begun to exit, zombies included. Its namespaces
// are gone before it is a zombie (kernel/exit.c, do_exit: exit_task_namespaces comes before
// exit_notify), and the init of a PID namespace waits in between until all others in it
// have been reaped (zap_pid_ns_processes).
func (s Stat) Exiting() bool { return s.Flags&PFExiting != 0 || s.Dead() }

// IsThread reports whether it is a thread that is not its process's first
// (include/linux/sched/signal.h, thread_group_leader).
func (s Stat) IsThread() bool { return s.ExitSignal < 0 }

// Dead reports whether the process has exited: zombie or being torn down.
func (s Stat) Dead() bool { return s.State == 'Z' || s.State == 'X' || s.State == 'x' }

// Stat reads /proc/PID/stat.
func (p *Process) Stat() (Stat, error) {
	var room page
	b, err := p.readOnce("stat", &room)
	if err != nil {
		return Stat{}, err
	}
	st, err := ParseStat(b)
	if err != nil {
		return Stat{}, fmt.Errorf("/proc/%d/stat: %w", p.PID, err)
	}
	return st, nil
}

// StatFile is the stat file of one process, for who reads it again and again.
type StatFile struct{ fd int }

// OpenStat opens the one of whatever process has the number pid now.
func OpenStat(pid int) (*StatFile, error) {
	fd, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/stat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /proc/%d/stat: %w", pid, err)
	}
	return &StatFile{fd: fd}, nil
}

// Read reads what it says now; ESRCH once the process has been reaped.
func (f *StatFile) Read() (Stat, error) {
	var room page
	n, err := unix.Pread(f.fd, room[:], 0)
	if err != nil {
		return Stat{}, fmt.Errorf("read a stat file: %w", err)
	}
	return ParseStat(room[:n])
}

// Close closes it.
func (f *StatFile) Close() error { return unix.Close(f.fd) }

// ParseStat parses the line of /proc/PID/stat. The command name may hold any
// byte, also ") R 1": the last ")" ends it.
func ParseStat(b []byte) (Stat, error) {
	line := string(b)
	open, end := strings.IndexByte(line, '('), strings.LastIndexByte(line, ')')
	if open < 0 || end < open {
		return Stat{}, fmt.Errorf("no command name in %q", line)
	}
	st := Stat{Comm: line[open+1 : end]}
	if err := st.setFields(strings.Fields(line[end+1:])); err != nil {
		return Stat{}, err
	}
	return st, nil
}

// setFields takes the fields after the command name: f[0] is field 3 of
// proc_pid_stat(5).
func (s *Stat) setFields(f []string) error {
	if len(f) < 36 || len(f[0]) != 1 {
		return fmt.Errorf("%d fields after the command name, want at least 36", len(f))
	}
	s.State = f[0][0]
	for _, i := range []struct {
		field int
		to    *int
	}{{4, &s.PPID}, {5, &s.PGRP}, {6, &s.Session}, {7, &s.TTY}, {19, &s.Nice}, {20, &s.NumThreads}, {24, &s.RSS}, {38, &s.ExitSignal}} {
		n, err := strconv.Atoi(f[i.field-3])
		if err != nil {
			return fmt.Errorf("field %d: %w", i.field, err)
		}
		*i.to = n
	}
	for _, u := range []struct {
		field int
		to    *uint64
	}{{9, &s.Flags}, {14, &s.UTime}, {15, &s.STime}, {22, &s.StartTime}} {
		n, err := strconv.ParseUint(f[u.field-3], 10, 64)
		if err != nil {
			return fmt.Errorf("field %d: %w", u.field, err)
		}
		*u.to = n
	}
	return nil
}
