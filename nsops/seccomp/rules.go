package seccomp

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// ErrNotify says that the profile asks for SCMP_ACT_NOTIFY. Such a filter needs a
// supervisor that holds its listener, which a process joining later has none of.
var ErrNotify = errors.New("SCMP_ACT_NOTIFY needs a seccomp listener")

// maxRules bounds the rules (names times alternatives) of a profile. Docker's default
// profile has 400 of them.
const maxRules = 1 << 14

// maxErrno is MAX_ERRNO of libseccomp, the first value that it refuses.
const maxErrno = 4095

// rule is one action for one call. Several rules for one call are alternatives.
type rule struct {
	call *syscall
	*alternative
}

// alternative is what a rule says: an answer, if all its conditions hold.
type alternative struct {
	answer uint32 // SECCOMP_RET_ action and data
	conds  []cond // ascending by argument, one an argument at the most
}

// policy is a profile in the terms of this package.
type policy struct {
	fallback uint32 // the answer to calls that no rule matches
	enosys   bool   // the default action is one for which runc adds its prologue
	rules    []rule // in the order of the profile
	named    []*syscall
}

// parse reads the rules of a profile as runc does: specconv.SetupSeccomp, then
// InitSeccomp and matchCall of libcontainer/seccomp/seccomp_linux.go.
func (r Runtime) parse(profile *specs.LinuxSeccomp) (*policy, error) {
	fallback, err := parseAction(profile.DefaultAction, profile.DefaultErrnoRet)
	if err != nil {
		return nil, fmt.Errorf("seccomp profile: default action: %w", err)
	}
	p := &policy{fallback: fallback}
	switch fallback & unix.SECCOMP_RET_ACTION_FULL {
	case unix.SECCOMP_RET_ALLOW, unix.SECCOMP_RET_LOG, unix.SECCOMP_RET_TRACE:
	default:
		p.enosys = true
	}
	for i := range profile.Syscalls {
		if err := p.add(&profile.Syscalls[i], r); err != nil {
			return nil, fmt.Errorf("seccomp profile: syscalls[%d]: %w", i, err)
		}
	}
	return p, nil
}

func (p *policy) add(s *specs.LinuxSyscall, r Runtime) error {
	answer, err := parseAction(s.Action, s.ErrnoRet)
	if err != nil {
		return err
	}
	alternatives, err := parseArgs(answer, s.Args)
	if err != nil {
		return err
	}
	if len(p.named)+len(s.Names) > maxRules || len(p.rules)+len(s.Names)*len(alternatives) > maxRules {
		return fmt.Errorf("more than %d rules", maxRules)
	}
	p.named = slices.Grow(p.named, len(s.Names))
	p.rules = slices.Grow(p.rules, len(s.Names))
	for _, name := range s.Names {
		if name == "" {
			return errors.New("a system call without a name")
		}
		call := r.lookup(name)
		if call == nil {
			continue // runc skips what libseccomp does not know
		}
		p.named = append(p.named, call)
		if answer == p.fallback {
			continue // runc skips it, so that another rule for the call prevails
		}
		for _, a := range alternatives {
			p.rules = append(p.rules, rule{call, a})
		}
	}
	return nil
}

// parseAction turns an action into what the kernel gets. libseccomp-golang keeps
// 16 bits of the errno.
func parseAction(action specs.LinuxSeccompAction, errnoRet *uint) (uint32, error) {
	data := uint32(unix.EPERM)
	if errnoRet != nil {
		data = uint32(*errnoRet) & unix.SECCOMP_RET_DATA
	}
	switch action {
	case specs.ActKill, specs.ActKillThread:
		return unix.SECCOMP_RET_KILL_THREAD, nil
	case specs.ActKillProcess:
		return unix.SECCOMP_RET_KILL_PROCESS, nil
	case specs.ActTrap:
		return unix.SECCOMP_RET_TRAP, nil
	case specs.ActErrno:
		if data >= maxErrno {
			return 0, fmt.Errorf("errno %d is none: the greatest is %d", data, maxErrno-1)
		}
		return unix.SECCOMP_RET_ERRNO | data, nil
	case specs.ActTrace:
		return unix.SECCOMP_RET_TRACE | data, nil
	case specs.ActLog:
		return unix.SECCOMP_RET_LOG, nil
	case specs.ActAllow:
		return unix.SECCOMP_RET_ALLOW, nil
	case specs.ActNotify:
		return 0, ErrNotify
	}
	return 0, fmt.Errorf("unknown action %q", action)
}

// parseArgs returns the alternatives that a rule's arguments stand for: one, all of
// whose conditions must hold; or, if two are about the same argument, one for each
// condition, as matchCall of runc keeps it.
func parseArgs(answer uint32, args []specs.LinuxSeccompArg) ([]*alternative, error) {
	conds := make([]cond, 0, len(args))
	separate := false
	for _, a := range args {
		c, err := parseCond(a)
		if err != nil {
			return nil, err
		}
		separate = separate || slices.ContainsFunc(conds, func(o cond) bool { return o.arg == c.arg })
		conds = append(conds, c)
	}
	if !separate {
		slices.SortFunc(conds, func(a, b cond) int { return cmp.Compare(a.arg, b.arg) })
		return []*alternative{{answer, conds}}, nil
	}
	out := make([]*alternative, len(conds))
	for i := range conds {
		out[i] = &alternative{answer, conds[i : i+1]}
	}
	return out, nil
}
