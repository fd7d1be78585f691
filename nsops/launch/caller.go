package launch

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"dx/nsops"
	"dx/nsops/caps"
	"dx/nsops/proc"
)

// CallerError names what dx's caller has put on dx for good and the command would
// inherit: no process can shed it (capabilities(7), seccomp(2)).
type CallerError struct{ Reasons []string }

func (e *CallerError) Error() string {
	return "the command would differ from the container's processes: " + strings.Join(e.Reasons, "; ")
}

// CheckCaller compares what the plan wants with what the caller, whose status is
// given, can still give. It returns a *CallerError.
func (p *Plan) CheckCaller(own proc.Status) error {
	var reasons []string
	if own.NoNewPrivs && !p.Process.NoNewPrivileges {
		reasons = append(reasons, "dx runs with no_new_privs, the container does not")
	}
	if own.Seccomp != 0 {
		reasons = append(reasons, "dx itself runs under a seccomp filter")
	}
	if p.joinsUser() && p.SetgroupsDenied && own.UID[1] == 0 && len(own.Groups) > 0 && own.CapEff&(1<<unix.CAP_SETGID) == 0 {
		reasons = append(reasons, fmt.Sprintf("dx lacks CAP_SETGID to leave its groups %v, and the container's user namespace denies it", own.Groups))
	}
	reasons = append(reasons, p.Shed.Forever...)
	if given := p.Process.Capabilities; given != nil && !p.joinsUser() {
		c := &compiler{plan: p}
		missing := c.capMask(given.Bounding) &^ own.CapBnd
		for n := range p.Kernel.LastCap + 1 {
			if missing&(1<<n) != 0 {
				reasons = append(reasons, fmt.Sprintf("dx's bounding set lacks %s, which the container has", caps.Name(n)))
			}
		}
	}
	if len(reasons) == 0 {
		return nil
	}
	return &CallerError{Reasons: reasons}
}

// joinsUser reports whether a user namespace is joined: in it a process has all
// capabilities, whatever it had outside (kernel/user_namespace.c, set_cred_user_ns).
func (p *Plan) joinsUser() bool {
	return slices.ContainsFunc(p.Joins, func(j Join) bool { return j.Type == nsops.User })
}

// LimitCapabilities leaves out the capabilities that are not in the caller's bounding
// set, as far as that counts.
func (p *Plan) LimitCapabilities(mask uint64) {
	given := p.Process.Capabilities
	if given == nil || p.joinsUser() {
		return
	}
	for _, set := range []*[]string{&given.Bounding, &given.Permitted, &given.Effective, &given.Inheritable, &given.Ambient} {
		*set = slices.DeleteFunc(slices.Clone(*set), func(name string) bool {
			n, ok := caps.Number(name)
			return ok && mask&(1<<n) == 0
		})
	}
}
