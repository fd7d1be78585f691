package seccomp

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

const (
	allowed = unix.SECCOMP_RET_ALLOW
	denied  = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	nosys   = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
)

// compileRules compiles rules for read(2), number 0 of amd64, with a later call
// that puts the prologue out of the way.
func compileRules(t *testing.T, rules ...specs.LinuxSyscall) *Filter {
	t.Helper()
	rules = append(rules, specs.LinuxSyscall{Names: []string{"futex_waitv"}, Action: specs.ActAllow})
	f, err := Compile(&specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: rules}, AMD64)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func readRule(action specs.LinuxSeccompAction, args ...specs.LinuxSeccompArg) specs.LinuxSyscall {
	return specs.LinuxSyscall{Names: []string{"read"}, Action: action, Args: args}
}

// TestOperators takes its values from the definition of the operators in
// seccomp_rule_add(3): unsigned, on 64 bits.
func TestOperators(t *testing.T) {
	const v = 0x1_0000_0005
	tests := []struct {
		op       specs.LinuxSeccompOperator
		two      uint64
		yes, not []uint64
	}{
		{specs.OpNotEqual, 0, []uint64{0, 5, v - 1, v + 1, 0x2_0000_0005}, []uint64{v}},
		{specs.OpLessThan, 0, []uint64{0, 6, v - 1, math.MaxUint32}, []uint64{v, v + 1, 0x2_0000_0000, math.MaxUint64}},
		{specs.OpLessEqual, 0, []uint64{0, 6, v - 1, v}, []uint64{v + 1, 0x2_0000_0000, math.MaxUint64}},
		{specs.OpEqualTo, 0, []uint64{v}, []uint64{5, 0x1_0000_0000, v + 1, 0x2_0000_0005}},
		{specs.OpGreaterEqual, 0, []uint64{v, v + 1, 0x2_0000_0000, math.MaxUint64}, []uint64{0, 6, v - 1, math.MaxUint32}},
		{specs.OpGreaterThan, 0, []uint64{v + 1, 0x2_0000_0000, math.MaxUint64}, []uint64{0, 6, v - 1, v}},
		// v is the mask: bits 0, 2 and 32. Bits of the value outside it do not count.
		{specs.OpMaskedEqual, 4, []uint64{4, 6, 0xf_fffe_0000_0004 &^ (1 << 32)}, []uint64{0, 5, v, 0x1_0000_0004}},
		{specs.OpMaskedEqual, 0x1_0000_0002, []uint64{1 << 32, 0xff_0000_0002 | 1<<32}, []uint64{0, v, 0x1_0000_0001}},
	}
	for _, tt := range tests {
		f := compileRules(t, readRule(specs.ActAllow, specs.LinuxSeccompArg{Index: 3, Op: tt.op, Value: v, ValueTwo: tt.two}))
		for _, arg := range tt.yes {
			if !f.Allows(unix.SYS_READ, 0, 0, 0, arg) {
				t.Errorf("%s %#x %#x: %#x does not match", tt.op, uint64(v), tt.two, arg)
			}
		}
		for _, arg := range tt.not {
			if f.Allows(unix.SYS_READ, 0, 0, 0, arg) {
				t.Errorf("%s %#x %#x: %#x matches", tt.op, uint64(v), tt.two, arg)
			}
		}
	}
}

