package launch

import (
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Leftover is something of dx's caller's that survives fork(2) and execve(2) and that
// no file of /proc shows: the process is to have what every process begins with.
type Leftover struct {
	doing string
	call  string // that sets it
	get   func() (uint64, bool)
	odd   func(uint64) bool
	nr    uintptr
	args  []Arg
}

// Leftovers returns those that the calling process has, and in words what of it no
// child of its can undo. All of its threads have what its caller gave the first.
func Leftovers() (list []Leftover, forever []string) {
	for _, l := range slices.Concat(leftovers, machineLeftovers) {
		// A kernel that does not know one has none. That of PR_SET_IO_FLUSHER is shown
		// to CAP_SYS_RESOURCE only, which it takes to set it, too.
		if value, ok := l.get(); ok && l.odd(value) {
			list = append(list, l)
		}
	}
	if v, ok := asking(unix.SYS_PRCTL, unix.PR_GET_MDWE)(); ok && v&unix.PR_MDWE_REFUSE_EXEC_GAIN != 0 && v&unix.PR_MDWE_NO_INHERIT == 0 {
		forever = append(forever, "dx may have no memory that it writes and executes (PR_SET_MDWE)")
	}
	return list, forever
}

// leftovers are those of prctl(2) from end to end, keyctl(2) and set_mempolicy(2).
// What is missing is lost at fork or execve, has a place of its own in Shed, or cannot be
// undone: see the table in docs/parity.md.
var leftovers = []Leftover{
	ofPrctl("have transparent huge pages", "PR_SET_THP_DISABLE", unix.PR_GET_THP_DISABLE, unix.PR_SET_THP_DISABLE),
	ofPrctl("have no memory merged", "PR_SET_MEMORY_MERGE", unix.PR_GET_MEMORY_MERGE, unix.PR_SET_MEMORY_MERGE),
	ofPrctl("be no I/O flusher", "PR_SET_IO_FLUSHER", unix.PR_GET_IO_FLUSHER, unix.PR_SET_IO_FLUSHER),
	speculation("PR_SPEC_STORE_BYPASS", unix.PR_SPEC_STORE_BYPASS, unix.PR_SPEC_DISABLE, unix.PR_SPEC_ENABLE),
	speculation("PR_SPEC_INDIRECT_BRANCH", unix.PR_SPEC_INDIRECT_BRANCH, unix.PR_SPEC_DISABLE, unix.PR_SPEC_ENABLE),
	speculation("PR_SPEC_L1D_FLUSH", unix.PR_SPEC_L1D_FLUSH, unix.PR_SPEC_ENABLE, unix.PR_SPEC_DISABLE),
	{
		doing: "link requested keys where others do", call: "keyctl",
		get: asking(unix.SYS_KEYCTL, unix.KEYCTL_SET_REQKEY_KEYRING, ^uintptr(0)), odd: isNot(unix.KEY_REQKEY_DEFL_DEFAULT),
		nr:   unix.SYS_KEYCTL,
		args: []Arg{named(unix.KEYCTL_SET_REQKEY_KEYRING, "KEYCTL_SET_REQKEY_KEYRING"), named(unix.KEY_REQKEY_DEFL_DEFAULT, "KEY_REQKEY_DEFL_DEFAULT")},
	},
	{
		doing: "have no memory policy", call: "set_mempolicy", get: memoryPolicy, odd: isNot(unix.MPOL_DEFAULT),
		nr: unix.SYS_SET_MEMPOLICY, args: []Arg{named(unix.MPOL_DEFAULT, "MPOL_DEFAULT"), num(0), num(0)},
	},
}

// ofPrctl is a switch that is off by default.
func ofPrctl(doing, name string, get, set uintptr) Leftover {
	return Leftover{
		doing: doing, call: "prctl", get: asking(unix.SYS_PRCTL, get), odd: isNot(0),
		nr: unix.SYS_PRCTL, args: []Arg{named(set, name), num(0), num(0), num(0), num(0)},
	}
}

// speculation is a control that is set to one state where it should be in another. One
// that is forced stays, which makes a process slower and nothing else.
func speculation(name string, which, odd, state uintptr) Leftover {
	text := map[uintptr]string{unix.PR_SPEC_ENABLE: "PR_SPEC_ENABLE", unix.PR_SPEC_DISABLE: "PR_SPEC_DISABLE"}[state]
	return Leftover{
		doing: "speculate as others do", call: "prctl", get: asking(unix.SYS_PRCTL, unix.PR_GET_SPECULATION_CTRL, which),
		odd: func(v uint64) bool { return v == unix.PR_SPEC_PRCTL|uint64(odd) },
		nr:  unix.SYS_PRCTL, args: []Arg{named(unix.PR_SET_SPECULATION_CTRL, "PR_SET_SPECULATION_CTRL"), named(which, name), named(state, text), num(0), num(0)},
	}
}

func isNot(usual uint64) func(uint64) bool { return func(v uint64) bool { return v != usual } }

// asking returns a question whose answer is a call's result.
func asking(nr uintptr, args ...uintptr) func() (uint64, bool) {
	return func() (uint64, bool) {
		var a [5]uintptr
		copy(a[:], args)
		v, _, errno := unix.RawSyscall6(nr, a[0], a[1], a[2], a[3], a[4], 0)
		return uint64(v), errno == 0
	}
}

func memoryPolicy() (uint64, bool) {
	var mode int32
	_, _, errno := unix.RawSyscall6(unix.SYS_GET_MEMPOLICY, uintptr(unsafe.Pointer(&mode)), 0, 0, 0, 0, 0)
	return uint64(uint32(mode)), errno == 0
}

// shedLeftovers undoes what the caller has; what cannot be undone is an error.
func (c *compiler) shedLeftovers() {
	for _, l := range c.plan.Shed.Leftovers {
		c.call(l.doing, "Inherited", l.call, l.nr, l.args...)
	}
}
