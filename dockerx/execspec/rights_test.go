package execspec

import (
	"errors"
	"os"
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"dx/dockerx/host"
	"dx/nsops/caps"
	"dx/nsops/cgroup"
	"dx/nsops/proc"
)

func mustBuild(t *testing.T, f *Facts, o Options) *Spec {
	t.Helper()
	o.Args = []string{"true"}
	s, err := Build(f, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustHave(t *testing.T, what string, got, want *specs.LinuxCapabilities) {
	t.Helper()
	for i, sets := range [][2][]string{
		{got.Bounding, want.Bounding}, {got.Permitted, want.Permitted}, {got.Effective, want.Effective}, {got.Inheritable, want.Inheritable}, {got.Ambient, want.Ambient},
	} {
		if !slices.Equal(sets[0], sets[1]) {
			t.Errorf("%s: set %d is %q, want %q", what, i, sets[0], sets[1])
		}
	}
}

// TestCapabilitiesAreBounded: a bundle gives nothing that its shim could not give, in any
// of the sets.
func TestCapabilitiesAreBounded(t *testing.T) {
	f := contained()
	f.Shim.Status.CapBnd = caps.Mask([]string{"CAP_CHOWN"})
	both := []string{"CAP_CHOWN", "CAP_SYS_ADMIN"}
	f.Spec.Process.Capabilities = &specs.LinuxCapabilities{Bounding: both, Permitted: both, Effective: both, Inheritable: both, Ambient: both}
	one := []string{"CAP_CHOWN"}
	mustHave(t, "beneath a shim", mustBuild(t, f, Options{}).Process.Capabilities,
		&specs.LinuxCapabilities{Bounding: one, Permitted: one, Effective: one, Inheritable: one, Ambient: one})
	if got := f.Spec.Process.Capabilities.Bounding; !slices.Equal(got, both) {
		t.Errorf("the bundle itself was changed: %q", got)
	}
	mustHave(t, "--privileged", mustBuild(t, f, Options{Privileged: true}).Process.Capabilities,
		&specs.LinuxCapabilities{Bounding: one, Permitted: one, Effective: one})
	f.Spec.Process.Capabilities = nil
	mustHave(t, "none", mustBuild(t, f, Options{}).Process.Capabilities, &specs.LinuxCapabilities{})
}

// TestOwnCapabilities: without a bundle, the process's bounding set; with --privileged,
// what dx has.
func TestOwnCapabilities(t *testing.T) {
	f := contained()
	f.Kind, f.Spec, f.State = OnHost, nil, nil
	f.Init.Status.CapBnd, f.Self.Status.CapBnd = caps.Mask([]string{"CAP_KILL"}), caps.Mask([]string{"CAP_CHOWN"})
	for privileged, set := range map[bool][]string{false: {"CAP_KILL"}, true: {"CAP_CHOWN"}} {
		mustHave(t, "own", mustBuild(t, f, Options{Privileged: privileged}).Process.Capabilities,
			&specs.LinuxCapabilities{Bounding: set, Permitted: set, Effective: set})
	}
}

// TestFiltersOfTheShim: a shim that is confined hands its filters down; where they cannot
// be read, nothing starts without them.
func TestFiltersOfTheShim(t *testing.T) {
	f := contained()
	f.FiltersErr = os.ErrPermission
	mustBuild(t, f, Options{}) // it has none
	f.Shim.Status.Seccomp = unix.SECCOMP_MODE_FILTER
	var unknown *UnknownFilterError
	if _, err := Build(f, Options{Args: []string{"true"}}); !errors.As(err, &unknown) || unknown.PID != f.Shim.PID || !errors.Is(err, os.ErrPermission) {
		t.Errorf("filters of the shim's that nobody can read: %v", err)
	}
	if s := mustBuild(t, f, Options{IgnoreUnknownFilter: true}); s.Filters != nil {
		t.Errorf("filters %v out of nothing", s.Filters)
	}
}

// TestTakesFilters: those of a process are installed again unless dx has as many.
func TestTakesFilters(t *testing.T) {
	const on = unix.SECCOMP_MODE_FILTER
	for _, c := range []struct {
		own, of proc.Status
		want    bool
	}{
		{proc.Status{}, proc.Status{}, false},
		{proc.Status{}, proc.Status{Seccomp: on, SeccompFilters: 1}, true},
		{proc.Status{Seccomp: on, SeccompFilters: 1}, proc.Status{Seccomp: on, SeccompFilters: 1}, false},
		{proc.Status{Seccomp: on, SeccompFilters: 1}, proc.Status{Seccomp: on, SeccompFilters: 2}, true},
		{proc.Status{Seccomp: on, SeccompFilters: 2}, proc.Status{}, false},
	} {
		if got := takesFilters(&Facts{Self: Process{Status: c.own}}, c.of); got != c.want {
			t.Errorf("dx has %d filters, the process %d: %v, want %v", c.own.SeccompFilters, c.of.SeccompFilters, got, c.want)
		}
	}
}

// TestBundleConfines: what the bundle says of no_new_privs and labels.
func TestBundleConfines(t *testing.T) {
	f := contained()
	f.Spec.Process.NoNewPrivileges, f.Spec.Process.ApparmorProfile = false, "unconfined"
	if s := mustBuild(t, f, Options{}); s.Process.NoNewPrivileges {
		t.Error("no_new_privs out of nothing")
	}
	f = contained()
	f.Spec.Process.SelinuxLabel = "system_u:system_r:container_t:s0"
	if s := mustBuild(t, f, Options{}); s.Process.SelinuxLabel != f.Spec.Process.SelinuxLabel || !s.Process.NoNewPrivileges {
		t.Errorf("%+v, want the bundle's label and no_new_privs", s.Process)
	}
}

// TestBelievedCgroups: the runtime's state tells the cgroup if init is there or it is called
// after the container; else, and where it cannot be joined, the command goes where init is.
func TestBelievedCgroups(t *testing.T) {
	const init, own, foreign = "/sys/fs/cgroup/docker/c/init", "/sys/fs/cgroup/docker/c", "/sys/fs/cgroup/system.slice"
	for what, c := range map[string]struct {
		claimed, is string
		joinable    bool
		divided     bool
		want        string
	}{
		"init is there":         {own, own, true, false, own},
		"init has moved":        {own, init, true, false, own},
		"it is another's":       {foreign, init, true, false, init},
		"it cannot be joined":   {own, init, false, false, init},
		"init has divided it":   {own, init, true, true, init},
		"nobody claims another": {"", init, true, false, init},
	} {
		f := contained()
		f.State = &host.State{CgroupPaths: map[string]string{"": c.claimed}}
		f.Cgroups = []cgroup.Dir{{Path: c.is}}
		f.Joinable, f.Divided = map[string]bool{c.claimed: c.joinable}, c.divided
		if s := mustBuild(t, f, Options{}); len(s.Cgroups) != 1 || s.Cgroups[0].Path != c.want {
			t.Errorf("%s: %v, want %s", what, s.Cgroups, c.want)
		}
	}
	f := contained()
	f.Cgroups = nil
	if s, err := Build(f, Options{Args: []string{"true"}}); err == nil {
		t.Errorf("a command in the cgroups %v, as none is mounted here", s.Cgroups)
	}
}
