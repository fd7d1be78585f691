#include "textflag.h"

// func fork(from, to *call) int64
//
// Forks. The child makes the calls one after the other, stores their results in
// the calls, which lie in shared memory, and exits; it runs nothing but what is
// here. A process that one of the calls makes (fork, vfork, clone) ends at once: it
// would go on with the others, and store what it got over what the child got, or,
// late, over the next child's. The parent returns what clone(2) answered.
//
// R12 and R13 hold from and to, R14 the child's pid: the kernel preserves them over
// both ways to call it.
TEXT ·fork(SB), NOSPLIT, $0-24
	MOVQ	from+0(FP), R12
	MOVQ	to+8(FP), R13
	MOVQ	$56, AX		// clone
	MOVQ	$17, DI		// SIGCHLD
	XORQ	SI, SI
	XORQ	DX, DX
	XORQ	R10, R10
	XORQ	R8, R8
	SYSCALL
	TESTQ	AX, AX
	JZ	child
	MOVQ	AX, ret+16(FP)
	RET

child:
	MOVQ	$112, AX	// setsid: a call that hangs up a terminal finds none
	SYSCALL
	MOVQ	$39, AX		// getpid
	SYSCALL
	MOVQ	AX, R14

next:
	CMPQ	R12, R13
	JCC	exit
	MOVQ	8(R12), AX
	MOVQ	0(R12), CX
	TESTQ	CX, CX
	JNZ	compat

	MOVQ	16(R12), DI
	MOVQ	24(R12), SI
	MOVQ	32(R12), DX
	MOVQ	40(R12), R10
	MOVQ	48(R12), R8
	MOVQ	56(R12), R9
	SYSCALL
	JMP	store

compat:
	MOVQ	16(R12), BX
	MOVQ	24(R12), CX
	MOVQ	32(R12), DX
	MOVQ	40(R12), SI
	MOVQ	48(R12), DI
	MOVQ	56(R12), BP
	INT	$0x80
	MOVLQSX	AX, AX

store:
	MOVQ	AX, R15
	MOVQ	$39, AX		// getpid
	SYSCALL
	CMPQ	AX, R14
	JNE	exit
	MOVQ	R15, 64(R12)
	MOVQ	$1, 72(R12)
	ADDQ	$80, R12
	JMP	next

exit:
	MOVQ	$231, AX	// exit_group
	XORQ	DI, DI
	SYSCALL
	JMP	exit
