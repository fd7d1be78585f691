package launch

import (
	"debug/elf"

	"golang.org/x/sys/unix"
)

const (
	elfMachine = elf.EM_X86_64
	sysFstatat = unix.SYS_NEWFSTATAT
)
