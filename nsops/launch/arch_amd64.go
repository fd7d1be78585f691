package launch

import (
	"debug/elf"

	"golang.org/x/sys/unix"
)

const (
	elfMachine = elf.EM_X86_64
	sysFstatat = unix.SYS_NEWFSTATAT
)

// machineLeftovers are the I/O ports of ioperm(2) and iopl(2), which survive execve.
// Nothing shows them: they are given up wherever the kernel has them.
var machineLeftovers = []Leftover{
	ports("ioperm", unix.SYS_IOPERM, num(0), num(1<<16), num(0)),
	ports("iopl", unix.SYS_IOPL, num(0)),
}

func ports(call string, nr uintptr, args ...Arg) Leftover {
	always := func(uint64) bool { return true }
	return Leftover{doing: "give up I/O ports", call: call, get: asking(nr, 0, 1, 0), odd: always, nr: nr, args: args}
}
