package launch

import "debug/elf"

const elfMachine = elf.EM_X86_64