// TestCombinations has what libseccomp's programs for such rules answer.
func TestCombinations(t *testing.T) {
	eq := func(index uint, value uint64) specs.LinuxSeccompArg {
		return specs.LinuxSeccompArg{Index: index, Op: specs.OpEqualTo, Value: value}
	}
	ge := specs.LinuxSeccompArg{Index: 0, Op: specs.OpGreaterEqual, Value: 1}
	bit := func(mask uint64) specs.LinuxSeccompArg {
		return specs.LinuxSeccompArg{Index: 0, Op: specs.OpMaskedEqual, Value: mask, ValueTwo: mask}
	}
	tests := []struct {
		name  string
		rules []specs.LinuxSyscall
		args  []uint64
		want  uint32
	}{
		{"all conditions hold", []specs.LinuxSyscall{readRule(specs.ActAllow, eq(0, 1), eq(2, 3))}, []uint64{1, 0, 3}, allowed},
		{"one does not", []specs.LinuxSyscall{readRule(specs.ActAllow, eq(0, 1), eq(2, 3))}, []uint64{1, 0, 4}, denied},
		{"conditions on one argument are alternatives", []specs.LinuxSyscall{readRule(specs.ActAllow, eq(0, 1), eq(0, 2), eq(1, 9))}, []uint64{2, 0}, allowed},
		{"also those on others beside them", []specs.LinuxSyscall{readRule(specs.ActAllow, eq(0, 1), eq(0, 2), eq(1, 9))}, []uint64{0, 9}, allowed},
		{"rules are alternatives", []specs.LinuxSyscall{readRule(specs.ActAllow, eq(0, 1)), readRule(specs.ActAllow, eq(1, 2))}, []uint64{0, 2}, allowed},
		{"a rule without conditions prevails", []specs.LinuxSyscall{readRule(specs.ActTrap, eq(0, 1)), readRule(specs.ActAllow)}, []uint64{1}, allowed},
		{"of those the first", []specs.LinuxSyscall{readRule(specs.ActAllow), readRule(specs.ActTrap)}, nil, allowed},
		{"the default action does not count as a rule", []specs.LinuxSyscall{readRule(specs.ActErrno), readRule(specs.ActAllow)}, nil, allowed},
		{"equality before range", []specs.LinuxSyscall{readRule(specs.ActTrap, ge), readRule(specs.ActAllow, eq(0, 5))}, []uint64{5}, allowed},
		{"the narrower range", []specs.LinuxSyscall{readRule(specs.ActTrap, ge), readRule(specs.ActAllow, specs.LinuxSeccompArg{Op: specs.OpGreaterEqual, Value: 5})}, []uint64{7}, allowed},
		{"masks together", []specs.LinuxSyscall{readRule(specs.ActTrap, bit(16)), readRule(specs.ActLog, eq(0, 5)), readRule(specs.ActAllow, bit(4))}, []uint64{5}, allowed},
		{"higher arguments first", []specs.LinuxSyscall{readRule(specs.ActTrap, eq(0, 1)), readRule(specs.ActAllow, eq(1, 1))}, []uint64{1, 1}, allowed},
		{"the shorter of two rules", []specs.LinuxSyscall{readRule(specs.ActAllow, eq(0, 1)), readRule(specs.ActTrap, eq(0, 1), eq(1, 1))}, []uint64{1, 1}, allowed},
	}
	for _, tt := range tests {
		d := Data{Nr: unix.SYS_READ, Arch: unix.AUDIT_ARCH_X86_64}
		copy(d.Args[:], tt.args)
		if got := compileRules(t, tt.rules...).Evaluate(d); got != tt.want {
			t.Errorf("%s: %#x, want %#x", tt.name, got, tt.want)
		}
	}
}

