package execspec

import (
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"dx/dockerx/docker"
	"dx/dockerx/host"
	"dx/nsops/cgroup"
	"dx/nsops/proc"
)

// contained is a container of docker run with no flags.
func contained() *Facts {
	caps := []string{"CAP_CHOWN", "CAP_KILL"}
	d := &docker.Container{}
	d.Config.Hostname, d.Config.Env = "box", []string{"A=1"}
	all := proc.Status{CapBnd: 1<<0 | 1<<5, CapPrm: 1 << 5}
	return &Facts{
		Kind: Contained, ID: "c", Docker: d, Bundle: "/b", Init: Process{PID: 2, Status: all},
		Shim: Process{PID: 1, Status: all, OOMScoreAdj: -998}, LSM: "apparmor",
		Spec: &specs.Spec{Root: &specs.Root{Path: "/r"}, Linux: &specs.Linux{Seccomp: &specs.LinuxSeccomp{}}, Process: &specs.Process{
			NoNewPrivileges: true, ApparmorProfile: "docker-default",
			Capabilities: &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps},
			Rlimits:      []specs.POSIXRlimit{{Type: "RLIMIT_CORE"}},
		}},
		State:    &host.State{CgroupPaths: map[string]string{"": "/sys/fs/cgroup/docker/c"}},
		Cgroups:  []cgroup.Dir{{Path: "/sys/fs/cgroup/docker/c"}},
		Joinable: map[string]bool{"/sys/fs/cgroup/docker/c": true},
		Accounts: Accounts{Passwd: []byte("app:x:7:8::/home/app:\n"), Group: []byte("more:x:9:app\n")},
		Home:     []byte("root:x:0:0::/root:\napp:x:7:8::/home/app:\n"),
	}
}

// What the sources of moby (daemon/exec.go) and runc (libcontainer) make of it.
func TestBuildContained(t *testing.T) {
	s, err := Build(contained(), Options{Args: []string{"true"}, User: "app", Env: []string{"B=2"}})
	if err != nil {
		t.Fatal(err)
	}
	p := s.Process
	if want := []string{defaultPath, "HOSTNAME=box", "A=1", "B=2", "HOME=/home/app"}; !slices.Equal(p.Env, want) {
		t.Errorf("environment %q, want %q", p.Env, want)
	}
	if p.User.UID != 7 || p.User.GID != 8 || !slices.Equal(p.User.AdditionalGids, []uint32{8, 9}) || p.Cwd != "/" {
		t.Errorf("user %+v in %s, want 7:8 with 9 in /", p.User, p.Cwd)
	}
	if !p.NoNewPrivileges || p.ApparmorProfile != "docker-default" || s.Seccomp == nil || s.Keyring != "_ses.c" {
		t.Errorf("%+v, want what the bundle has", s)
	}
	if len(p.Rlimits) != 1 || p.Rlimits[0].Type != "RLIMIT_CORE" || len(p.Capabilities.Bounding) != 2 {
		t.Errorf("limits %v, capabilities %v, want the bundle's", p.Rlimits, p.Capabilities.Bounding)
	}
	if len(s.Cgroups) != 1 || s.Cgroups[0].Path != "/sys/fs/cgroup/docker/c" {
		t.Errorf("cgroups %v, want the state's", s.Cgroups)
	}
}

// Init has left its cgroups and lowered its limits since: the container's own count.
func TestBuildOfAnInitThatChanged(t *testing.T) {
	id := strings.Repeat("5", 64)
	files := func(soft, hard uint64) []specs.POSIXRlimit {
		return []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: soft, Hard: hard}}
	}
	f := contained()
	f.ID, f.Shim.Rlimits, f.Init.Rlimits = id, files(4096, 4096), files(99, 99)
	own := "/sys/fs/cgroup/memory/docker/" + id
	f.State.CgroupPaths = map[string]string{
		"memory": own, "pids": "/sys/fs/cgroup/pids/docker/" + id, "cpu": "/sys/fs/cgroup/cpu/forged",
	}
	f.Cgroups = []cgroup.Dir{
		{Controller: "memory", Path: "/sys/fs/cgroup/memory/elsewhere"},
		{Controller: "pids", Path: "/sys/fs/cgroup/pids/elsewhere"},
		{Controller: "cpu", Path: "/sys/fs/cgroup/cpu/here"},
	}
	f.Joinable = map[string]bool{own: true} // the one of pids is gone
	s, err := Build(f, Options{Args: []string{"true"}})
	if err != nil {
		t.Fatal(err)
	}
	want := []CgroupDir{
		{"memory", own}, {"pids", "/sys/fs/cgroup/pids/elsewhere"}, {"cpu", "/sys/fs/cgroup/cpu/here"},
	}
	if !slices.Equal(s.Cgroups, want) {
		t.Errorf("cgroups %v, want %v", s.Cgroups, want)
	}
	if got := s.Process.Rlimits; !slices.Contains(got, files(4096, 4096)[0]) {
		t.Errorf("limits %v, want the shim's", got)
	}
	f.Init.Rlimits = files(1024, 4096)
	if s, err = Build(f, Options{Args: []string{"true"}}); err != nil || !slices.Contains(s.Process.Rlimits, files(1024, 4096)[0]) {
		t.Errorf("limits %v, %v, want what a child of the shim has", s.Process.Rlimits, err)
	}
}

// A process in no container gives its command no more than it may do itself.
func TestBuildBare(t *testing.T) {
	f := contained()
	f.Kind, f.ID, f.Init.Cwd, f.Init.Root = Bare, "", "/srv/x", "/srv"
	s, err := Build(f, Options{Args: []string{"true"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Process.Capabilities.Bounding; !slices.Equal(got, []string{"CAP_KILL"}) {
		t.Errorf("capabilities %v, want those that it holds", got)
	}
	if want := []string{defaultPath, "HOME=/root"}; !slices.Equal(s.Process.Env, want) || s.Process.Cwd != "/x" || s.Keyring != "" {
		t.Errorf("environment %q in %s, keyring %q; want %q in /x, none", s.Process.Env, s.Process.Cwd, s.Keyring, want)
	}
}
