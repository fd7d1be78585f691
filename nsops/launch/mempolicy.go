package launch

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// The kernel's modes and flags (include/uapi/linux/mempolicy.h).
var (
	policyModes = []specs.MemoryPolicyModeType{
		specs.MpolDefault, specs.MpolPreferred, specs.MpolBind, specs.MpolInterleave, specs.MpolLocal,
		specs.MpolPreferredMany, specs.MpolWeightedInterleave,
	}
	policyFlags = map[specs.MemoryPolicyFlagType]int{
		specs.MpolFStaticNodes: 1 << 15, specs.MpolFRelativeNodes: 1 << 14, specs.MpolFNumaBalancing: 1 << 13,
	}
)

// maxNodes is how many NUMA nodes a mask has room for, as runc's has (unix.CPUSet).
const maxNodes = 1024

// memoryPolicy sets the container's NUMA policy, as runc does from 1.4 on
// (libcontainer/init_linux.go, setupMemoryPolicy).
func (c *compiler) memoryPolicy() {
	p := c.plan.MemoryPolicy
	if p == nil {
		return
	}
	mode := slices.Index(policyModes, p.Mode)
	if mode < 0 {
		c.bad("unknown memory policy %q", p.Mode)
	}
	for _, name := range p.Flags {
		flag, ok := policyFlags[name]
		if !ok {
			c.bad("unknown flag %q of a memory policy", name)
		}
		mode |= flag
	}
	mask, err := nodeMask(p.Nodes)
	if err != nil {
		c.bad("nodes of the memory policy: %v", err)
	}
	text := fmt.Sprintf("{%s}", p.Nodes)
	c.call("set the memory policy", "MemoryPolicy", "set_mempolicy", unix.SYS_SET_MEMPOLICY,
		named(mode, string(p.Mode)), raw(mask, text), num(maxNodes))
}

// nodeMask makes a mask of a list such as "0-2,4".
func nodeMask(list string) ([]byte, error) {
	mask := make([]byte, maxNodes/8)
	if list == "" {
		return mask, nil
	}
	for part := range strings.SplitSeq(list, ",") {
		first, last, isRange := strings.Cut(part, "-")
		from, err := strconv.ParseUint(strings.TrimSpace(first), 10, 16)
		to := from
		if err == nil && isRange {
			to, err = strconv.ParseUint(strings.TrimSpace(last), 10, 16)
		}
		if err != nil || to < from || to >= maxNodes {
			return nil, fmt.Errorf("%q is no list of nodes", list)
		}
		for n := from; n <= to; n++ {
			at := mask[n/64*8:]
			binary.NativeEndian.PutUint64(at, binary.NativeEndian.Uint64(at)|1<<(n%64))
		}
	}
	return mask, nil
}