func TestPrologue(t *testing.T) {
	profile := func(action specs.LinuxSeccompAction, archs ...specs.Arch) *specs.LinuxSeccomp {
		return &specs.LinuxSeccomp{DefaultAction: action, Architectures: archs, Syscalls: []specs.LinuxSyscall{
			{Names: []string{"getpid", "openat2", "futex_waitv"}, Action: specs.ActTrap},
		}}
	}
	old := func(name string) bool { return name == "openat2" }
	tests := []struct {
		name    string
		runtime Runtime
		profile *specs.LinuxSeccomp
		nr      int32
		want    uint32
	}{
		{"younger than the profile", Runtime{}, profile(specs.ActErrno), 450, nosys},
		{"the youngest of the profile", Runtime{}, profile(specs.ActErrno), 449, unix.SECCOMP_RET_TRAP},
		{"as old as it", Runtime{}, profile(specs.ActErrno), 448, denied},
		{"unknown to libseccomp", Runtime{Knows: old}, profile(specs.ActErrno), 449, nosys},
		{"older than what is known", Runtime{Knows: old}, profile(specs.ActErrno), 436, denied},
		{"default action kill", Runtime{}, profile(specs.ActKillProcess), 450, nosys},
		{"default action allow", Runtime{}, profile(specs.ActAllow), 450, allowed},
		{"default action log", Runtime{}, profile(specs.ActLog), 450, unix.SECCOMP_RET_LOG},
		{"native architecture unlisted", Runtime{Runc11: true}, profile(specs.ActErrno), 450, denied},
		{"native architecture listed", Runtime{Runc11: true}, profile(specs.ActErrno, specs.ArchX86_64), 450, nosys},
		{"x32 number without x32", Runtime{}, profile(specs.ActErrno), 450 | x32Bit, unix.SECCOMP_RET_KILL_THREAD},
		{"x32 number with x32", Runtime{}, profile(specs.ActErrno, specs.ArchX32), 450 | x32Bit, nosys},
	}
	for _, tt := range tests {
		f, err := tt.runtime.Compile(tt.profile, AMD64)
		if err != nil {
			t.Fatal(err)
		}
		if got := f.Evaluate(Data{Nr: tt.nr, Arch: unix.AUDIT_ARCH_X86_64}); got != tt.want {
			t.Errorf("%s: %#x, want %#x", tt.name, got, tt.want)
		}
	}
}

// TestPrologueMultiplexed: for libseccomp a multiplexed call has no number on i386
// (seccomp_syscall_resolve_name_arch gives -101 for socket), so that runc counts
// only the other one.
func TestPrologueMultiplexed(t *testing.T) {
	f, err := Compile(&specs.LinuxSeccomp{
		DefaultAction: specs.ActErrno,
		Architectures: []specs.Arch{specs.ArchX86},
		Syscalls:      []specs.LinuxSyscall{allow("fork", "socket")},
	}, AMD64)
	if err != nil {
		t.Fatal(err)
	}
	for nr, want := range map[int32]uint32{2: allowed, 3: nosys, nrSocketcall: nosys, 359: nosys} {
		if got := f.Evaluate(Data{Nr: nr, Arch: unix.AUDIT_ARCH_I386, Args: [6]uint64{1}}); got != want {
			t.Errorf("number %d: %#x, want %#x", nr, got, want)
		}
	}
}

// TestBranch has a branch over as many instructions as a short jump reaches, and
// over one less and one more.
func TestBranch(t *testing.T) {
	for n := 254; n <= 257; n++ {
		program := append([]bpf.Instruction{bpf.LoadAbsolute{Off: offNr, Size: 4}, nil}, repeat(bpf.Instruction(bpf.RetConstant{Val: 1}), n)...)
		program = branch(program, 1, bpf.JumpEqual, 7)
		f, err := newFilter(append(program, bpf.RetConstant{Val: 2}))
		if err != nil {
			t.Fatal(err)
		}
		if yes, no := f.Evaluate(Data{Nr: 7}), f.Evaluate(Data{Nr: 8}); yes != 1 || no != 2 {
			t.Errorf("over %d instructions: %d if equal, %d if not", n, yes, no)
		}
	}
}

func TestFlags(t *testing.T) {
	f, err := Compile(&specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Flags: []specs.LinuxSeccompFlag{
		"SECCOMP_FILTER_FLAG_TSYNC", specs.LinuxSeccompFlagLog, specs.LinuxSeccompFlagSpecAllow,
	}}, AMD64)
	if err != nil || f.Flags != unix.SECCOMP_FILTER_FLAG_LOG|unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW {
		t.Errorf("flags %#x, error %v", f.Flags, err)
	}
}

func TestNoProfile(t *testing.T) {
	for _, p := range []*specs.LinuxSeccomp{nil, {}} {
		f, err := Compile(p, AMD64)
		if f != nil || err != nil || !f.Allows(unix.SYS_READ) {
			t.Errorf("%v: filter %v, error %v", p, f, err)
		}
	}
}

