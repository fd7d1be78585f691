package launch

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"dx/nsops/seccomp"
)

// The container's seccomp filters, and dx's own calls that have to come behind them.

// install is a step that installs a filter.
type install struct {
	*Step
	filter *seccomp.Filter

	// trusted filters are of a runtime's profile. Any other may answer to a call as its
	// maker likes, also by where the call comes from and where its pointers lead.
	trusted bool
}

func (c *compiler) installFilters() {
	for _, f := range c.plan.Filters {
		c.installFilter(f, false)
	}
	if f := c.plan.Seccomp; f != nil {
		c.installFilter(f, true)
	}
}

func (c *compiler) installFilter(f *seccomp.Filter, trusted bool) {
	s := c.call("install the seccomp filter", "Seccomp", "seccomp", unix.SYS_SECCOMP,
		named(unix.SECCOMP_SET_MODE_FILTER, "SECCOMP_SET_MODE_FILTER"), num(f.Flags), fprog(f))
	s.own = len(c.installs) > 0 // the one before may be meant to be the last
	c.installs = append(c.installs, install{Step: s, filter: f, trusted: trusted})
}

// permits reports whether the filters let a call through, whatever its arguments.
func (c *compiler) permits(nr int) bool {
	return c.plan.Filters.Allows(nr) && c.plan.Seccomp.Allows(nr)
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

// admit lets dx's own steps behind the filters pass them: those that a runtime makes
// before them, or has no use for. With the plan's key in the registers that the call
// does not use, a step gets through, and nobody else does: the key is one run's, and
// who reads it from the child's memory can make the same harmless call again. What
// a runtime calls under the filter as well is left to the filter's answer.
func (c *compiler) admit() seccomp.Key {
	var key seccomp.Key
	for _, i := range c.installs {
		if list := c.behind(i); len(list) > 0 {
			c.except(i, list)
			key = c.plan.FilterKey
		}
	}
	return key
}

// except installs the filter with a prefix that lets steps through.
func (c *compiler) except(i install, steps []*Step) {
	var list []seccomp.Exception
	var names []string
	for _, s := range steps {
		e := s.withKey(c.plan.FilterKey)
		if !slices.ContainsFunc(list, e.Equal) {
			list = append(list, e)
		}
		if !slices.Contains(names, s.Name) {
			names = append(names, s.Name)
		}
	}
	if slices.Contains(c.plan.FilterKey[:], 0) {
		c.bad("the seccomp filter denies %s, and the plan has no key for it", strings.Join(names, ", "))
	}
	f, err := i.filter.Except(list, c.plan.FilterKey)
	if err != nil {
		c.bad("%w", err)
		return
	}
	i.Args[2] = fprog(f)
	i.Doing += ", which lets " + strings.Join(names, ", ") + " of these steps through by a key"
}

// behind returns dx's own steps behind a filter for which it needs an exception:
// those that it would not let through, or all if it may say one thing and do another.
func (c *compiler) behind(i install) []*Step {
	var list []*Step
	for _, s := range c.steps[slices.Index(c.steps, i.Step)+1:] {
		if s.own && (!i.trusted || !i.filter.Allows(int(s.Nr), s.values()...)) {
			list = append(list, s)
		}
	}
	return list
}

func (s *Step) values() []uint64 {
	args := make([]uint64, len(s.Args))
	for i, a := range s.Args {
		args[i] = a.value
	}
	return args
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
