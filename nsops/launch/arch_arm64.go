package launch

import "debug/elf"

const elfMachine = elf.EM_AARCH64
