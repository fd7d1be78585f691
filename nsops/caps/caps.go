// Package caps spells capabilities: the kernel's numbers and masks as the names that
// capabilities(7), the OCI specification and docker use, and back. What a process
// has belongs to proc.Status, what it is given to launch.
package caps

import (
	"os"
	"strconv"
	"strings"

	"github.com/moby/sys/capability"
)

// bits is how many capabilities the kernel's masks have room for.
const bits = 64

// Name is the name of a capability: CAP_SYS_ADMIN of 21. One that is newer than dx is
// named by its number, CAP_41, as the kernel's own programs do.
func Name(n int) string {
	for _, k := range capability.ListKnown() {
		if int(k) == n {
			return "CAP_" + strings.ToUpper(k.String())
		}
	}
	return "CAP_" + strconv.Itoa(n)
}

// Number is the reverse; the prefix may be missing and case does not matter.
func Number(name string) (int, bool) {
	short := strings.TrimPrefix(strings.ToLower(name), "cap_")
	for _, k := range capability.ListKnown() {
		if k.String() == short {
			return int(k), true
		}
	}
	n, err := strconv.ParseUint(short, 10, 8)
	return int(n), err == nil && n < bits
}

// Names gives the names of a mask, in the order of their numbers.
func Names(mask uint64) []string {
	var out []string
	for n := range bits {
		if mask&(1<<n) != 0 {
			out = append(out, Name(n))
		}
	}
	return out
}

// Mask is the reverse of Names. Names that are none are left out, as docker's
// runtimes ignore capabilities that they do not know.
func Mask(names []string) uint64 {
	var mask uint64
	for _, name := range names {
		if n, ok := Number(name); ok {
			mask |= 1 << n
		}
	}
	return mask
}

// Supported is the mask of the capabilities that this kernel has
// (/proc/sys/kernel/cap_last_cap); all bits where that cannot be read.
func Supported() uint64 {
	b, err := os.ReadFile("/proc/sys/kernel/cap_last_cap")
	last, errNumber := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || errNumber != nil || last < 0 || last >= bits-1 {
		return ^uint64(0)
	}
	return 1<<(last+1) - 1
}
