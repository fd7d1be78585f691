package seccomp

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Key is what an excepted call has in its last three arguments, which such a call
// does not use: a filter sees six, however many the call takes.
type Key [3]uint64

// NewKey returns a key that nobody guesses.
func NewKey() Key {
	var b [24]byte
	_, _ = rand.Read(b[:]) // never fails
	return Key{binary.NativeEndian.Uint64(b[:]), binary.NativeEndian.Uint64(b[8:]), binary.NativeEndian.Uint64(b[16:])}
}

// Exception is a call that a filter lets through with a key.
type Exception struct {
	Nr   int32
	Args map[int]uint64 // what the first three arguments must be; those left out may be anything
}

// Equal reports whether two exceptions let the same calls through.
func (e Exception) Equal(o Exception) bool { return e.Nr == o.Nr && maps.Equal(e.Args, o.Args) }

// Except returns a filter that allows the exceptions of the native ABI when they
// come with the key, and answers to every other call as f does. For calls of other
// numbers it looks at nothing that f does not: the kernel goes on to know that some
// are always allowed (kernel/seccomp.c, seccomp_is_const_allow).
func (f *Filter) Except(list []Exception, key Key) (*Filter, error) {
	var code []bpf.Instruction
	for _, e := range list {
		code = append(code, e.code(f.Arch, key)...)
	}
	raw, err := bpf.Assemble(code)
	if err != nil {
		return nil, fmt.Errorf("seccomp filter: %w", err)
	}
	program := make([]unix.SockFilter, 0, len(raw)+len(f.Program))
	for _, r := range raw {
		program = append(program, unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K})
	}
	program = append(program, f.Program...)
	if len(program) > maxProgram {
		return nil, fmt.Errorf("the seccomp filter has %d instructions and denies calls that start a command; with %d more that let them through it is longer than the %d that the kernel takes",
			len(f.Program), len(raw), maxProgram)
	}
	out, err := NewFilter(program, f.Arch)
	if err != nil {
		return nil, err
	}
	out.Flags = f.Flags
	return out, nil
}

// code falls through where the call is another one. Number and architecture come
// first; the rest is for this number only.
func (e Exception) code(arch Arch, key Key) []bpf.Instruction {
	words := []struct{ offset, value uint32 }{{offArch, arch.Audit()}, {offNr, uint32(e.Nr)}}
	pin := func(arg int, value uint64) {
		at := uint32(offArgs + 8*arg)
		words = append(words, struct{ offset, value uint32 }{at, uint32(value)}, struct{ offset, value uint32 }{at + 4, uint32(value >> 32)})
	}
	for _, arg := range slices.Sorted(maps.Keys(e.Args)) {
		pin(arg, e.Args[arg])
	}
	for i, k := range key {
		pin(3+i, k)
	}
	code := []bpf.Instruction{bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW}}
	for _, w := range slices.Backward(words) {
		// At most 14 words of two instructions: a short jump reaches.
		code = append([]bpf.Instruction{
			bpf.LoadAbsolute{Off: w.offset, Size: 4},
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: w.value, SkipTrue: uint8(len(code))},
		}, code...)
	}
	return code
}
