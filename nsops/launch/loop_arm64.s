#include "textflag.h"

// The interpreter of a program's steps: see loop.go for the layout that it reads.
// It uses registers only (no stack, no Go symbol), so that its bytes can be
// copied to any address. R19 is the current step.
TEXT ·loop(SB), NOSPLIT|NOFRAME, $0-0
	MOVD $0x1000, R19
	LSL  $16, R19, R19
	ADD  $0x40, R19, R19

step:
	MOVD 0(R19), R8
	MOVD 8(R19), R0
	MOVD 16(R19), R1
	MOVD 24(R19), R2
	MOVD 32(R19), R3
	MOVD 40(R19), R4
	MOVD 48(R19), R5
	CMN  $1, R8       // opSet: the result is the first argument
	BEQ  store
	CMN  $2, R8       // opFail: the error is the first argument
	BEQ  fail
	SVC
	CMN  $4095, R0
	BCC  store        // below -4095 as unsigned: a result
	NEG  R0, R0
	B    fail

store:
	MOVD 56(R19), R20
	CBZ  R20, branch
	MOVD R0, 0(R20)

branch:
	CBZ  R0, zero
	MOVD 72(R19), R20
	B    take

zero:
	MOVD 64(R19), R20

take:
	CBZ  R20, next
	MOVD R20, R19
	B    step

next:
	ADD $128, R19, R19
	B   step

fail: // R0 is the errno
	MOVD 112(R19), R20
	CBZ  R20, handle
	MOVD R0, 0(R20)

handle:
	MOVD 80(R19), R20
	CBZ  R20, fatal
	MOVD 88(R19), R21
	CMN  $1, R21      // any error
	BEQ  take
	CMP  R21, R0
	BEQ  take
	MOVD 96(R19), R21
	CMP  R21, R0
	BEQ  take

fatal:
	MOVD $0x1000, R20
	LSL  $16, R20, R20
	MOVD 40(R20), R3  // the key, by which a filter lets exit_group through
	MOVD 48(R20), R4
	MOVD 56(R20), R5
	MOVD 0(R20), R20
	MOVD R19, 0(R20)
	MOVD R0, 8(R20)
	MOVD 104(R19), R21
	ADD  R21, R0, R0
	MOVD $94, R8      // exit_group
	SVC
	BRK

	// loopEnd
	WORD $0x6c2d7864
	WORD $0x0a646e65

// func loopAddr() *byte
TEXT ·loopAddr(SB), NOSPLIT, $0-8
	MOVD $·loop(SB), R0
	MOVD R0, ret+0(FP)
	RET
