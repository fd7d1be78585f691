package launch

import (
	"encoding/binary"
	"math"

	"golang.org/x/sys/unix"
)

// A little init: PID 1 of a new PID namespace that starts the command, passes on
// the signals that it gets, reaps whatever is left to it, and ends as the command
// ends. It is the same loop of system calls as any program; docs/decisions/005
// tells why it is not the default.

// Where init keeps the wait status, in the report page: there the kernel can
// write it (it is mapped) and init can read it byte by byte into arguments (it is
// a file). Behind it lies a table from the status's low byte, the signal, to
// the exit code.
const (
	offInitStatus = 64
	offInitCodes  = 256
	reportFile    = firstFile // mapReport is the first step that names a file
)

// exitCodes maps the low byte of a wait status (the signal, and 0x80 for a core
// dump) to what a shell makes of it.
func exitCodes() []byte {
	table := make([]byte, 256)
	for i := range table {
		table[i] = 128 + byte(i&0x7f)
	}
	return table
}

var (
	allSignals = sigset(math.MaxUint64, "~{}")
	notChild   = sigset(^uint64(0)&^(1<<(int(unix.SIGCHLD)-1)), "~{SIGCHLD}")
	onlyChild  = sigset(1<<(int(unix.SIGCHLD)-1), "{SIGCHLD}")
)

func sigset(mask uint64, text string) Arg {
	return raw(binary.NativeEndian.AppendUint64(nil, mask), text)
}

// beInit clones the command's process; what follows is that one's.
func (c *compiler) beInit() {
	old := space(8, "&old")
	block := c.call("leave every signal to be asked for", "", "rt_sigprocmask", unix.SYS_RT_SIGPROCMASK,
		named(unix.SIG_SETMASK, "SIG_SETMASK"), allSignals, old, num(8))
	forward := &Step{Name: "kill", Nr: unix.SYS_KILL, Args: []Arg{named(0, "command"), named(0, "signal")}, Doing: "pass it on"}
	alive := &Step{Name: "kill", Nr: unix.SYS_KILL, Args: []Arg{named(0, "command"), num(0)}, Doing: "see whether it was the command"}
	flags := unix.CLONE_VFORK | unix.CLONE_PARENT_SETTID | int(unix.SIGCHLD)
	clone := c.call("start the command's process", "", "clone", unix.SYS_CLONE,
		named(flags, "CLONE_VFORK|CLONE_PARENT_SETTID|SIGCHLD"), num(0), Arg{text: "&command", at: &slot{step: alive, arg: 0}}, num(0), num(0))
	clone.into = &slot{step: forward, arg: 0}
	born := newLabel()
	clone.onZero = born
	c.settle()
	c.serve(forward, alive)
	c.add(born)
	c.call("unblock the signals", "", "rt_sigprocmask", unix.SYS_RT_SIGPROCMASK,
		named(unix.SIG_SETMASK, "SIG_SETMASK"), Arg{text: "&old", share: &block.Args[2]}, num(0), num(8))
}

// settle lets init hold nothing: no stream whose other end waits for the command
// to close it, no directory, and not the terminal's process group, whose signals
// the command gets from the terminal itself.
func (c *compiler) settle() {
	c.call("be known as dx-init", "", "prctl", unix.SYS_PRCTL, named(unix.PR_SET_NAME, "PR_SET_NAME"), str("dx-init"))
	c.call("leave the terminal's session", "", "setsid", unix.SYS_SETSID)
	c.chdir("/")
	for fd := range firstFile {
		c.try("close a stream of the command's", "", "close", unix.SYS_CLOSE, nil, num(fd))
	}
	table := exitCodes()
	c.call("write down the exit codes", "", "pwrite64", unix.SYS_PWRITE64,
		named(reportFile, "report"), raw(table, "{128+n}"), num(len(table)), num(offInitCodes))
	c.call("have a descriptor for signals", "", "signalfd4", unix.SYS_SIGNALFD4,
		named(^uint64(0), "-1"), allSignals, num(8), named(unix.SFD_CLOEXEC, "SFD_CLOEXEC"))
	// dx sees the notice's other end close, and knows that the command runs.
	if c.plan.Kernel.CloseRange {
		c.call("close the other files", "", "close_range", unix.SYS_CLOSE_RANGE, num(reportFile+1), named(uint64(math.MaxUint32), "~0U"), num(0))
		return
	}
	for n := 1; n <= len(c.files); n++ { // the notice, and the program's own file behind the last
		c.try("close another file", "", "close", unix.SYS_CLOSE, nil, num(reportFile+n))
	}
}

// serve is init's loop.
func (c *compiler) serve(forward, alive *Step) {
	pollfd := binary.NativeEndian.AppendUint64(nil, unix.POLLIN<<32) // descriptor 0, the lowest that was free
	wait := c.call("wait for a signal", "", "ppoll", unix.SYS_PPOLL, raw(pollfd, "{signals, POLLIN}"), num(1), num(0), num(0), num(8))
	wait.onError = wait

	take := c.take("take a signal", notChild)
	take.into = &slot{step: forward, arg: 1}
	c.add(forward).onZero = take
	forward.onError = take // ESRCH: it has ended, which is seen below

	child := c.take("take the note of an ended child", onlyChild)
	take.onError = child
	child.onError = goNext

	reap := c.call("reap a child", "", "wait4", unix.SYS_WAIT4,
		named(^uint64(0), "-1"), named(statusBase+offInitStatus, "&STATUS"), named(unix.WNOHANG, "WNOHANG"), num(0))
	reap.onZero, reap.onError = wait, wait
	c.add(alive).onZero = reap
	alive.onError = goNext
	c.endAsCommand()
}

func (c *compiler) take(doing string, set Arg) *Step {
	return c.call(doing, "", "rt_sigtimedwait", unix.SYS_RT_SIGTIMEDWAIT, set, num(0), raw(make([]byte, 16), "{0}"), num(8))
}

// endAsCommand turns the wait status of the command into init's exit code: its
// second byte, or by the table if a signal ended it.
func (c *compiler) endAsCommand() {
	exit := &Step{Name: "exit_group", Nr: unix.SYS_EXIT_GROUP, Args: []Arg{named(0, "code")}, Doing: "end as the command did"}
	test := &Step{Nr: opSet, Args: []Arg{num(0)}}
	code := c.readByte("code of a signal", 0, &slot{step: exit, arg: 0})
	c.add(c.readByte("signal of the command, if any", offInitStatus, &slot{step: test, arg: 0}))
	at := c.readByte("place of that signal in the table", offInitStatus, &slot{step: code, arg: 3})
	c.add(at)
	c.add(c.readByte("exit code of the command", offInitStatus+1, &slot{step: exit, arg: 0}))
	c.add(test).onZero = exit
	code.Args[3].value = offInitCodes // its low byte is the signal
	c.add(code)
	c.add(exit)
}

// readByte reads a byte of the report page into the low byte of an argument, on
// the little-endian machines that dx runs on.
func (c *compiler) readByte(what string, off int, to *slot) *Step {
	return &Step{
		Name: "pread64", Nr: unix.SYS_PREAD64, Doing: "read the " + what, child: true,
		Args: []Arg{named(reportFile, "report"), {text: "&" + what, at: to}, num(1), num(off)},
	}
}
