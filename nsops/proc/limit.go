package proc

import (
	"math"
	"strconv"
)

// Limit is an upper bound as the kernel has it.
type Limit uint64

// Unlimited is no bound: RLIM_INFINITY, a cgroup's "max". In JSON it is null.
const Unlimited Limit = math.MaxUint64

func (l Limit) String() string {
	if l == Unlimited {
		return "unlimited"
	}
	return strconv.FormatUint(uint64(l), 10)
}

// MarshalJSON writes a number, or null.
func (l Limit) MarshalJSON() ([]byte, error) {
	if l == Unlimited {
		return []byte("null"), nil
	}
	return []byte(l.String()), nil
}
