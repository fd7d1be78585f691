#include "textflag.h"

// The interpreter of a program's steps: see loop.go for the layout that it reads.
// It uses registers only (no stack, no Go symbol), so that its bytes can be
// copied to any address. R12 is the current step.
TEXT ·loop(SB), NOSPLIT|NOFRAME, $0-0
	MOVQ $0x10000040, R12

step:
	MOVQ 0(R12), AX
	MOVQ 8(R12), DI
	MOVQ 16(R12), SI
	MOVQ 24(R12), DX
	MOVQ 32(R12), R10
	MOVQ 40(R12), R8
	MOVQ 48(R12), R9
	CMPQ AX, $-1      // opSet: the result is the first argument
	JEQ  set
	CMPQ AX, $-2      // opFail: the error is the first argument
	JEQ  fail
	SYSCALL
	CMPQ AX, $-4095
	JCS  store        // below -4095 as unsigned: a result
	NEGQ AX
	MOVQ AX, DI
	JMP  fail

set:
	MOVQ DI, AX

store:
	MOVQ  56(R12), BX
	TESTQ BX, BX
	JEQ   branch
	MOVQ  AX, 0(BX)

branch:
	TESTQ AX, AX
	JEQ   zero
	MOVQ  72(R12), BX
	JMP   take

zero:
	MOVQ 64(R12), BX

take:
	TESTQ BX, BX
	JEQ   next
	MOVQ  BX, R12
	JMP   step

next:
	ADDQ $128, R12
	JMP  step

fail: // DI is the errno
	MOVQ  112(R12), BX
	TESTQ BX, BX
	JEQ   handle
	MOVQ  DI, 0(BX)

handle:
	MOVQ  80(R12), BX
	TESTQ BX, BX
	JEQ   fatal
	MOVQ  88(R12), CX
	CMPQ  CX, $-1     // any error
	JEQ   take
	CMPQ  CX, DI
	JEQ   take
	MOVQ  96(R12), CX
	CMPQ  CX, DI
	JEQ   take

fatal:
	MOVQ $0x10000000, BX
	MOVQ 40(BX), R10  // the key, by which a filter lets exit_group through
	MOVQ 48(BX), R8
	MOVQ 56(BX), R9
	MOVQ 0(BX), BX
	MOVQ R12, 0(BX)
	MOVQ DI, 8(BX)
	ADDQ 104(R12), DI
	MOVQ $231, AX     // exit_group
	SYSCALL
	INT  $3

	// loopEnd
	LONG $0x6c2d7864
	LONG $0x0a646e65

// func loopAddr() *byte
TEXT ·loopAddr(SB), NOSPLIT, $0-8
	MOVQ $·loop(SB), AX
	MOVQ AX, ret+0(FP)
	RET
