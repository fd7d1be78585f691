package launch

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"dx/nsops/seccomp"
)

// The container's seccomp filter, and dx's own calls that have to come behind it.

func (c *compiler) installFilter() {
	if f := c.plan.Seccomp; f != nil {
		c.filter = c.call("install the seccomp filter", "Seccomp", "seccomp", unix.SYS_SECCOMP,
			named(unix.SECCOMP_SET_MODE_FILTER, "SECCOMP_SET_MODE_FILTER"), num(f.Flags), fprog(f))
	}
}

// fprog is struct sock_fprog: the length in the first two bytes, then the pointer.
func fprog(f *seccomp.Filter) Arg {
	prog := make([]byte, 0, 8*len(f.Program))
	for _, i := range f.Program {
		prog = binary.NativeEndian.AppendUint16(prog, i.Code)
		prog = append(prog, i.Jt, i.Jf)
		prog = binary.NativeEndian.AppendUint32(prog, i.K)
	}
	length := binary.NativeEndian.Uint64(append(binary.NativeEndian.AppendUint16(nil, uint16(len(f.Program))), make([]byte, 6)...))
	return Arg{text: fmt.Sprintf("{%d instructions}", len(f.Program)), words: []Arg{num(length), raw(prog, "")}}
}

// admit lets dx's own steps behind the filter pass it: those that a runtime makes
// before it, or has no use for. With the plan's key in the registers that the call
// does not use, a step gets through, and nobody else does: the key is one run's, and
// who reads it from the child's memory can make the same harmless call again. What
// a runtime calls under the filter as well is left to the filter's answer.
func (c *compiler) admit() seccomp.Key {
	var list []seccomp.Exception
	var names []string
	for _, s := range c.denied() {
		list = append(list, s.withKey(c.plan.FilterKey))
		if !slices.Contains(names, s.Name) {
			names = append(names, s.Name)
		}
	}
	if len(list) == 0 {
		return seccomp.Key{}
	}
	if slices.Contains(c.plan.FilterKey[:], 0) {
		c.bad("the seccomp filter denies %s, and the plan has no key for it", strings.Join(names, ", "))
	}
	f, err := c.plan.Seccomp.Except(list, c.plan.FilterKey)
	if err != nil {
		c.bad("%w", err)
		return seccomp.Key{}
	}
	c.filter.Args[2] = fprog(f)
	c.filter.Doing += ", which lets " + strings.Join(names, ", ") + " of these steps through by a key"
	return c.plan.FilterKey
}

// denied returns dx's own steps behind the filter that it would not let through.
func (c *compiler) denied() []*Step {
	if c.filter == nil {
		return nil
	}
	var list []*Step
	for _, s := range c.steps[slices.Index(c.steps, c.filter)+1:] {
		if s.own && !c.allows(s) {
			list = append(list, s)
		}
	}
	return list
}

func (c *compiler) allows(s *Step) bool {
	args := make([]uint64, len(s.Args))
	for i, a := range s.Args {
		args[i] = a.value
	}
	return c.plan.Seccomp.Allows(int(s.Nr), args...)
}

// keyed is how many of a step's arguments are its own; the key has the others.
const keyed = 3

// withKey puts the key into a step and returns what the filter has to know of it.
// Numbers are pinned; where a pointer leads is not known yet.
func (s *Step) withKey(key seccomp.Key) seccomp.Exception {
	e := seccomp.Exception{Nr: int32(s.Nr), Args: map[int]uint64{}}
	s.Args = s.Args[:min(len(s.Args), keyed)]
	for i, a := range s.Args {
		if a.isNumber() && s.Nr != unix.SYS_EXIT_GROUP { // a step that fails ends with another code
			e.Args[i] = a.value
		}
	}
	for len(s.Args) < keyed {
		s.Args = append(s.Args, num(0))
	}
	for _, k := range key {
		s.Args = append(s.Args, named(k, "KEY"))
	}
	return e
}
