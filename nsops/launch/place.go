package launch

import (
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A container at its limit of processes. The limit counts births, not moves
// (kernel/cgroup/pids.c, pids_can_fork), and runc moves the process that it has started:
// docker exec gets in. P, which is in the container's cgroups, cannot give birth there.
// So it stays out of the one that has the limit, and the keeper moves the child.
//
// Until then the child would be a process of the container's outside of one of its
// cgroups. It does not make one step there: it is born traced by the keeper (P is, and
// CLONE_PTRACE passes that on), stopped before its first instruction, and nobody but its
// tracer continues it or is its tracer as well, not even with CAP_SYS_PTRACE. Who sees the
// host's processes may end the keeper: PTRACE_O_EXITKILL, which is passed on as well, is
// set before there is a child.

// pidsCgroup is the one of a plan's cgroups that limits processes; nil: none.
func (p *Plan) pidsCgroup() *Cgroup {
	var unified *Cgroup
	for i := range p.Cgroups {
		cg := &p.Cgroups[i]
		if slices.Contains(strings.Split(cg.Name, ","), "pids") {
			return cg
		}
		if cg.Dir != nil {
			unified = cg
		}
	}
	return unified
}

// bind lets P, and by its birth the child, die with the keeper: P waits for that, held by
// its own SIGSTOP. ESRCH: somebody has killed it.
func (c *compiler) bind() {
	held := c.call("wait until the program is held", "", "wait4", unix.SYS_WAIT4,
		named(^uint64(0), "-1"), named(statusBase+offReportLast, "&REPORT.last"), named(unix.WALL, "__WALL"), num(0))
	exitKill := c.ptrace("let it die with the keeper", unix.PTRACE_SETOPTIONS, "PTRACE_SETOPTIONS", named(unix.PTRACE_O_EXITKILL, "PTRACE_O_EXITKILL"))
	on := c.ptrace("let it go on", unix.PTRACE_CONT, "PTRACE_CONT", num(0))
	held.into = &slot{step: exitKill, arg: 1}
	for _, s := range []*Step{exitKill, on} {
		s.onError, s.errnos = goNext, []unix.Errno{unix.ESRCH}
	}
	c.steps = slices.Insert(c.steps, len(c.steps)-1, readPID("program", offReportProgram, &slot{step: on, arg: 1}))
}

// place lets the keeper move the child, after P has ended. The kernel knows a process by
// text there, which the loop cannot make: the list of the keeper's children is such a
// text, and there is only one.
func (c *compiler) place() {
	on := newLabel()
	held := c.call("wait until the child is held", "", "wait4", unix.SYS_WAIT4,
		named(^uint64(0), "-1"), named(statusBase+offReportStatus, "&REPORT.status"), named(unix.WALL, "__WALL"), num(0))
	held.onError, held.errnos = on, []unix.Errno{unix.ECHILD} // it was never born
	list := c.call("open the list of children", "", "openat", unix.SYS_OPENAT,
		named(atFdcwd, "AT_FDCWD"), str("/proc/thread-self/children"), named(unix.O_RDONLY|unix.O_CLOEXEC, "O_RDONLY|O_CLOEXEC"))
	read := c.call("read it", "", "read", unix.SYS_READ, named(0, "children"), space(32, "child"), num(32))
	list.into = &slot{step: read, arg: 0}
	read.onZero = on
	move := c.call("place the child in the "+c.late.Name+" cgroup", "Cgroups", "write", unix.SYS_WRITE,
		num(placeFD), Arg{text: "child", share: &read.Args[1]}, named(0, "length"))
	read.into = &slot{step: move, arg: 2}
	move.onError, move.errnos = on, []unix.Errno{unix.ESRCH}
	detach := c.ptrace("let it go", unix.PTRACE_DETACH, "PTRACE_DETACH", num(0))
	c.steps = slices.Insert(c.steps, len(c.steps)-1, readPID("child", offReportChild, &slot{step: detach, arg: 1}))
	detach.onError, detach.errnos = goNext, []unix.Errno{unix.ESRCH}
	c.add(on)
	for _, fd := range []int{0, placeFD} { // 0 is the list: the lowest that was free
		c.try("close what that took", "", "close", unix.SYS_CLOSE, nil, num(fd))
	}
}

func (c *compiler) ptrace(doing string, request int, name string, data Arg) *Step {
	return c.call(doing, "", "ptrace", unix.SYS_PTRACE, named(request, name), named(0, "child"), num(0), data)
}
