package launch

import (
	"debug/elf"

	"golang.org/x/sys/unix"
)

const (
	elfMachine = elf.EM_AARCH64
	sysFstatat = unix.SYS_FSTATAT
)

// machineLeftovers are vector lengths that PR_SVE_VL_INHERIT and PR_SME_VL_INHERIT keep
// over execve: without these it returns to the machine's own. Every one can have 16 bytes.
var machineLeftovers = []Leftover{
	vectors("PR_SVE_SET_VL", unix.PR_SVE_GET_VL, unix.PR_SVE_SET_VL, unix.PR_SVE_VL_INHERIT),
	vectors("PR_SME_SET_VL", unix.PR_SME_GET_VL, unix.PR_SME_SET_VL, unix.PR_SME_VL_INHERIT),
}

func vectors(name string, get, set uintptr, inherit uint64) Leftover {
	return Leftover{
		doing: "have the usual vector length", call: "prctl", get: asking(unix.SYS_PRCTL, get),
		odd: func(v uint64) bool { return v&inherit != 0 },
		nr:  unix.SYS_PRCTL, args: []Arg{named(set, name), num(16)},
	}
}
