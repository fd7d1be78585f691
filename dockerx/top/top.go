// Package top lists the processes of a container: what they are called, use and run
// as, and how they came into it. Whose a process is, is for membership to say.
package top

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"dx/dockerx"
	"dx/dockerx/membership"
	"dx/nsops"
	"dx/nsops/proc"
)

// Via says how a process came into a container.
type Via string

// The ways. A process that descends from the container's init has none.
const (
	ViaInit    Via = "init"    // it is the container's init
	ViaExec    Via = "exec"    // it, or an ancestor, was put into the container's cgroup: docker exec, dx exec
	ViaNsenter Via = "nsenter" // it is in the namespaces and not in the cgroup
)

// Task is a process of a container.
type Task struct {
	PID          int // as dx sees it
	ContainerPID int // as the container's init sees it; 0: not at all
	PPID         int // as dx sees it
	Session      int
	UID          uint32  // effective, as dx sees it
	ContainerUID *uint32 // as the container's user namespace has it; nil: not at all
	User         string  // by the container's own /etc/passwd; empty: no such entry
	State        byte    // as in proc_pid_stat(5)
	CPU          time.Duration
	Percent      float64 // of one CPU; over the process's life, or while it was sampled
	RSS          uint64  // bytes
	Started      time.Time
	Elapsed      time.Duration
	Command      string // the arguments with blanks between; [name] where there are none
	Cut          bool   // Command is longer, and is not read any further
	Via          Via

	start  uint64 // ticks
	answer membership.Answer
}

func (t Task) inCgroup() bool { return t.answer.Cgroup != "" }

// Top is the processes of a container at a moment.
type Top struct {
	At     time.Time // when they were read
	Tasks  []Task
	Hidden int // processes that might be the container's: the caller may not look at their namespaces
}

// Limits of what a container's command lines may weigh in memory, each and together.
// Once the sum is used up, of each the least is read.
const (
	maxCommand   = 16 << 10
	maxCommands  = 8 << 20
	leastCommand = 256
)

// Of lists the processes in the container's scope, in one pass over /proc. Where the
// scope says nothing (pid:N of a process like dx itself) they are its descendants, and
// for the host all.
func Of(ctx context.Context, c *dockerx.Container) (Top, error) {
	x := membership.New([]membership.Container{{ID: c.ID, Init: c.Process}})
	if err := x.Err(0); err != nil {
		return Top{}, fmt.Errorf("%s: %w", c.Ref, err)
	}
	t := topper{c: c, index: x, scope: x.Scope(0), left: maxCommands}
	if err := t.prepare(); err != nil {
		return Top{}, err
	}
	if err := proc.Each(func(p *proc.Process) error { return t.visit(ctx, p) }); err != nil {
		return Top{}, err
	}
	// What was read is this container's only if its init outlived the pass.
	if err := c.Process.Alive(); err != nil {
		return Top{}, fmt.Errorf("%s: %w", c.Ref, err)
	}
	t.top.Tasks = slices.DeleteFunc(t.top.Tasks, func(task Task) bool {
		return !t.scope.IsEmpty() && !x.Settle(task.answer).Is(0)
	})
	if t.scope.IsEmpty() && c.Ref != "host" {
		t.top.Tasks = tasksBelow(t.top.Tasks, c.Process.PID)
	}
	t.tellWays()
	t.nameUsers()
	t.top.At = t.now
	return t.top, nil
}

// topper makes the pass.
type topper struct {
	c     *dockerx.Container
	index *membership.Index // of c alone
	scope nsops.Scope
	left  int // of maxCommands

	level  int // how deep the container's PID namespace is below dx's
	parent int // of the container's init
	uids   proc.IDMap
	now    time.Time
	uptime time.Duration

	top Top
}

func (t *topper) prepare() error {
	st, err := t.c.Process.Status()
	if err != nil {
		return err
	}
	stat, err := t.c.Process.Stat()
	if err != nil {
		return err
	}
	if t.uids, err = t.c.Process.UIDMap(); err != nil {
		return err
	}
	var up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &up); err != nil {
		return fmt.Errorf("read the boot clock: %w", err)
	}
	t.level, t.parent = max(len(st.NSpid)-1, 0), stat.PPID
	t.now, t.uptime = time.Now(), time.Duration(up.Nano())
	return nil
}

// visit adds a process if it is the container's. What ends meanwhile is left out.
func (t *topper) visit(ctx context.Context, p *proc.Process) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if t.scope.IsEmpty() {
		return ended(t.add(p, membership.Answer{}))
	}
	a, err := t.index.Of(p)
	if err == nil && a.Is(0) {
		err = t.add(p, a)
	}
	if a.Hidden {
		t.top.Hidden++
	}
	return ended(err)
}

// ended makes nothing of an error that only says that a process has ended.
func ended(err error) error {
	if errors.Is(err, proc.ErrGone) {
		return nil
	}
	return err
}

func (t *topper) add(p *proc.Process, a membership.Answer) error {
	stat, err := p.Stat()
	if err != nil {
		return err
	}
	st, err := p.Status()
	if err != nil {
		return err
	}
	task := Task{
		PID: p.PID, PPID: stat.PPID, Session: stat.Session, UID: st.UID[1], State: stat.State,
		CPU: ticks(stat.UTime + stat.STime), RSS: uint64(max(stat.RSS, 0)) * uint64(os.Getpagesize()),
		start: stat.StartTime, answer: a,
	}
	task.Elapsed = max(t.uptime-ticks(stat.StartTime), 0)
	task.Started = t.now.Add(-task.Elapsed)
	task.Percent = percent(task.CPU, task.Elapsed)
	if (a.PID || t.sees(p)) && len(st.NSpid) > t.level {
		task.ContainerPID = st.NSpid[t.level]
	}
	if uid, ok := t.uids.Inner(task.UID); ok {
		task.ContainerUID = &uid
	}
	task.Command, task.Cut = t.command(p, stat)
	t.top.Tasks = append(t.top.Tasks, task)
	return nil
}

// sees reports whether a process that the scope's PID namespace does not tell about is
// visible in that of the container's init: that is the host's, or another container's.
func (t *topper) sees(p *proc.Process) bool {
	if !t.scope.PID.IsZero() {
		return false
	}
	if t.level == 0 {
		return true // it is dx's own: all that /proc shows is in it, or below
	}
	own, err := t.c.Process.Identity("ns/pid")
	if err != nil {
		return false
	}
	st, err := p.Identity("ns/pid")
	return err == nil && st.Dev == own.Dev && st.Ino == own.Ino
}

func ticks(n uint64) time.Duration { return time.Duration(n) * (time.Second / proc.Ticks) }

// percent is ps's: of one CPU, so that a process with several threads may exceed 100.
func percent(cpu, elapsed time.Duration) float64 {
	if elapsed <= 0 {
		return 0
	}
	return 100 * cpu.Seconds() / elapsed.Seconds()
}

// command reads the command line, which the process itself may have written.
func (t *topper) command(p *proc.Process, stat proc.Stat) (text string, cut bool) {
	b, cut, err := p.CommandLine(max(min(maxCommand, t.left), leastCommand))
	t.left = max(t.left-len(b), 0)
	text = strings.ReplaceAll(strings.TrimRight(string(b), "\x00"), "\x00", " ")
	if err != nil || text == "" {
		text = "[" + stat.Comm + "]" // as ps shows kernel threads and zombies
		if stat.Dead() {
			text += " <defunct>"
		}
	}
	return text, cut
}
