package launch

import (
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"dx/nsops"
	"dx/nsops/proc"
)

// withCaps is a plan for a process with these capabilities in all sets.
func withCaps(names ...string) *Plan {
	p := &Plan{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{
		Bounding: names, Permitted: names, Effective: names, Inheritable: names, Ambient: names,
	}}}
	p.Kernel.LastCap = unix.CAP_LAST_CAP
	return p
}

func joiningUser(p *Plan) *Plan {
	p.Joins = []Join{{Type: nsops.Mnt}, {Type: nsops.User}}
	return p
}

// TestCheckCaller: each thing that a process cannot shed is named, and only where the
// command would have it and the container's processes do not.
func TestCheckCaller(t *testing.T) {
	all := ^uint64(0)
	const admin = 1 << unix.CAP_SYS_ADMIN
	noNewPrivs := withCaps()
	noNewPrivs.Process.NoNewPrivileges = true
	forever := withCaps()
	forever.Shed.Forever = []string{"one thing"}
	denied := func(change func(*Plan, *proc.Status)) (*Plan, proc.Status) {
		p, own := joiningUser(withCaps()), proc.Status{CapBnd: all, Groups: []uint32{4}}
		p.SetgroupsDenied = true
		change(p, &own)
		return p, own
	}
	const group = "dx lacks CAP_SETGID to leave its groups [4], and the container's user namespace denies it"
	for name, c := range map[string]struct {
		plan *Plan
		own  proc.Status
		want []string
	}{
		"nothing":                   {withCaps("CAP_SYS_ADMIN"), proc.Status{CapBnd: all}, nil},
		"no_new_privs":              {withCaps(), proc.Status{NoNewPrivs: true}, []string{"dx runs with no_new_privs, the container does not"}},
		"no_new_privs of both":      {noNewPrivs, proc.Status{NoNewPrivs: true}, nil},
		"of the container's alone":  {noNewPrivs, proc.Status{}, nil},
		"a filter":                  {withCaps(), proc.Status{Seccomp: 2}, []string{"dx itself runs under a seccomp filter"}},
		"for good":                  {forever, proc.Status{}, []string{"one thing"}},
		"bounding set":              {withCaps("CAP_SYS_ADMIN", "CAP_CHOWN"), proc.Status{CapBnd: all &^ admin}, []string{"dx's bounding set lacks CAP_SYS_ADMIN, which the container has"}},
		"bounding set, user ns":     {joiningUser(withCaps("CAP_SYS_ADMIN")), proc.Status{}, nil},
		"no capabilities are named": {&Plan{Process: &specs.Process{}}, proc.Status{}, nil},
	} {
		mustCheck(t, name, c.plan, c.own, c.want...)
	}
	for name, c := range map[string]struct {
		change func(*Plan, *proc.Status)
		want   []string
	}{
		"groups":                 {func(*Plan, *proc.Status) {}, []string{group}},
		"groups, no user ns":     {func(p *Plan, _ *proc.Status) { p.Joins = p.Joins[:1] }, nil},
		"groups, not denied":     {func(p *Plan, _ *proc.Status) { p.SetgroupsDenied = false }, nil},
		"groups, a plain caller": {func(_ *Plan, own *proc.Status) { own.UID[1] = 1000 }, nil},
		"no groups":              {func(_ *Plan, own *proc.Status) { own.Groups = nil }, nil},
		"groups, CAP_SETGID":     {func(_ *Plan, own *proc.Status) { own.CapEff = 1 << unix.CAP_SETGID }, nil},
	} {
		p, own := denied(c.change)
		mustCheck(t, name, p, own, c.want...)
	}
}

func mustCheck(t *testing.T, name string, p *Plan, own proc.Status, want ...string) {
	t.Helper()
	err := p.CheckCaller(own)
	var got []string
	if e, ok := err.(*CallerError); ok { //nolint:errorlint // nothing wraps it
		got = e.Reasons
	}
	if !slices.Equal(got, want) || (err == nil) != (want == nil) {
		t.Errorf("%s: %v, want %q", name, err, want)
	}
}

// TestLimitCapabilities: what the caller's bounding set lacks is left out of each set, but
// not where a user namespace gives all.
func TestLimitCapabilities(t *testing.T) {
	const mask = 1 << unix.CAP_CHOWN
	p := withCaps("CAP_CHOWN", "CAP_SYS_ADMIN", "CAP_NO_SUCH")
	p.LimitCapabilities(mask)
	c := p.Process.Capabilities
	for i, set := range [][]string{c.Bounding, c.Permitted, c.Effective, c.Inheritable, c.Ambient} {
		// What is no capability is the compiler's to refuse.
		if !slices.Equal(set, []string{"CAP_CHOWN", "CAP_NO_SUCH"}) {
			t.Errorf("set %d: %q", i, set)
		}
	}
	p = joiningUser(withCaps("CAP_SYS_ADMIN"))
	p.LimitCapabilities(mask)
	if got := p.Process.Capabilities.Bounding; !slices.Equal(got, []string{"CAP_SYS_ADMIN"}) {
		t.Errorf("in a user namespace: %q", got)
	}
	(&Plan{Process: &specs.Process{}}).LimitCapabilities(mask) // has none
}

// TestNewShed: what differs from a shim's child is changed, and nothing else.
func TestNewShed(t *testing.T) {
	own := proc.Attributes{IOPriority: 1, TimerSlack: 50000, CoredumpFilter: 0x33, LoginUID: 1000}
	own.Sched.Nice = 5
	same := own
	if s := NewShed(own, same); s.Sched != nil || s.IOPriority != nil || s.TimerSlack != nil || s.CoredumpFilter != nil || s.LoginUID != nil {
		t.Errorf("%+v is to be changed of a caller like a shim", s)
	}
	want := proc.Attributes{IOPriority: 2, TimerSlack: 60000, CoredumpFilter: 0x1, LoginUID: 1}
	s := NewShed(own, want)
	if s.Sched == nil || *s.Sched != want.Sched || s.IOPriority == nil || *s.IOPriority != 2 || s.TimerSlack == nil || *s.TimerSlack != 60000 ||
		s.CoredumpFilter == nil || *s.CoredumpFilter != 1 || s.LoginUID == nil || *s.LoginUID != 1 {
		t.Errorf("%+v, want all of %+v", s, want)
	}
	want.TimerSlack = 0 // not known
	if s := NewShed(own, want); s.TimerSlack != nil {
		t.Errorf("a timer slack of %d, which nobody knows", *s.TimerSlack)
	}
}

func TestIgnoredSignals(t *testing.T) {
	got := IgnoredSignals(proc.Status{SigIgn: 1<<(unix.SIGHUP-1) | 1<<(unix.SIGQUIT-1) | 1<<63})
	if !slices.Equal(got, []int{1, 3, 64}) {
		t.Errorf("%v, want SIGHUP, SIGQUIT and 64", got)
	}
}
