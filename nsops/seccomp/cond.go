package seccomp

import (
	"fmt"
	"math"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/net/bpf"
)

// op is a comparison of an argument with a value, unsigned.
type op uint8

const (
	equal op = iota // under a mask; all bits for SCMP_CMP_EQ
	notEqual
	less
	lessOrEqual
	greaterOrEqual
	greater
)

// cond is a condition on one argument.
type cond struct {
	arg    uint8 // 0 to 5
	op     op
	masked bool // SCMP_CMP_MASKED_EQ, which libseccomp holds for unlike SCMP_CMP_EQ
	half   bool // only the low half counts: the ABI's arguments have 32 bits
	mask   uint64
	value  uint64 // within the mask
}

func parseCond(a specs.LinuxSeccompArg) (cond, error) {
	if a.Index > 5 {
		return cond{}, fmt.Errorf("argument %d: a system call has 6", a.Index)
	}
	c := cond{arg: uint8(a.Index), mask: math.MaxUint64, value: a.Value}
	switch a.Op {
	case specs.OpEqualTo:
		c.op = equal
	case specs.OpNotEqual:
		c.op = notEqual
	case specs.OpLessThan:
		c.op = less
	case specs.OpLessEqual:
		c.op = lessOrEqual
	case specs.OpGreaterEqual:
		c.op = greaterOrEqual
	case specs.OpGreaterThan:
		c.op = greater
	case specs.OpMaskedEqual:
		// libseccomp masks the value too: bits outside are ignored, not unmatchable.
		c.masked, c.mask, c.value = true, a.Value, a.ValueTwo&a.Value
	default:
		return cond{}, fmt.Errorf("unknown operator %q", a.Op)
	}
	return c, nil
}

// narrow is the condition as libseccomp compares it where arguments have 32 bits.
func (c cond) narrow() cond {
	c.half = true
	c.mask &= math.MaxUint32
	c.value &= math.MaxUint32
	return c
}

// void reports whether the condition always holds.
func (c cond) void() bool { return c.op == equal && c.mask == 0 }

// rank is the precedence that libseccomp gives to operators on the same argument
// (db.c of libseccomp, _db_chain_lt).
func (c cond) rank() int {
	switch c.op {
	case less, lessOrEqual:
		return 1
	case greater, greaterOrEqual:
		return 0
	}
	return 2
}

// before reports whether libseccomp tests c before o where both belong to rules for the
// same call and differ in their high halves: higher arguments first, then
// equalities, then the narrower range.
func (c cond) before(o cond) bool {
	if c.arg != o.arg {
		return c.arg > o.arg
	}
	if r, s := c.rank(), o.rank(); r != s {
		return r > s
	}
	if c.half {
		return c.beforeLow(o)
	}
	return c.narrower(c.value>>32, o.value>>32)
}

// sameHigh reports whether libseccomp tests the high halves of both in one node.
func (c cond) sameHigh(o cond) bool {
	return !c.half && c.arg == o.arg && c.rank() == o.rank() && c.masked == o.masked &&
		c.mask>>32 == o.mask>>32 && c.value>>32 == o.value>>32
}

// beforeLow is before for conditions with the same high half.
func (c cond) beforeLow(o cond) bool {
	return c.narrower(c.value&math.MaxUint32, o.value&math.MaxUint32)
}

func (c cond) narrower(value, other uint64) bool {
	if c.rank() == 1 {
		return value < other
	}
	return value > other
}

// code is the test of the condition: it falls through if the condition holds, and
// else skips fail further instructions.
func (c cond) code(fail uint8) []bpf.Instruction {
	low := bpf.JumpIf{Cond: unless[c.op], Val: uint32(c.value), SkipTrue: fail}
	switch {
	case c.op == equal:
		return c.equalCode(fail)
	case c.half:
		return []bpf.Instruction{c.load(0), low}
	case c.op == notEqual:
		high := bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(c.value >> 32), SkipTrue: 2}
		return []bpf.Instruction{c.load(4), high, c.load(0), low}
	}
	// The high halves decide unless they are equal: then it is up to the low ones.
	above := bpf.JumpIf{Cond: bpf.JumpGreaterThan, Val: uint32(c.value >> 32), SkipTrue: 3}
	below := bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(c.value >> 32), SkipTrue: 2}
	if c.op == less || c.op == lessOrEqual {
		above.SkipTrue += fail
	} else {
		below.SkipTrue += fail
	}
	return []bpf.Instruction{c.load(4), above, below, c.load(0), low}
}

// unless is, for each operator, the test that the low half fails by.
var unless = [...]bpf.JumpTest{
	notEqual:       bpf.JumpEqual,
	less:           bpf.JumpGreaterOrEqual,
	lessOrEqual:    bpf.JumpGreaterThan,
	greaterOrEqual: bpf.JumpLessThan,
	greater:        bpf.JumpLessOrEqual,
}

// equalCode compares the halves of the argument of which the mask keeps a bit.
func (c cond) equalCode(fail uint8) []bpf.Instruction {
	var code []bpf.Instruction
	word := func(offset uint32, mask, value uint32) {
		if mask == 0 {
			return
		}
		test := []bpf.Instruction{c.load(offset)}
		if mask != math.MaxUint32 {
			test = append(test, bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: mask})
		}
		test = append(test, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: value, SkipTrue: fail + uint8(len(code))})
		code = append(test, code...)
	}
	word(0, uint32(c.mask), uint32(c.value))
	if !c.half {
		word(4, uint32(c.mask>>32), uint32(c.value>>32))
	}
	return code
}

// load reads half of the argument: offset 0 is the low one on a little-endian
// machine, which both architectures are.
func (c cond) load(offset uint32) bpf.Instruction {
	return bpf.LoadAbsolute{Off: offArgs + 8*uint32(c.arg) + offset, Size: 4}
}
