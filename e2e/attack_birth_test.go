//go:build amd64

package e2e

import (
	"slices"
	"strings"
	"testing"

	"dx/e2e/engine"
)

// seized is a line of dx/e2e/attacker/seizer.
type seized struct {
	PID      int
	Exe      string
	Status   map[string]string
	Cgroup   string
	Hostname int
}

// early reports whether it was seized before its execve.
func (s seized) early() bool { return strings.HasPrefix(s.Exe, "/memfd:") }

// birth is a kind of container whose new processes are seized.
type birth struct {
	name   string
	denied []string // by the seccomp profile; nil: the engine's own profile
	run    []string
	exec   []string
}

var forks = []string{"clone", "clone3", "fork", "vfork"}

// births: every call that dx makes behind a filter is denied by one of these.
var births = []birth{
	{name: "the engine's profile"},
	{name: "unconfined", run: []string{"--security-opt", "seccomp=unconfined"}},
	{name: "madvise", denied: []string{"madvise"}},
	{name: "setsid", denied: []string{"setsid"}},
	{name: "ioctl", denied: []string{"ioctl"}, exec: []string{"-t"}},
	{name: "faccessat", denied: []string{"faccessat"}},
	{name: "clone", denied: forks},
	{name: "all, as a user", denied: slices.Concat(forks, []string{"madvise", "setsid", "ioctl", "faccessat"}), exec: []string{"-u", "app"}},
	{
		name: "all, without new privileges", denied: slices.Concat(forks, []string{"madvise", "setsid", "ioctl", "faccessat", "prctl"}),
		run: []string{"--security-opt", "no-new-privileges"},
	},
}

// start starts the container, and another one beside it, in its PID namespace, that
// has CAP_SYS_PTRACE and no filter.
func (b birth) start(t *testing.T, e *engine.Engine) (c, attacker engine.Container) {
	t.Helper()
	run := slices.Concat([]string{"--cap-add", "SYS_PTRACE"}, b.run)
	if b.denied != nil {
		run = append(run, "--security-opt", "seccomp="+denyingProfile(t, b.denied))
	}
	c = e.Run(t, engine.Busybox, run...)
	attacker = e.Run(t, engine.Busybox, "--pid", "container:"+c.Name, "--cap-add", "SYS_PTRACE", "--security-opt", "seccomp=unconfined")
	return c, attacker
}

// excess lists what a seized process had more than the container's init may have.
func (s seized) excess(init map[string]string) []string {
	var out []string
	for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
		if capBits(s.Status[set])&^capBits(init["CapBnd"]) != 0 {
			out = append(out, set+" is "+s.Status[set])
		}
	}
	for _, key := range []string{"Seccomp", "Seccomp_filters", "NoNewPrivs"} {
		if s.Status[key] != init[key] {
			out = append(out, key+" is "+s.Status[key])
		}
	}
	if s.Hostname >= 0 {
		out = append(out, "it may set the host name")
	}
	return out
}

// TestAttackBirth: whoever seizes a process at its birth gets what the container has.
func TestAttackBirth(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	for _, b := range births {
		t.Run(b.name, func(t *testing.T) {
			c, attacker := b.start(t, e)
			init := map[string]string{}
			for _, key := range []string{"CapBnd", "Seccomp", "Seccomp_filters", "NoNewPrivs"} {
				init[key] = statusOf(t, c.PID, key)
			}
			enough := func(seen []seized) bool {
				early := 0
				for _, s := range seen {
					if s.early() {
						early++
					}
				}
				return early >= 25
			}
			seen := spy(t, e, attacker, "dx/e2e/attacker/seizer", nil, enough, func() {
				if r := withDx(t, e, c, b.exec, []string{"true"}); r.Code != 0 {
					t.Fatalf("dx exec: %+v", r)
				}
			})
			found := map[string]int{}
			for _, s := range seen {
				if excess := s.excess(init); s.early() && excess != nil {
					found[strings.Join(excess, ", ")]++
				}
			}
			for excess, n := range found {
				t.Errorf("%d times a process seized at its birth has more than the container: %s", n, excess)
			}
		})
	}
}

// TestAttackBirthAtTheLimit: where the child is placed in a cgroup after its birth, nobody
// has it before.
func TestAttackBirthAtTheLimit(t *testing.T) {
	e := suite.Engine(t, engine.V1)
	c, attacker := birth{run: []string{"--pids-limit", "1"}}.start(t, e)
	enough := func(seen []seized) bool { return len(seen) >= 20 }
	seen := spy(t, e, attacker, "dx/e2e/attacker/seizer", nil, enough, func() {
		if r := withDx(t, e, c, nil, []string{"true"}); r.Code != 0 {
			t.Fatalf("dx exec: %+v", r)
		}
	})
	for _, s := range seen {
		for line := range strings.Lines(s.Cgroup) {
			if strings.Contains(line, ":pids:") && !strings.Contains(line, c.ID) {
				t.Errorf("seized outside of its limit: %q, %s", line, s.Exe)
			}
		}
	}
}