// TestRefused has the profiles with which runc starts no container.
func TestRefused(t *testing.T) {
	with := func(rules ...specs.LinuxSyscall) specs.LinuxSeccomp {
		return specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: rules}
	}
	big := uint(4095)
	eq := specs.LinuxSeccompArg{Op: specs.OpEqualTo}
	tests := []struct {
		profile specs.LinuxSeccomp
		arch    Arch
		want    string
	}{
		{with(readRule("SCMP_ACT_X")), AMD64, `syscalls[0]: unknown action "SCMP_ACT_X"`},
		{with(readRule(specs.ActAllow, specs.LinuxSeccompArg{Op: "SCMP_CMP_X"})), AMD64, `unknown operator "SCMP_CMP_X"`},
		{with(readRule(specs.ActAllow, specs.LinuxSeccompArg{Index: 6, Op: specs.OpEqualTo})), AMD64, "argument 6"},
		{with(specs.LinuxSyscall{Names: []string{""}, Action: specs.ActAllow}), AMD64, "without a name"},
		{with(readRule(specs.ActAllow, eq), readRule(specs.ActTrap, eq)), AMD64, "system call 0 of amd64: two rules with the same conditions"},
		{with(readRule(specs.ActNotify)), AMD64, "needs a seccomp listener"},
		{specs.LinuxSeccomp{DefaultAction: specs.ActErrno, DefaultErrnoRet: &big}, AMD64, "errno 4095"},
		{specs.LinuxSeccomp{DefaultAction: "SCMP_ACT_X"}, AMD64, "default action"},
		{specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: []specs.Arch{specs.ArchS390X}}, AMD64, `architecture "SCMP_ARCH_S390X"`},
		{specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Flags: []specs.LinuxSeccompFlag{"X"}}, AMD64, `unknown flag "X"`},
		{specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Flags: []specs.LinuxSeccompFlag{specs.LinuxSeccompFlagWaitKillableRecv}}, AMD64, "listener"},
		{specs.LinuxSeccomp{DefaultAction: specs.ActAllow}, I386, "386 kernels"},
		{with(repeat(readRule(specs.ActAllow), maxRules+1)...), AMD64, "more than 16384 rules"},
		{with(readRule(specs.ActAllow, repeat(eq, maxRules+1)...)), AMD64, "more than 16384 rules"},
	}
	for _, tt := range tests {
		f, err := Compile(&tt.profile, tt.arch)
		if err == nil || f != nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error %v, want %q", err, tt.want)
		}
	}
	_, err := Compile(&specs.LinuxSeccomp{DefaultAction: specs.ActNotify}, AMD64)
	if !errors.Is(err, ErrNotify) {
		t.Errorf("error %v, want ErrNotify", err)
	}
}

func repeat[T any](s T, n int) []T {
	out := make([]T, n)
	for i := range out {
		out[i] = s
	}
	return out
}

// TestLong has more rules than short jumps reach over, and more than a program holds.
func TestLong(t *testing.T) {
	masks := func(n int) []specs.LinuxSyscall {
		var out []specs.LinuxSyscall
		for i := range n {
			out = append(out, readRule(specs.ActAllow, specs.LinuxSeccompArg{Op: specs.OpMaskedEqual, Value: 0xffff, ValueTwo: uint64(3 * i)}))
		}
		return out
	}
	f := compileRules(t, masks(500)...)
	for i := range uint64(1500) {
		if got := f.Allows(unix.SYS_READ, 0xabc0000|i); got != (i%3 == 0) {
			t.Errorf("argument %d: allowed %v", i, got)
		}
	}
	if !f.Allows(449) || f.Allows(448) {
		t.Error("the rules behind the long one are not reached")
	}
	_, err := Compile(&specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: masks(2000)}, AMD64)
	if err == nil || !strings.Contains(err.Error(), "the kernel takes 4096") {
		t.Errorf("error %v for 2000 rules", err)
	}
}
