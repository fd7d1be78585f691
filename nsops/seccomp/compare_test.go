package seccomp

import (
	"math"
	"math/rand"
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// compare evaluates two filters for all calls that can tell them apart: every
// number on every architecture, and for calls with conditions the values around
// those that the profile names.
func compare(t *testing.T, profile *specs.LinuxSeccomp, want, got *Filter) {
	t.Helper()
	samples := newSamples(profile)
	failures := 0
	for _, audit := range []uint32{unix.AUDIT_ARCH_X86_64, unix.AUDIT_ARCH_I386, unix.AUDIT_ARCH_AARCH64, unix.AUDIT_ARCH_ARM, unix.AUDIT_ARCH_S390X, 0} {
		for _, nr := range allNumbers() {
			for _, args := range samples.of(nr) {
				d := Data{Nr: int32(nr), Arch: audit, Args: args}
				if w, g := want.Evaluate(d), got.Evaluate(d); w != g && failures < 20 {
					failures++
					t.Errorf("arch %#x, number %d, arguments %#x: %#x, want %#x", audit, int32(nr), args, g, w)
				}
			}
		}
	}
}

// allNumbers are those of all calls, with a margin, in both halves of the amd64
// table, and the bounds of what filters tell apart.
func allNumbers() []uint32 {
	var out []uint32
	for nr := uint32(0); nr < 650; nr++ {
		out = append(out, nr, nr|x32Bit, nr|2*x32Bit, nr|3*x32Bit)
	}
	for nr := uint32(0xf0000); nr < 0xf0010; nr++ {
		out = append(out, nr) // ARM's own
	}
	for _, bound := range []uint32{0, x32Bit, 2 * x32Bit, 3 * x32Bit} {
		out = append(out, bound-2, bound-1)
	}
	return out
}

// samples are argument lists, by number.
type samples struct {
	plain [][6]uint64
	rich  map[uint32][][6]uint64
}

func newSamples(profile *specs.LinuxSeccomp) *samples {
	s := &samples{
		plain: [][6]uint64{{}, {1, 2, 3, 4, 5, 6}, {math.MaxUint64, math.MaxUint64, math.MaxUint64, math.MaxUint64, math.MaxUint64, math.MaxUint64}},
		rich:  map[uint32][][6]uint64{},
	}
	for _, rule := range profile.Syscalls {
		for _, name := range rule.Names {
			if call := lookup(name); call != nil {
				s.add(call, rule.Args)
			}
		}
	}
	return s
}

func (s *samples) add(call *syscall, args []specs.LinuxSeccompArg) {
	var numbers []uint32
	for arch := AMD64; arch < noArch; arch++ {
		if nr := call.numbers[arch]; nr >= 0 && len(args) > 0 {
			numbers = append(numbers, uint32(nr))
		}
	}
	if nr, op := call.multiplexed(); nr != 0 {
		args = append([]specs.LinuxSeccompArg{{Index: 0, Value: op}}, args...)
		numbers = append(numbers, nr)
	}
	for _, nr := range numbers {
		s.rich[nr] = append(s.rich[nr], around(args)...)
	}
}

func (s *samples) of(nr uint32) [][6]uint64 {
	out := append(slices.Clip(s.plain), s.rich[nr]...)
	if nr == nrSocketcall || nr == nrIPC {
		for call := range uint64(40) {
			out = append(out, [6]uint64{call})
		}
	}
	return out
}

// around lists arguments near the values of conditions: at each value, below and
// above it, with and without its high half, combined by a seeded generator.
func around(args []specs.LinuxSeccompArg) [][6]uint64 {
	random := rand.New(rand.NewSource(int64(len(args))))
	near := [6][]uint64{}
	for i := range near {
		near[i] = []uint64{0, 1, math.MaxUint32, math.MaxUint64}
	}
	for _, a := range args {
		for _, v := range []uint64{a.Value, a.ValueTwo, a.Value | a.ValueTwo, a.ValueTwo &^ a.Value, ^a.Value, ^a.Value | a.ValueTwo} {
			near[a.Index] = append(near[a.Index], v, v-1, v+1, v&math.MaxUint32, v|1<<32, v|1<<63, v>>32<<32)
		}
	}
	var out [][6]uint64
	for range 60 * len(args) {
		var list [6]uint64
		for i := range list {
			list[i] = near[i][random.Intn(len(near[i]))]
		}
		for _, a := range args { // often all conditions but one are met
			if random.Intn(3) > 0 {
				list[a.Index] = []uint64{a.Value, a.ValueTwo}[random.Intn(2)]
			}
		}
		out = append(out, list)
	}
	return out
}
