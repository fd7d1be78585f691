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
	offReportPath    = 56 // address of the command's path, if P has searched for it
)

// Where the keeper has its files: the first that a program names are the report page,
// the notice, and the cgroup into which the child is placed, if it is.
const (
	noticeFD = reportFile + 1
	placeFD  = noticeFD + 1
)

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
	if c.late != nil {
		c.file(c.late.Procs, c.late.Name+" cgroup")
	}
	old := space(8, "&old")
	block := c.call("let no signal end the keeper", "", "rt_sigprocmask", unix.SYS_RT_SIGPROCMASK,
		named(unix.SIG_SETMASK, "SIG_SETMASK"), allSignals, old, num(8))
	// Nor stop it: a terminal's signals are for the caller's session.
	c.call("leave the caller's session", "", "setsid", unix.SYS_SETSID)
	c.takeTimerSlack()
	p := newLabel()
	c.keep(c.startP(p))
	c.kept = true
	c.add(p)
	if c.late != nil {
		c.call("let the keeper hold the child", "", "ptrace", unix.SYS_PTRACE, named(unix.PTRACE_TRACEME, "PTRACE_TRACEME"), num(0), num(0), num(0))
		c.stop("stop until the keeper's end is the child's as well")
	}
	return Arg{text: "&old", share: &block.Args[2]}
}

// takeTimerSlack gives all that follow that of dx's caller, as a default too (prctl(2)).
func (c *compiler) takeTimerSlack() {
	if ns := c.plan.TimerSlack; ns != 0 {
		c.call("have the caller's timer slack", "", "prctl", unix.SYS_PRCTL, named(unix.PR_SET_TIMERSLACK, "PR_SET_TIMERSLACK"), num(ns))
	}
}

// restoreSignals lets P have the signal mask of dx's caller again.
func (c *compiler) restoreSignals(mask Arg) {
	c.call("have the caller's signal mask", "", "rt_sigprocmask", unix.SYS_RT_SIGPROCMASK,
		named(unix.SIG_SETMASK, "SIG_SETMASK"), mask, num(0), num(8))
}

// startP clones P, which goes on at p. In a unified cgroup P is born (Linux 5.7): that
// takes none of the lock for which a write to cgroup.procs waits, until no processor
// can be in a read section of it (kernel/cgroup/cgroup.c, cgroup_css_set_fork). It is refused
// for what the cgroup refuses (EAGAIN: its limit of processes; EBUSY: it has children
// with controllers), and unknown to older kernels: then P enters it by a write.
func (c *compiler) startP(p *Step) (births []*Step) {
	keeper := newLabel()
	if cg := c.unified(); cg != nil {
		dir := c.file(cg.Dir, cg.Name+" cgroup directory")
		born := c.call("start the program in the container's cgroup", "Cgroups", "clone3", unix.SYS_CLONE3, cloneArgs(dir), num(cloneArgsSize))
		born.onZero, born.onPositive, born.onError = p, keeper, goNext
		births = append(births, born)
		open, enter := c.enterSteps(cg, dir)
		c.enterUnified = []*Step{open, enter}
		for _, s := range c.enterUnified {
			c.set("or let it enter by itself", &slot{step: s, arg: nrSlot}, named(s.Nr, s.Name))
			s.Nr, s.spare = opSet, true
		}
	}
	clone := c.call("start the program", "", "clone", unix.SYS_CLONE,
		named(unix.CLONE_PARENT_SETTID, "CLONE_PARENT_SETTID"), num(0), named(statusBase+offReportProgram, "&REPORT.program"), num(0), num(0))
	clone.onZero = p
	c.add(keeper)
	return append(births, clone)
}

// cloneArgs is struct clone_args, third version (clone3(2)).
func cloneArgs(cgroup Arg) Arg {
	words := slices.Repeat([]Arg{num(0)}, cloneArgsSize/8)
	words[0] = num(uint64(unix.CLONE_INTO_CGROUP | unix.CLONE_PARENT_SETTID))
	words[3] = num(uint64(statusBase + offReportProgram))
	words[10] = cgroup
	return Arg{words: words, text: "{CLONE_INTO_CGROUP|CLONE_PARENT_SETTID, &REPORT.program, " + cgroup.String() + "}"}
}

const cloneArgsSize = 88

// unified is the cgroup in which P can be born.
func (c *compiler) unified() *Cgroup {
	for i := range c.plan.Cgroups {
		if cg := &c.plan.Cgroups[i]; cg.Dir != nil && cg != c.late {
			return cg
		}
	}
	return nil
}

