package seccomp

import (
	"encoding/binary"
	"fmt"
	"slices"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// The layout of struct seccomp_data (Linux linux/seccomp.h).
const (
	offNr    = 0
	offArch  = 4
	offIP    = 8
	offArgs  = 16
	dataSize = 64
)

// Filter is a program ready for seccomp(SECCOMP_SET_MODE_FILTER, Flags, …).
type Filter struct {
	Program []unix.SockFilter
	Flags   uintptr // SECCOMP_FILTER_FLAG_…
	Arch    Arch    // of the kernel that it is for

	vm *bpf.VM
}

// Data is what a filter sees of a system call (struct seccomp_data).
type Data struct {
	Nr   int32
	Arch uint32 // AUDIT_ARCH_…
	IP   uint64
	Args [6]uint64
}

// NewFilter wraps a program, as PTRACE_SECCOMP_GET_FILTER returns one, so that it
// can be evaluated and installed again. The program stays as it is.
func NewFilter(program []unix.SockFilter, arch Arch) (*Filter, error) {
	raw := make([]bpf.RawInstruction, len(program))
	for i, s := range program {
		raw[i] = bpf.RawInstruction{Op: s.Code, Jt: s.Jt, Jf: s.Jf, K: s.K}
	}
	code, _ := bpf.Disassemble(raw)
	for i, s := range program {
		// The one instruction that the kernel takes and the package cannot name.
		if s.Code == unix.BPF_LDX|unix.BPF_W|unix.BPF_LEN {
			code[i] = bpf.LoadConstant{Dst: bpf.RegX, Val: dataSize}
		}
	}
	vm, err := bpf.NewVM(code)
	if err != nil {
		return nil, fmt.Errorf("seccomp filter: %w", err)
	}
	return &Filter{Program: slices.Clone(program), Arch: arch, vm: vm}, nil
}

func newFilter(code []bpf.Instruction) (*Filter, error) {
	vm, err := bpf.NewVM(code)
	if err != nil {
		return nil, fmt.Errorf("seccomp filter: %w", err)
	}
	raw, err := bpf.Assemble(code)
	if err != nil {
		return nil, fmt.Errorf("seccomp filter: %w", err)
	}
	f := &Filter{Program: make([]unix.SockFilter, len(raw)), vm: vm}
	for i, r := range raw {
		f.Program[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	return f, nil
}

// Evaluate is what the program returns for a call: a SECCOMP_RET_ action with its
// data in the low 16 bits.
func (f *Filter) Evaluate(d Data) uint32 {
	if f == nil {
		return unix.SECCOMP_RET_ALLOW
	}
	ret, err := f.vm.Run(d.packet())
	if err != nil {
		return unix.SECCOMP_RET_KILL_THREAD
	}
	return uint32(ret)
}

// packet lays the call out for the virtual machine. That reads big-endian words, as
// befits a network, where the kernel reads native ones: each word is therefore
// written big-endian, at the place where a little-endian machine has it.
func (d Data) packet() []byte {
	p := make([]byte, dataSize)
	wide := func(offset int, value uint64) {
		binary.BigEndian.PutUint32(p[offset:], uint32(value))
		binary.BigEndian.PutUint32(p[offset+4:], uint32(value>>32))
	}
	binary.BigEndian.PutUint32(p[offNr:], uint32(d.Nr))
	binary.BigEndian.PutUint32(p[offArch:], d.Arch)
	wide(offIP, d.IP)
	for i, arg := range d.Args {
		wide(offArgs+8*i, arg)
	}
	return p
}

// Filters are all that a process has, oldest first. The kernel runs every one of them
// for each call.
type Filters []*Filter

// Evaluate returns what the kernel makes of the answers of all: the action that
// forbids most, of several like it the newest filter's (kernel/seccomp.c,
// seccomp_run_filters).
func (fs Filters) Evaluate(d Data) uint32 {
	ret := uint32(unix.SECCOMP_RET_ALLOW)
	for _, f := range slices.Backward(fs) {
		// Actions are compared as signed numbers: KILL_PROCESS is the lowest.
		if got := f.Evaluate(d); action(got) < action(ret) {
			ret = got
		}
	}
	return ret
}

func action(ret uint32) int32 { return int32(ret & unix.SECCOMP_RET_ACTION_FULL) }

// Allows reports whether a call of the native ABI gets through; arguments that are
// not given are 0.
func (fs Filters) Allows(nr int, args ...uint64) bool {
	for _, f := range fs {
		if !f.Allows(nr, args...) {
			return false
		}
	}
	return true
}

// Allows reports whether a call of the native ABI gets through; arguments that are
// not given are 0.
func (f *Filter) Allows(nr int, args ...uint64) bool {
	if f == nil {
		return true
	}
	d := Data{Nr: int32(nr), Arch: f.Arch.Audit()}
	copy(d.Args[:], args)
	switch f.Evaluate(d) & unix.SECCOMP_RET_ACTION_FULL {
	case unix.SECCOMP_RET_ALLOW, unix.SECCOMP_RET_LOG:
		return true
	}
	return false
}
