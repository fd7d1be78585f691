package launch

import (
	"math"
	"slices"

	"golang.org/x/sys/unix"
)

// The keeper: the first process of a program, parent of P and of the command. Who has
// died and is not reaped holds the init of its PID namespace, and no engine can stop the
// container (kernel/pid_namespace.c, zap_pid_ns_processes). dx may be suspended or
// killed; the keeper reaps the command and leaves its status in the report page. It
// never enters anything of the container's.

// What the keeper leaves in the report page.
const (
	offReportProgram = 24 // PID of P (CLONE_PARENT_SETTID)
	offReportLast    = 32 // wait status of P
	offReportStatus  = 40 // wait status of the child
	offReportUnborn  = 48 // PID of the child, if it ended before its execve
)

// noticeFD is where the keeper has the notice: behind the report page, which is the
// first file that a program names.
const noticeFD = reportFile + 1

// beKept starts a program of the keeper: what follows is P's. It returns the signal
// mask of dx's caller, which P has to restore or to replace.
//
// P and, by CLONE_PARENT, its child have no exit signal until an execve makes it
// SIGCHLD (kernel fs/exec.c, de_thread), and wait4(2) tells the two apart: __WCLONE
// finds those without only. By this the keeper knows a child that has failed from a
// command that has ended, whatever its exit code.
func (c *compiler) beKept() (mask Arg) {
	c.begin()
	c.file(noticeFile, "notice")
	old := space(8, "&old")
	block := c.call("let no signal end the keeper", "", "rt_sigprocmask", unix.SYS_RT_SIGPROCMASK,
		named(unix.SIG_SETMASK, "SIG_SETMASK"), allSignals, old, num(8))
	// Nor stop it: a terminal's signals are for the caller's session.
	c.call("leave the caller's session", "", "setsid", unix.SYS_SETSID)
	clone := c.call("start the program", "", "clone", unix.SYS_CLONE,
		named(unix.CLONE_PARENT_SETTID, "CLONE_PARENT_SETTID"), num(0), named(statusBase+offReportProgram, "&REPORT.program"), num(0), num(0))
	p := newLabel()
	clone.onZero = p
	c.keep(clone)
	c.kept = true
	c.add(p)
	return Arg{text: "&old", share: &block.Args[2]}
}

// restoreSignals lets P have the signal mask of dx's caller again.
func (c *compiler) restoreSignals(mask Arg) {
	c.call("have the caller's signal mask", "", "rt_sigprocmask", unix.SYS_RT_SIGPROCMASK,
		named(unix.SIG_SETMASK, "SIG_SETMASK"), mask, num(0), num(8))
}

// keep adds the keeper's steps.
func (c *compiler) keep(clone *Step) {
	c.letGo()
	wait := c.call("wait for the program's end", "", "wait4", unix.SYS_WAIT4,
		named(0, "program"), named(statusBase+offReportLast, "&REPORT.last"), named(unix.WALL, "__WALL"), num(0))
	clone.into = &slot{step: wait, arg: 0}
	// EPIPE: dx is gone.
	c.try("tell dx", "", "write", unix.SYS_WRITE, nil, num(noticeFD), raw([]byte{0}, `"\0"`), num(1))
	c.call("close the notice", "", "close", unix.SYS_CLOSE, num(noticeFD))

	end := &Step{Name: "exit_group", Nr: unix.SYS_EXIT_GROUP, Args: []Arg{num(0)}, Doing: "end with the command"}
	watch := c.call("wait for the command's end", "", "waitid", unix.SYS_WAITID,
		named(unix.P_ALL, "P_ALL"), num(0), num(0), named(unix.WEXITED|unix.WNOWAIT|unix.WALL, "WEXITED|WNOWAIT|__WALL"), num(0))
	watch.onError, watch.errnos = end, []unix.Errno{unix.ECHILD} // there is none
	unborn := c.reap("reap a child that has not become the command", unix.WCLONE, "|__WCLONE")
	unborn.into, unborn.onPositive = &slot{addr: statusBase + offReportUnborn}, end
	unborn.onError, unborn.errnos = goNext, []unix.Errno{unix.ECHILD}
	c.reap("reap the command", 0, "")
	c.add(end)
}

func (c *compiler) reap(doing string, flags int, name string) *Step {
	return c.call(doing, "", "wait4", unix.SYS_WAIT4,
		named(^uint64(0), "-1"), named(statusBase+offReportStatus, "&REPORT.status"), named(unix.WNOHANG|flags, "WNOHANG"+name), num(0))
}

// letGo lets the keeper hold nothing: no stream whose other end waits for the command
// to close it, no directory, no namespace. The notice remains.
func (c *compiler) letGo() {
	c.try("be known as dx-keeper", "", "prctl", unix.SYS_PRCTL, nil, named(unix.PR_SET_NAME, "PR_SET_NAME"), str("dx-keeper"))
	c.chdir("/")
	if c.plan.Kernel.CloseRange {
		const doing = "have no file but the notice"
		c.call(doing, "", "close_range", unix.SYS_CLOSE_RANGE, num(0), num(noticeFD-1), num(0))
		c.call(doing, "", "close_range", unix.SYS_CLOSE_RANGE, num(noticeFD+1), named(uint64(math.MaxUint32), "~0U"), num(0))
		return
	}
	c.files1By1 = c.label()
}

// closeKeepersFiles is for kernels without close_range, once all files are known.
func (c *compiler) closeKeepersFiles() {
	if c.files1By1 == nil {
		return
	}
	at := slices.Index(c.steps, c.files1By1)
	behind := slices.Clone(c.steps[at:])
	c.steps, c.child, c.kept = c.steps[:at], false, false
	for fd := range firstFile + len(c.files) + 1 { // the program's own file is the last
		if fd != noticeFD {
			c.try("close a file", "", "close", unix.SYS_CLOSE, nil, num(fd))
		}
	}
	c.steps = append(c.steps, behind...)
}