// keep adds the keeper's steps.
func (c *compiler) keep(births []*Step) {
	c.letGo()
	if c.late != nil {
		c.bind()
	}
	wait := c.call("wait for the program's end", "", "wait4", unix.SYS_WAIT4,
		named(0, "program"), named(statusBase+offReportLast, "&REPORT.last"), named(unix.WALL, "__WALL"), num(0))
	for _, b := range births {
		b.into = &slot{step: wait, arg: 0}
	}
	if c.late != nil {
		wait.onError, wait.errnos = goNext, []unix.Errno{unix.ECHILD} // it has ended in bind
		c.place()
	}
	// EPIPE: dx is gone.
	c.try("tell dx", "", "write", unix.SYS_WRITE, nil, num(noticeFD), raw([]byte{0}, `"\0"`), num(1))
	c.call("close the notice", "", "close", unix.SYS_CLOSE, num(noticeFD))

	c.await()
}

// await adds the steps that wait for the child, and for nobody else: the command may
// have siblings, whose parent is the keeper as well (CLONE_PARENT), and which end as
// they like. They go to the host's init with the keeper's end, as they would to a shim.
func (c *compiler) await() {
	end := &Step{Name: "exit_group", Nr: unix.SYS_EXIT_GROUP, Args: []Arg{num(0)}, Doing: "end with the command"}
	watch := &Step{
		Name: "waitid", Nr: unix.SYS_WAITID, Doing: "wait for the command's end",
		Args: []Arg{named(unix.P_PID, "P_PID"), named(0, "child"), num(0), named(unix.WEXITED|unix.WNOWAIT|unix.WALL, "WEXITED|WNOWAIT|__WALL"), num(0)},
	}
	watch.onError, watch.errnos = end, []unix.Errno{unix.EINVAL, unix.ECHILD} // none was born, or it is gone
	unborn := reapStep("reap a child that has not become the command", unix.WCLONE, "|__WCLONE")
	unborn.into, unborn.onPositive = &slot{addr: statusBase + offReportUnborn}, end
	unborn.onError, unborn.errnos = goNext, []unix.Errno{unix.ECHILD}
	command := reapStep("reap the command", 0, "")
	for _, to := range []*slot{{step: watch, arg: 1}, {step: unborn, arg: 0}, {step: command, arg: 0}} {
		c.add(readPID("child", offReportChild, to))
	}
	c.call("close the report page's file", "", "close", unix.SYS_CLOSE, num(reportFile))
	for _, s := range []*Step{watch, unborn, command, end} {
		c.add(s)
	}
}

func reapStep(doing string, flags int, name string) *Step {
	return &Step{
		Name: "wait4", Nr: unix.SYS_WAIT4, Doing: doing,
		Args: []Arg{named(0, "child"), named(statusBase+offReportStatus, "&REPORT.status"), named(unix.WNOHANG|flags, "WNOHANG"+name), num(0)},
	}
}

// readPID reads the PID of P or of the child into an argument: the kernel has stored it,
// an int, in the page, which is a file as well.
func readPID(whose string, off int, to *slot) *Step {
	return &Step{
		Name: "pread64", Nr: unix.SYS_PREAD64, Doing: "read the PID of the " + whose,
		Args: []Arg{num(reportFile), {text: "&" + whose, at: to}, num(4), num(off)},
	}
}

// letGo lets the keeper hold nothing: no stream whose other end waits for the command
// to close it, no directory, no namespace. The report and the notice remain, and what place needs.
func (c *compiler) letGo() {
	if c.plan.Plain {
		c.hide("become undumpable")
	}
	c.try("be known as dx-keeper", "", "prctl", unix.SYS_PRCTL, nil, named(unix.PR_SET_NAME, "PR_SET_NAME"), str("dx-keeper"))
	c.chdir("/")
	if !c.plan.Kernel.CloseRange {
		c.files1By1 = c.label()
		return
	}
	first, last := c.keepersFiles()
	const doing = "have no other files"
	c.call(doing, "", "close_range", unix.SYS_CLOSE_RANGE, num(0), num(first-1), num(0))
	c.call(doing, "", "close_range", unix.SYS_CLOSE_RANGE, num(last+1), named(uint64(math.MaxUint32), "~0U"), num(0))
}

// keepersFiles are those that the keeper still needs.
func (c *compiler) keepersFiles() (first, last int) {
	if c.late != nil {
		return reportFile, placeFD
	}
	return reportFile, noticeFD
}

// closeKeepersFiles is for kernels without close_range, once all files are known.
func (c *compiler) closeKeepersFiles() {
	if c.files1By1 == nil {
		return
	}
	at := slices.Index(c.steps, c.files1By1)
	behind := slices.Clone(c.steps[at:])
	c.steps, c.child, c.kept = c.steps[:at], false, false
	first, last := c.keepersFiles()
	for fd := range firstFile + len(c.files) + 1 { // the program's own file is the last
		if fd < first || fd > last {
			c.try("close another file", "", "close", unix.SYS_CLOSE, nil, num(fd))
		}
	}
	c.steps = append(c.steps, behind...)
}
