package launch

import (
	"encoding/binary"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"

	"dx/nsops/proc"
)

// Shed is what the process must not inherit from dx's caller: the values that it
// would have as a child of a shim. What is nil is as it should be already.
type Shed struct {
	IgnoredSignals []int // ignored by the caller, to be reset to their default
	Sched          *unix.SchedAttr
	IOPriority     *int    // class<<13 | priority
	TimerSlack     *uint64 // nanoseconds
	CoredumpFilter *uint64
	LoginUID       *uint32
	Leftovers      []Leftover
	Forever        []string // what nobody can undo, in words
}

// NewShed says what of the caller's own attributes has to change for a child to
// have the wanted ones.
func NewShed(own, want proc.Attributes) Shed {
	var s Shed
	if own.Sched != want.Sched {
		s.Sched = &want.Sched
	}
	if own.IOPriority != want.IOPriority {
		s.IOPriority = &want.IOPriority
	}
	if want.TimerSlack != 0 && own.TimerSlack != want.TimerSlack {
		s.TimerSlack = &want.TimerSlack
	}
	if own.CoredumpFilter != want.CoredumpFilter {
		s.CoredumpFilter = &want.CoredumpFilter
	}
	if own.LoginUID != want.LoginUID {
		s.LoginUID = &want.LoginUID
	}
	return s
}

// IgnoredSignals lists the signals that a process ignores.
func IgnoredSignals(st proc.Status) (list []int) {
	for n := 1; n <= 64; n++ {
		if st.SigIgn&(1<<(n-1)) != 0 { // nohup, a shell's &
			list = append(list, n)
		}
	}
	return list
}

// shed puts off what dx's caller would hand down and a shim would not.
func (c *compiler) shed() {
	c.call("unblock all signals", "Inherited", "rt_sigprocmask", unix.SYS_RT_SIGPROCMASK,
		named(unix.SIG_SETMASK, "SIG_SETMASK"), raw(make([]byte, 8), "{}"), num(0), num(8))
	for _, sig := range c.plan.Shed.IgnoredSignals {
		c.resetSignal(sig)
	}
	if a := c.plan.Shed.Sched; a != nil {
		c.call("set the scheduling policy and nice value", "Inherited", "sched_setattr", unix.SYS_SCHED_SETATTR,
			num(0), raw(schedBytes(*a), fmt.Sprintf("{policy %d, nice %d}", a.Policy, a.Nice)), num(0))
	}
	if v := c.plan.Shed.IOPriority; v != nil {
		c.call("set the I/O priority", "Inherited", "ioprio_set", unix.SYS_IOPRIO_SET,
			named(1, "IOPRIO_WHO_PROCESS"), num(0), named(*v, fmt.Sprintf("%d:%d", *v>>13, *v&(1<<13-1))))
	}
	if ns := c.plan.Shed.TimerSlack; ns != nil {
		c.call("set the timer slack", "Inherited", "prctl", unix.SYS_PRCTL, named(unix.PR_SET_TIMERSLACK, "PR_SET_TIMERSLACK"), num(*ns))
	}
	c.useAllProcessors()
	// Always: PR_MCE_KILL_GET does not show the flag that PR_MCE_KILL_CLEAR leaves, and a look
	// at /proc/self/stat, which does, costs more.
	c.call("die of memory errors as others do", "Inherited", "prctl", unix.SYS_PRCTL, named(unix.PR_MCE_KILL, "PR_MCE_KILL"),
		named(unix.PR_MCE_KILL_SET, "PR_MCE_KILL_SET"), named(unix.PR_MCE_KILL_DEFAULT, "PR_MCE_KILL_DEFAULT"), num(0), num(0))
	c.shedLeftovers()
	c.shedRights()
	if u := c.plan.Process.User.Umask; u != nil {
		c.call("set the umask", "Umask", "umask", unix.SYS_UMASK, octal(*u))
	}
}

// shedRights puts off what the caller's rights would add to the container's.
func (c *compiler) shedRights() {
	// A process of the container's that is not root would keep these over execve,
	// as far as its inheritable set has them.
	c.call("have no ambient capabilities", "Inherited", "prctl", unix.SYS_PRCTL,
		named(unix.PR_CAP_AMBIENT, "PR_CAP_AMBIENT"), named(unix.PR_CAP_AMBIENT_CLEAR_ALL, "PR_CAP_AMBIENT_CLEAR_ALL"), num(0), num(0), num(0))
	// With SECBIT_NO_SETUID_FIXUP set-user-ID programs would not lose theirs. EPERM:
	// the bits are locked, or an older kernel lets only CAP_SETPCAP clear none.
	c.try("have no secure bits", "Inherited", "prctl", unix.SYS_PRCTL, []unix.Errno{unix.EPERM}, named(unix.PR_SET_SECUREBITS, "PR_SET_SECUREBITS"), num(0))
	c.try("have the plain personality", "Inherited", "personality", unix.SYS_PERSONALITY, []unix.Errno{unix.EPERM}, named(0, "PER_LINUX"))
	if c.plan.Keyring == "" && !c.plan.KeepKeyring {
		c.leaveKeyring()
	}
}

func (c *compiler) resetSignal(sig int) {
	name := unix.SignalName(unix.Signal(sig))
	if name == "" {
		name = strconv.Itoa(sig)
	}
	// struct sigaction of the kernel: handler SIG_DFL, flags, restorer, mask.
	c.call("stop ignoring "+name, "Inherited", "rt_sigaction", unix.SYS_RT_SIGACTION,
		named(sig, name), raw(make([]byte, 32), "{SIG_DFL}"), num(0), num(8))
}

// useAllProcessors mirrors runc from 1.2.9 on; the cpuset cgroup narrows it.
func (c *compiler) useAllProcessors() {
	all := make([]byte, 128) // 1,024 processors
	for i := range all {
		all[i] = 0xff
	}
	c.try("use every processor that the cgroup allows", "runc", "sched_setaffinity", unix.SYS_SCHED_SETAFFINITY, nil,
		num(0), num(len(all)), raw(all, "{all}"))
}

// schedBytes is struct sched_attr, first version (sched_setattr(2)).
func schedBytes(a unix.SchedAttr) []byte {
	b := binary.NativeEndian.AppendUint32(nil, 48)
	b = binary.NativeEndian.AppendUint32(b, a.Policy)
	b = binary.NativeEndian.AppendUint64(b, a.Flags)
	b = binary.NativeEndian.AppendUint32(b, uint32(a.Nice))
	b = binary.NativeEndian.AppendUint32(b, a.Priority)
	for _, v := range []uint64{a.Runtime, a.Deadline, a.Period} {
		b = binary.NativeEndian.AppendUint64(b, v)
	}
	return b
}
