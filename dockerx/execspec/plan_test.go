package execspec

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"dx/e2e/await"
	"dx/e2e/standin"
	"dx/nsops"
	"dx/nsops/launch"
	"dx/nsops/proc"
)

// TestPlan: what a Spec names is opened, or said to be missing.
func TestPlan(t *testing.T) {
	c := started(t, elsewhere(t, "--uts", "sh", "-c", "echo ready; exec cat"), "ready")
	o := Options{Args: []string{"true"}}
	spec, err := Of(context.Background(), c, o)
	standin.Must(t, err)
	p, err := NewPlan(c, spec)
	standin.Must(t, err)
	var joins []nsops.Type
	for _, j := range p.Joins {
		joins = append(joins, j.Type)
	}
	slices.Sort(joins)
	if !slices.Equal(joins, []nsops.Type{nsops.Mnt, nsops.UTS}) || p.Root == nil || len(p.Cgroups) != len(spec.Cgroups) || p.Process != spec.Process {
		t.Errorf("%+v joins %v, want mnt and uts, and all %d cgroups", p, joins, len(spec.Cgroups))
	}
	if uid, gid, err := p.StreamOwner(); err != nil || uid != 0 || gid != 0 {
		t.Errorf("the streams are %d:%d's, %v", uid, gid, err)
	}
	spec.Process.User.UID = 7
	if uid, gid, err := p.StreamOwner(); err != nil || uid != 7 || gid != 0 {
		t.Errorf("the streams are %d:%d's, %v; want the user's and the group of root, as a shim's", uid, gid, err)
	}
	mustCheckCaller(t, p)
	p.Close()

	// One's own filters may be the kernel's to compile, or not.
	spec.Seccomp = &specs.LinuxSeccomp{DefaultAction: "SCMP_ACT_NOSUCH"}
	if _, err := NewPlan(c, spec); err == nil || !strings.Contains(err.Error(), "SCMP_ACT_NOSUCH") {
		t.Errorf("an action that there is not: %v", err)
	}
	spec.Seccomp, spec.Cgroups = nil, append(spec.Cgroups, CgroupDir{Path: "/sys/fs/cgroup/nosuch-dx-test"})
	if _, err := NewPlan(c, spec); err == nil || !strings.Contains(err.Error(), "nosuch-dx-test") {
		t.Errorf("a cgroup that there is not: %v", err)
	}
}

// mustCheckCaller: a caller that has less than the command needs is refused, or the command
// gets less.
func mustCheckCaller(t *testing.T, p *Plan) {
	t.Helper()
	caller := p.caller.Status
	defer func() { p.caller.Status = caller }()
	standin.Must(t, p.CheckCaller(false))
	p.caller.Status.CapBnd &^= 1 // CAP_CHOWN
	var lacks *launch.CallerError
	if err := p.CheckCaller(false); !errors.As(err, &lacks) {
		t.Errorf("a caller without CAP_CHOWN: %v", err)
	}
	standin.Must(t, p.CheckCaller(true))
	if got := p.Process.Capabilities.Bounding; slices.Contains(got, "CAP_CHOWN") || len(got) == 0 {
		t.Errorf("capabilities %q, want all but CAP_CHOWN", got)
	}
}

// TestPlanOfTheEnded names the container of which nothing can be opened.
func TestPlanOfTheEnded(t *testing.T) {
	m := newMounted(t, "7f01")
	c := m.resolve(t, m.Init)
	spec, err := Of(context.Background(), c, Options{Args: []string{"true"}})
	standin.Must(t, err)
	standin.End(t, m.Init)
	if _, err := NewPlan(m.resolveGone(t, c), spec); !errors.Is(err, proc.ErrGone) || !strings.Contains(err.Error(), "cannot open pid:") {
		t.Errorf("%v, want that it has ended, and its name", err)
	}
}

// TestStreamsInAUserNamespace: the host knows its users by the numbers of uid_map
// (user_namespaces(7)); a user that it does not cover has no streams.
func TestStreamsInAUserNamespace(t *testing.T) {
	cmd := elsewhere(t, "--user", "sh", "-c", "echo ready; read x; exec cat")
	c := started(t, cmd, "ready")
	for name, ids := range map[string]string{"uid_map": "0 70000 5\n", "gid_map": "0 80000 5\n"} {
		standin.Must(t, os.WriteFile(fmt.Sprintf("/proc/%d/%s", c.Process.PID, name), []byte(ids), 0o644))
	}
	p := &Plan{container: c, Plan: &launch.Plan{Process: &specs.Process{User: specs.User{UID: 3}}, Joins: []launch.Join{{Type: nsops.User}}}}
	if uid, gid, err := p.StreamOwner(); err != nil || uid != 70003 || gid != 80000 {
		t.Errorf("%d:%d, %v, want 70003:80000", uid, gid, err)
	}
	p.Process.User.UID = 5
	if _, _, err := p.StreamOwner(); err == nil || !strings.Contains(err.Error(), "has no id 5: its uid_map does not cover it") {
		t.Errorf("a user beyond the map: %v", err)
	}
	// root of the host is nobody there: what is its own cannot be said in its numbers.
	if _, err := Of(context.Background(), c, Options{Args: []string{"true"}}); err == nil || !strings.Contains(err.Error(), "has no id for its uid 0") {
		t.Errorf("a process whose user its namespace does not have: %v", err)
	}
}

// TestFindShell: the user's own shell, else the best one in PATH that can be run.
func TestFindShell(t *testing.T) {
	m := newMounted(t, "7f02")
	c := m.resolve(t, m.Init)
	bin := m.etc + "/bin"
	standin.Must(t, os.MkdirAll(bin+"/zsh", 0o755)) // no program
	m.Write(t, bin+"/bash", "")                     // not to be run
	for _, name := range []string{"ash", "sh", "mysh", "nologin"} {
		m.Write(t, bin+"/"+name, "")
		standin.Must(t, os.Chmod(bin+"/"+name, 0o755))
	}
	for _, test := range []struct{ shell, path, want string }{
		{"/etc/bin/mysh", "/etc/bin", "/etc/bin/mysh"},
		{"/etc/bin/nologin", "/etc/bin", "/etc/bin/ash"},
		{"bin/mysh", "/etc/bin", "/etc/bin/ash"},
		{"/etc/absent/sh", "/etc/bin", "/etc/bin/ash"},
		{"", "/etc/absent:/etc/bin", "/etc/bin/ash"},
		{"", "etc/bin:.", ""},
		{"", "/etc/absent", ""},
	} {
		m.Write(t, m.etc+"/passwd", "root:x:0:0::/:/bin/sh\nother:x:7:9::/:"+test.shell+"\n")
		p := &specs.Process{User: specs.User{UID: 7}, Env: []string{"PATH=/bin", "PATH=" + test.path}}
		if got, err := FindShell(c, p); err != nil || got != test.want {
			t.Errorf("shell %q, PATH=%s: %q, %v, want %q", test.shell, test.path, got, err, test.want)
		}
	}
	standin.Must(t, os.Remove(m.etc+"/passwd"))
	p := &specs.Process{Env: []string{"PATH=/etc/bin"}}
	if got, err := FindShell(c, p); err != nil || got != "/etc/bin/ash" {
		t.Errorf("no /etc/passwd: %q, %v", got, err)
	}
	standin.End(t, m.Init)
	await.Until(t, "the container has no root any more", func() bool {
		_, err := FindShell(m.resolveGone(t, c), p)
		return err != nil
	})
}
