package launch

import (
	"debug/elf"

	"golang.org/x/sys/unix"
)

const (
	elfMachine = elf.EM_AARCH64
	sysFstatat = unix.SYS_FSTATAT
)
