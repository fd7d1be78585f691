package seccomp

import (
	"fmt"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// maxProgram is BPF_MAXINSNS, the length that the kernel takes.
const maxProgram = 4096

// Runtime is what a filter depends on besides the profile: the runc and the
// libseccomp that build it. The zero value is the newest of both.
type Runtime struct {
	// Knows says whether the runtime's libseccomp has the call in its table; runc
	// skips the others, so that its prologue answers ENOSYS to them. It is asked
	// only for calls younger than libseccomp 2.5.0. nil: all are known.
	Knows func(name string) bool

	// Runc11 says that runc is older than 1.2. It adds the ENOSYS prologue only for
	// the architectures that the profile lists; newer ones add the native one.
	Runc11 bool
}

// Compile makes the filter that runc would install for a profile on a machine with
// a kernel for arch, AMD64 or ARM64. Without a profile there is no filter: nil,
// whose methods let everything through.
func Compile(profile *specs.LinuxSeccomp, arch Arch) (*Filter, error) {
	return Runtime{}.Compile(profile, arch)
}

// Compile is Compile for the filter that r would install.
func (r Runtime) Compile(profile *specs.LinuxSeccomp, arch Arch) (*Filter, error) {
	if profile == nil || (profile.DefaultAction == "" && len(profile.Syscalls) == 0) {
		return nil, nil // specconv.SetupSeccomp of runc
	}
	if arch != AMD64 && arch != ARM64 {
		return nil, fmt.Errorf("seccomp filters for %s kernels are not supported", arch)
	}
	flags, err := parseFlags(profile.Flags)
	if err != nil {
		return nil, err
	}
	p, err := r.parse(profile)
	if err != nil {
		return nil, err
	}
	sections, err := r.sections(p, profile.Architectures, arch)
	if err != nil {
		return nil, err
	}
	f, err := assemble(sections)
	if err != nil {
		return nil, err
	}
	f.Flags, f.Arch = flags, arch
	return f, nil
}

// parseFlags turns the flags into those of seccomp(2). runc takes TSYNC and ignores
// it: the program that it starts has one thread.
func parseFlags(names []specs.LinuxSeccompFlag) (flags uintptr, err error) {
	for _, name := range names {
		switch name {
		case "SECCOMP_FILTER_FLAG_TSYNC":
		case specs.LinuxSeccompFlagLog:
			flags |= unix.SECCOMP_FILTER_FLAG_LOG
		case specs.LinuxSeccompFlagSpecAllow:
			flags |= unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW
		case specs.LinuxSeccompFlagWaitKillableRecv:
			return 0, fmt.Errorf("seccomp profile: flag %s: %w", name, ErrNotify)
		default:
			return 0, fmt.Errorf("seccomp profile: unknown flag %q", name)
		}
	}
	return flags, nil
}

func (r Runtime) lookup(name string) *syscall {
	call := lookup(name)
	if call != nil && call.young() && r.Knows != nil && !r.Knows(name) {
		return nil
	}
	return call
}

// sections groups the ABIs of a filter, the native one first.
func (r Runtime) sections(p *policy, listed []specs.Arch, native Arch) ([]*section, error) {
	archs, nativeListed, err := abis(listed, native)
	if err != nil {
		return nil, err
	}
	var out []*section
	byAudit := map[uint32]*section{}
	for _, arch := range archs {
		a, err := newABI(arch, p)
		if err != nil {
			return nil, err
		}
		if p.enosys && (arch != native || nativeListed || !r.Runc11) {
			a.last = lastOf(arch, p.named)
		}
		s := byAudit[arch.Audit()]
		if s == nil {
			s = &section{audit: arch.Audit(), fallback: p.fallback}
			byAudit[arch.Audit()] = s
			out = append(out, s)
		}
		s.abis = append(s.abis, a)
	}
	return out, nil
}

// assemble lays out the program: the architecture selects the section; what none
// covers is killed, which is libseccomp's SCMP_FLTATR_ACT_BADARCH.
func assemble(sections []*section) (*Filter, error) {
	program := make([]bpf.Instruction, 0, 640)
	program = append(program, bpf.LoadAbsolute{Off: offArch, Size: 4})
	for _, s := range sections {
		at := len(program)
		program = append(program, nil, bpf.LoadAbsolute{Off: offNr, Size: 4})
		program = search(program, s.spans())
		program = branch(program, at, bpf.JumpEqual, s.audit)
	}
	program = append(program, bpf.RetConstant{Val: unix.SECCOMP_RET_KILL_THREAD})
	if len(program) > maxProgram {
		return nil, fmt.Errorf("seccomp filter of %d instructions: the kernel takes %d", len(program), maxProgram)
	}
	return newFilter(program)
}

// search appends a binary search for the span of the number in the accumulator.
func search(program []bpf.Instruction, spans []span) []bpf.Instruction {
	if len(spans) == 1 {
		return spans[0].code(program)
	}
	half := len(spans) / 2
	at := len(program)
	program = search(append(program, nil), spans[:half])
	program = branch(program, at, bpf.JumpLessThan, spans[half].from)
	return search(program, spans[half:])
}

// branch fills the place at in the program: all that follows so far is run only if
// the accumulator passes the test.
func branch(program []bpf.Instruction, at int, test bpf.JumpTest, value uint32) []bpf.Instruction {
	n := len(program) - at - 1
	if n <= 255 {
		program[at] = bpf.JumpIf{Cond: test, Val: value, SkipFalse: uint8(n)}
		return program
	}
	// A conditional jump reaches 255 instructions, an unconditional one any.
	program[at] = bpf.JumpIf{Cond: test, Val: value, SkipTrue: 1}
	return slices.Insert(program, at+1, bpf.Instruction(bpf.Jump{Skip: uint32(n)}))
}
