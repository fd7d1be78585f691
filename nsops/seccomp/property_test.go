package seccomp

import (
	"encoding/json"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestMeaning evaluates random rules by their definition in seccomp_rule_add(3):
// the answer is that of a rule all of whose conditions hold, or the default.
func TestMeaning(t *testing.T) {
	random := rand.New(rand.NewSource(1))
	for range 2000 {
		profile := randomProfile(random)
		f, err := Compile(profile, AMD64)
		if err != nil {
			continue // contradictory rules
		}
		for range 50 {
			d := Data{Nr: unix.SYS_READ, Arch: unix.AUDIT_ARCH_X86_64}
			for i := range d.Args {
				d.Args[i] = randomValue(random) + uint64(random.Intn(3)) - 1
			}
			want := answers(profile, d.Args)
			if got := f.Evaluate(d); !slices.Contains(want, got) {
				t.Fatalf("%+v\narguments %#x: %#x, want one of %#x", profile.Syscalls, d.Args, got, want)
			}
		}
	}
}

func randomValue(random *rand.Rand) uint64 {
	values := []uint64{0, 1, 5, 0xf0, 0xffffffff, 1 << 32, 1<<32 + 1, 1<<32 + 5, 1 << 33, 0xffffffff << 32, 1<<64 - 1}
	return values[random.Intn(len(values))]
}

func randomProfile(random *rand.Rand) *specs.LinuxSeccomp {
	ops := []specs.LinuxSeccompOperator{
		specs.OpNotEqual, specs.OpLessThan, specs.OpLessEqual, specs.OpEqualTo,
		specs.OpGreaterEqual, specs.OpGreaterThan, specs.OpMaskedEqual,
	}
	actions := []specs.LinuxSeccompAction{specs.ActAllow, specs.ActAllow, specs.ActTrap}
	p := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{allow("futex_waitv")}}
	for range 1 + random.Intn(5) {
		rule := specs.LinuxSyscall{Names: []string{"read"}, Action: actions[random.Intn(len(actions))]}
		for _, index := range random.Perm(6)[:1+random.Intn(3)] {
			rule.Args = append(rule.Args, specs.LinuxSeccompArg{
				Index: uint(index), Op: ops[random.Intn(len(ops))], Value: randomValue(random), ValueTwo: randomValue(random),
			})
		}
		p.Syscalls = append(p.Syscalls, rule)
	}
	return p
}

// answers lists what the profile may answer to read(2).
func answers(p *specs.LinuxSeccomp, args [6]uint64) []uint32 {
	var out []uint32
	for _, rule := range p.Syscalls {
		holds := rule.Names[0] == "read"
		for _, a := range rule.Args {
			holds = holds && defined(a, args[a.Index])
		}
		if holds {
			answer, _ := parseAction(rule.Action, nil)
			out = append(out, answer)
		}
	}
	if out == nil {
		return []uint32{denied}
	}
	return out
}

func defined(a specs.LinuxSeccompArg, arg uint64) bool {
	switch a.Op {
	case specs.OpNotEqual:
		return arg != a.Value
	case specs.OpLessThan:
		return arg < a.Value
	case specs.OpLessEqual:
		return arg <= a.Value
	case specs.OpEqualTo:
		return arg == a.Value
	case specs.OpGreaterEqual:
		return arg >= a.Value
	case specs.OpGreaterThan:
		return arg > a.Value
	}
	return arg&a.Value == a.ValueTwo&a.Value
}

// FuzzCompile feeds any profile: Compile must not panic, and what it accepts must
// be a program for the kernel which answers nothing that the profile does not say.
func FuzzCompile(f *testing.F) {
	seeds, err := filepath.Glob("testdata/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range seeds {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, int32(1), uint64(2))
	}
	f.Fuzz(func(t *testing.T, b []byte, nr int32, arg uint64) {
		var profile specs.LinuxSeccomp
		if len(b) > 1<<16 || json.Unmarshal(b, &profile) != nil {
			t.Skip()
		}
		for _, arch := range []Arch{AMD64, ARM64} {
			filter, err := Compile(&profile, arch)
			if err != nil || filter == nil {
				continue
			}
			if n := len(filter.Program); n == 0 || n > maxProgram {
				t.Fatalf("%d instructions", n)
			}
			got := filter.Evaluate(Data{Nr: nr, Arch: arch.Audit(), Args: [6]uint64{arg, arg, arg, arg, arg, arg}})
			if !slices.Contains(possible(&profile), got) {
				t.Fatalf("number %d: %#x, which is no answer of the profile", nr, got)
			}
		}
	})
}

func possible(p *specs.LinuxSeccomp) []uint32 {
	fallback, _ := parseAction(p.DefaultAction, p.DefaultErrnoRet)
	out := []uint32{fallback, nosys, unix.SECCOMP_RET_KILL_THREAD}
	for _, s := range p.Syscalls {
		answer, _ := parseAction(s.Action, s.ErrnoRet)
		out = append(out, answer)
	}
	return out
}
