package seccomp

import (
	"math"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Numbers of amd64.
const nrClone, nrSetsid = 56, 112

func denyAll(t *testing.T, names ...string) *Filter {
	t.Helper()
	f, err := Compile(&specs.LinuxSeccomp{
		DefaultAction: specs.ActAllow, Flags: []specs.LinuxSeccompFlag{specs.LinuxSeccompFlagLog},
		Syscalls: []specs.LinuxSyscall{{Names: names, Action: specs.ActKillProcess}},
	}, AMD64)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// An excepted call passes with the key and its arguments, and differs in nothing;
// one bit less is the filter's to judge.
func TestExcept(t *testing.T) {
	key := Key{0x1111111122222222, 0x3333333344444444, 0x5555555566666666}
	f := denyAll(t, "clone", "setsid")
	got, err := f.Except([]Exception{{Nr: nrClone, Args: map[int]uint64{0: 17, 1: 0, 2: 0x20000010}}, {Nr: nrSetsid}}, key)
	if err != nil {
		t.Fatal(err)
	}
	if got.Flags != f.Flags || got.Arch != f.Arch {
		t.Errorf("flags %#x and architecture %v, want %#x and %v", got.Flags, got.Arch, f.Flags, f.Arch)
	}
	clone := Data{Nr: nrClone, Arch: unix.AUDIT_ARCH_X86_64, Args: [6]uint64{17, 0, 0x20000010, key[0], key[1], key[2]}}
	setsid := Data{Nr: nrSetsid, Arch: unix.AUDIT_ARCH_X86_64, Args: [6]uint64{7, 8, 9, key[0], key[1], key[2]}}
	for _, d := range []Data{clone, setsid} {
		if a := got.Evaluate(d); a != unix.SECCOMP_RET_ALLOW {
			t.Errorf("%+v is answered %#x", d, a)
		}
	}
	flipped := []Data{}
	for arg := range 6 {
		for bit := range 64 {
			c, s := clone, setsid
			c.Args[arg] ^= 1 << bit
			s.Args[arg] ^= 1 << bit
			flipped = append(flipped, c)
			if arg > 2 { // what setsid does not look at may be anything
				flipped = append(flipped, s)
			}
		}
	}
	x32, i386 := clone, clone
	x32.Nr |= x32Bit
	i386.Arch = unix.AUDIT_ARCH_I386
	for _, d := range append(flipped, x32, i386) {
		if want, a := f.Evaluate(d), got.Evaluate(d); a != want {
			t.Errorf("%+v is answered %#x, the filter says %#x", d, a, want)
		}
	}
}

// Without the key no call of any ABI tells the two filters apart.
func TestExceptChangesNothingElse(t *testing.T) {
	var profile specs.LinuxSeccomp
	readJSON(t, "testdata/default.json", &profile)
	for _, arch := range []Arch{AMD64, ARM64} {
		f, err := Compile(&profile, arch)
		if err != nil {
			t.Fatal(err)
		}
		got, err := f.Except([]Exception{{Nr: nrClone}, {Nr: nrSetsid}, {Nr: 220, Args: map[int]uint64{0: 1}}}, Key{1, 2, math.MaxUint64})
		if err != nil {
			t.Fatal(err)
		}
		compare(t, &profile, f, got)
	}
}

func TestExceptRefusesWhatIsTooLong(t *testing.T) {
	program := make([]unix.SockFilter, maxProgram)
	for i := range program {
		program[i] = unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}
	}
	f, err := NewFilter(program, AMD64)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Except(nil, Key{}); err != nil {
		t.Errorf("nothing added: %v", err)
	}
	if _, err := f.Except([]Exception{{Nr: nrClone}}, Key{}); err == nil {
		t.Error("a program of more instructions than the kernel takes")
	}
}

func TestNewKeyIsRandom(t *testing.T) {
	a, b := NewKey(), NewKey()
	for i := range a {
		if a[i] == 0 || a[i] == b[i] {
			t.Errorf("keys %#x and %#x", a, b)
		}
	}
}
