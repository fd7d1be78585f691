package seccomp

import (
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Arch is a system call ABI. A kernel is amd64 or arm64; the others are the ABIs
// that those two also serve.
type Arch uint8

// The architectures, in the order of the columns of the table.
const (
	AMD64 Arch = iota
	I386
	X32
	ARM64
	ARM
	noArch
)

// x32Bit marks the numbers of the x32 ABI, which shares AUDIT_ARCH_X86_64
// (__X32_SYSCALL_BIT of Linux arch/x86/include/uapi/asm/unistd.h).
const x32Bit = 1 << 30

// NativeArch is the architecture that this program is compiled for. On others than
// amd64 and arm64 it is one that Compile refuses.
func NativeArch() Arch {
	switch runtime.GOARCH {
	case "amd64":
		return AMD64
	case "arm64":
		return ARM64
	}
	return noArch
}

func (a Arch) String() string {
	names := [...]string{"amd64", "386", "x32", "arm64", "arm"}
	if int(a) < len(names) {
		return names[a]
	}
	return runtime.GOARCH
}

// Audit is the AUDIT_ARCH_ constant that seccomp_data.arch holds.
func (a Arch) Audit() uint32 {
	switch a {
	case AMD64, X32:
		return unix.AUDIT_ARCH_X86_64
	case I386:
		return unix.AUDIT_ARCH_I386
	case ARM64:
		return unix.AUDIT_ARCH_AARCH64
	case ARM:
		return unix.AUDIT_ARCH_ARM
	}
	return 0
}

// wide reports whether the ABI passes 64-bit arguments. libseccomp compares only the low
// half of an argument on the others, x32 included.
func (a Arch) wide() bool { return a == AMD64 || a == ARM64 }

// multiplexed reports whether libseccomp rewrites socket and SysV IPC calls for
// socketcall(2) and ipc(2). ARM's EABI has neither.
func (a Arch) multiplexed() bool { return a == I386 }

// foreign are the architectures which runc takes on a little-endian machine
// although their calls cannot occur there.
var foreign = []specs.Arch{
	specs.ArchMIPSEL, specs.ArchMIPSEL64, specs.ArchMIPSEL64N32,
	specs.ArchPPC64LE, specs.ArchRISCV64, specs.ArchLOONGARCH64,
}

// abis lists the ABIs that the filter covers: the native one, which libseccomp
// always includes, then the profile's. ok is false where the profile does not list
// the native one.
func abis(listed []specs.Arch, native Arch) (out []Arch, ok bool, err error) {
	out = []Arch{native}
	for _, name := range listed {
		a, err := parseArch(name)
		if err != nil {
			return nil, false, err
		}
		ok = ok || a == native
		if a != noArch && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out, ok, nil
}

func parseArch(name specs.Arch) (Arch, error) {
	switch name {
	case specs.ArchX86_64:
		return AMD64, nil
	case specs.ArchX86:
		return I386, nil
	case specs.ArchX32:
		return X32, nil
	case specs.ArchAARCH64:
		return ARM64, nil
	case specs.ArchARM:
		return ARM, nil
	}
	if slices.Contains(foreign, name) {
		return noArch, nil
	}
	// Also the big-endian ones: libseccomp refuses to mix them with the native one.
	return noArch, fmt.Errorf("seccomp profile: architecture %q is none of this machine", name)
}

// syscall is a row of the table.
type syscall struct {
	name    string
	numbers [noArch]int32
}

// lookup finds a call by its name; nil if no architecture here has it.
func lookup(name string) *syscall {
	i, ok := slices.BinarySearchFunc(table[:], name, func(s syscall, name string) int {
		return strings.Compare(s.name, name)
	})
	if !ok {
		return nil
	}
	return &table[i]
}

// young reports whether not every libseccomp from 2.5.0 on has the call: close_range(2)
// and what the kernel got after it, and those that were later put into amd64's gap.
func (s *syscall) young() bool {
	nr := s.numbers[AMD64]
	return nr >= 436 || nr > 334 && nr < 424
}
