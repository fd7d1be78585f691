#include "textflag.h"

// _dx_start is where dx begins: it makes room for 1,024 descriptors and takes none. The stack is
// as the kernel has made it, for Go to find it so.
TEXT _dx_start(SB), NOSPLIT|NOFRAME|TOPFRAME, $0
	// eventfd2(0, EFD_CLOEXEC)
	MOVL $290, AX
	MOVL $0, DI
	MOVL $0x80000, SI
	SYSCALL
	CMPQ AX, $0
	JLT  start
	MOVQ AX, R12

	// fcntl(fd, F_DUPFD_CLOEXEC, 1023): refused beyond RLIMIT_NOFILE
	MOVL $72, AX
	MOVQ R12, DI
	MOVL $1030, SI
	MOVL $1023, DX
	SYSCALL
	CMPQ AX, $0
	JLT  end

	// close
	MOVQ AX, DI
	MOVL $3, AX
	SYSCALL

end:
	MOVQ R12, DI
	MOVL $3, AX
	SYSCALL

start:
	JMP _rt0_amd64_linux(SB)
