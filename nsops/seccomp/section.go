package seccomp

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"golang.org/x/sys/unix"
)

// multiplexer numbers of i386 (Linux arch/x86/entry/syscalls/syscall_32.tbl).
const (
	nrSocketcall = 102
	nrIPC        = 117
)

// sockets are the calls of socketcall(2), from 1 on (SYS_… of Linux linux/net.h).
var sockets = []string{
	"socket", "bind", "connect", "listen", "accept", "getsockname", "getpeername",
	"socketpair", "send", "recv", "sendto", "recvfrom", "shutdown", "setsockopt",
	"getsockopt", "sendmsg", "recvmsg", "accept4", "recvmmsg", "sendmmsg",
}

// ipcs are the calls of ipc(2) (Linux linux/ipc.h), each with its number.
var ipcs = [...]struct {
	name string
	call uint64
}{
	{"semop", 1}, {"semget", 2}, {"semctl", 3}, {"semtimedop", 4},
	{"msgsnd", 11}, {"msgrcv", 12}, {"msgget", 13}, {"msgctl", 14},
	{"shmat", 21}, {"shmdt", 22}, {"shmget", 23}, {"shmctl", 24},
}

// multiplexed returns the number of the multiplexer of a call, and which of its
// calls it is; 0 if there is none.
func (s *syscall) multiplexed() (nr uint32, call uint64) {
	if i := slices.Index(sockets, s.name); i >= 0 {
		return nrSocketcall, uint64(i) + 1
	}
	for _, c := range ipcs {
		if c.name == s.name {
			return nrIPC, c.call
		}
	}
	return 0, 0
}

// section is the part of the filter for one value of seccomp_data.arch: a function
// from numbers to answers. amd64 and x32 share one.
type section struct {
	audit    uint32
	fallback uint32
	abis     []*abi
}

// abi is what the profile says about one ABI.
type abi struct {
	arch  Arch
	rules []numbered // ascending by number
	last  uint32     // greatest number for which runc's prologue lets through; 0: no prologue
}

type numbered struct {
	nr uint32
	choice
}

// newABI resolves the rules for an ABI.
func newABI(arch Arch, p *policy) (*abi, error) {
	order := candidates(arch, p.rules)
	out := &abi{arch: arch, rules: make([]numbered, 0, len(order))}
	var same []*alternative
	for i, key := range order {
		nr := uint32(key >> 32)
		same = append(same, p.rules[uint32(key)].on(nr, arch))
		if i+1 < len(order) && uint32(order[i+1]>>32) == nr {
			continue
		}
		c, err := decide(same, arch.wide(), p.fallback)
		if err != nil {
			return nil, fmt.Errorf("seccomp profile: system call %d of %s: %w", nr, arch, err)
		}
		out.rules = append(out.rules, numbered{nr, c})
		same = same[:0]
	}
	return out, nil
}

// candidates are the keys of the rules that concern an ABI, sorted: the number
// above, the place in the profile below.
func candidates(arch Arch, rules []rule) []uint64 {
	room := len(rules)
	if arch.multiplexed() {
		room += len(sockets) + len(ipcs)
	}
	order := make([]uint64, 0, room)
	for i, r := range rules {
		if nr := r.call.numbers[arch]; nr >= 0 {
			order = append(order, uint64(nr)<<32|uint64(i))
		}
		if !arch.multiplexed() {
			continue
		}
		if nr, _ := r.call.multiplexed(); nr != 0 {
			order = append(order, uint64(nr)<<32|uint64(i))
		}
	}
	slices.Sort(order)
	return order
}

// on is what the rule says when its call is made by a number. libseccomp
// (abi_rule_add) puts the number that a multiplexer takes for the call in the place
// of a condition on argument 0 and keeps those on the others, although they are
// then about other values: the arguments of the call lie in memory.
func (r rule) on(nr uint32, arch Arch) *alternative {
	if r.call.numbers[arch] == int32(nr) {
		return r.alternative
	}
	_, call := r.call.multiplexed()
	conds := []cond{{arg: 0, op: equal, mask: math.MaxUint64, value: call}}
	for _, c := range r.conds {
		if c.arg != 0 {
			conds = append(conds, c)
		}
	}
	return &alternative{r.answer, conds}
}

// find returns the rule for a number.
func (a *abi) find(nr uint32) (choice, bool) {
	i, ok := slices.BinarySearchFunc(a.rules, nr, func(n numbered, nr uint32) int { return cmp.Compare(n.nr, nr) })
	if !ok {
		return choice{}, false
	}
	return a.rules[i].choice, true
}

// lastOf is the greatest number on an architecture of all calls that the profile
// names, whatever it says of them (findLastSyscalls of runc's patchbpf). For
// libseccomp a multiplexed call has no number of its own there.
func lastOf(arch Arch, named []*syscall) uint32 {
	last := int32(0)
	for _, call := range named {
		if nr := call.numbers[arch]; nr > last {
			if m, _ := call.multiplexed(); m == 0 || !arch.multiplexed() {
				last = nr
			}
		}
	}
	return uint32(last)
}

// abi picks the ABI of a number; nil if the filter does not cover it.
func (s *section) abi(nr uint32) *abi {
	for _, a := range s.abis {
		if (a.arch == X32) == (nr&x32Bit != 0) || a.arch.Audit() != unix.AUDIT_ARCH_X86_64 {
			return a
		}
	}
	return nil
}

// choose is the answer to a number.
func (s *section) choose(nr uint32) choice {
	if a := s.abi(nr); a != nil {
		if a.last != 0 && nr > a.last {
			return choice{answer: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)}
		}
		if c, ok := a.find(nr); ok {
			return c
		}
	}
	if s.alien(nr) {
		return choice{answer: unix.SECCOMP_RET_KILL_THREAD}
	}
	return choice{answer: s.fallback}
}

// alien reports whether libseccomp takes the number for one of another architecture
// (_gen_bpf_arch of its gen_bpf.c): x32's, if only amd64 is covered, and the other
// way round. A tracer's -1, which skips the call, is let through to the default.
func (s *section) alien(nr uint32) bool {
	if s.audit != unix.AUDIT_ARCH_X86_64 || len(s.abis) > 1 {
		return false
	}
	if s.abis[0].arch == X32 {
		return nr < x32Bit
	}
	return nr >= x32Bit && nr != math.MaxUint32
}

// span is a range of numbers with one answer, up to the next span.
type span struct {
	from uint32
	choice
}

// spans cuts all numbers into spans. An answer can change only at the bounds that
// rules, prologue and ABIs set.
func (s *section) spans() []span {
	room := 5
	for _, a := range s.abis {
		room += 2*len(a.rules) + 1
	}
	bounds := append(make([]uint32, 0, room), 0, x32Bit, 2*x32Bit, 3*x32Bit, math.MaxUint32)
	for _, a := range s.abis {
		for _, r := range a.rules {
			bounds = append(bounds, r.nr, r.nr+1)
		}
		bounds = append(bounds, a.last+1)
	}
	slices.Sort(bounds)
	out := make([]span, 0, 256)
	for _, from := range slices.Compact(bounds) {
		if c := s.choose(from); len(out) == 0 || !out[len(out)-1].equal(c) {
			out = append(out, span{from, c})
		}
	}
	return out
}
