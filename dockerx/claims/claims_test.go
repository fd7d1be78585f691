package claims

import (
	"io/fs"
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"dx/dockerx"
	"dx/dockerx/docker"
	"dx/nsops/cgroup"
	"dx/nsops/posture"
	"dx/nsops/proc"
)

func claimed(claims []posture.Claim, name string) []string {
	for _, c := range claims {
		if c.Name == name {
			return c.Values
		}
	}
	return nil
}

// TestClaimsOfLimits: what docker run's flags mean in each version of cgroups. The
// weights are those that runc 1.1 and 1.3 write.
func TestClaimsOfLimits(t *testing.T) {
	pids := int64(20)
	s := &docker.Container{HostConfig: docker.HostConfig{
		Memory: 64 << 20, MemorySwap: 128 << 20, MemoryReservation: 32 << 20, PidsLimit: &pids,
		NanoCPUs: 5e8, CPUShares: 1024, CpusetCpus: "0-1", CapAdd: []string{"all"},
	}}
	for version, want := range map[int]map[string]string{
		1: {posture.SwapLimit: "134217728", posture.CPUShares: "1024"},
		2: {posture.SwapLimit: "67108864", posture.CPUWeight: "39"},
	} {
		l := &claimLister{p: &posture.Posture{Cgroup: &cgroup.Usage{Version: version}}}
		l.docker(s)
		want[posture.MemoryLimit], want[posture.MemorySoft], want[posture.PidsLimit] = "67108864", "33554432", "20"
		want[posture.CPULimit], want[posture.Cpuset], want[posture.AllCaps] = "0.5", "0-1", posture.Yes
		for name, value := range want {
			if got := claimed(l.claims, name); !slices.Equal(got, []string{value}) {
				t.Errorf("v%d: %s is claimed to be %v, want %s", version, name, got, value)
			}
		}
	}
	if linear, curve := weights(1024); linear != "39" || curve != "100" {
		t.Errorf("1024 shares weigh %s and %s", linear, curve)
	}
}

func TestClaimsOfNothing(t *testing.T) {
	l := &claimLister{p: &posture.Posture{}}
	l.docker(&docker.Container{})
	for _, name := range []string{posture.MemoryLimit, posture.PidsLimit, posture.CPULimit, posture.SwapLimit} {
		if got := claimed(l.claims, name); !slices.Equal(got, []string{posture.Unlimited}) {
			t.Errorf("%s claimed by no limit: %v, want %s", name, got, posture.Unlimited)
		}
	}
}

func TestClaimsOfBundle(t *testing.T) {
	all, some := []string{"CAP_CHOWN", "CAP_KILL"}, []string{"CAP_KILL"}
	for name, tc := range map[string]struct {
		uid  uint32
		nnp  bool
		want []string
	}{"root": {0, false, all}, "root with no_new_privs": {0, true, some}, "another user": {1000, false, nil}} {
		l := &claimLister{p: &posture.Posture{}}
		l.bundle(&specs.Spec{
			Process: &specs.Process{
				User: specs.User{UID: tc.uid}, NoNewPrivileges: tc.nnp,
				Capabilities: &specs.LinuxCapabilities{Bounding: all, Permitted: some, Effective: some},
				Rlimits:      []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 1, Hard: 2}},
			},
			Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: specs.MountNamespace}, {Type: specs.NetworkNamespace, Path: "/x"}}},
		}, proc.Status{Seccomp: 2}, 0)
		for fact, want := range map[string][]string{
			posture.Effective: tc.want, posture.Bounding: all, "nofile": {"1:2"}, posture.Seccomp: {"filter"},
			"mnt": {posture.OwnNamespace}, "uts": {posture.HostNamespace}, "net": nil,
		} {
			if got := claimed(l.claims, fact); !slices.Equal(got, want) {
				t.Errorf("%s: %s is claimed to be %v, want %v", name, fact, got, want)
			}
		}
	}
}

// TestClaimsOfNetworks: docker network connect gives addresses of both versions; an
// endpoint may be null while one is being connected.
func TestClaimsOfNetworks(t *testing.T) {
	d := &docker.Container{Origin: "here"}
	d.NetworkSettings.Networks = map[string]*docker.Endpoint{
		"b": {IPAddress: "192.0.2.2", IPPrefixLen: 24}, "a": {GlobalIPv6Address: "2001:db8::2", GlobalIPv6PrefixLen: 64, IPAddress: "192.0.2.1", IPPrefixLen: 16},
		"connecting": nil, "none": {},
	}
	d.HostConfig.NetworkMode = "host"
	l := &claimLister{p: &posture.Posture{Identity: &posture.Identity{Pids: []int{7, 8}}}}
	l.docker(d)
	if got, want := claimed(l.claims, posture.Addresses), []string{"192.0.2.1/16", "192.0.2.2/24", "2001:db8::2/64"}; !slices.Equal(got, want) {
		t.Errorf("the addresses are claimed to be %v, want %v", got, want)
	}
	if got := claimed(l.claims, "net"); !slices.Equal(got, []string{posture.HostNamespace}) {
		t.Errorf("with --net host the network namespace is claimed to be %v, want the host's", got)
	}
	if l.claims[0].Name != posture.PID || !slices.Equal(l.claims[0].Or, []string{"7", "8"}) {
		t.Errorf("the PID is claimed by %+v, want each number that it has in a PID namespace to do", l.claims[0])
	}
}

// TestClaimsOfSecurity: labels, maps and scores are the bundle's to the letter; AppArmor's
// mode is the host's to say (aa_status(8)).
func TestClaimsOfSecurity(t *testing.T) {
	score := -500
	spec := &specs.Spec{
		Process: &specs.Process{ApparmorProfile: "docker-default", OOMScoreAdj: &score},
		Linux: &specs.Linux{
			UIDMappings: []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 65536}},
			GIDMappings: []specs.LinuxIDMapping{{ContainerID: 0, HostID: 200000, Size: 1}, {ContainerID: 1, HostID: 300000, Size: 9}},
		},
	}
	l := &claimLister{p: &posture.Posture{}}
	l.bundle(spec, proc.Status{}, 0)
	for name, want := range map[string]string{posture.LSM: "docker-default", posture.OOMScoreAdj: "-500", posture.Seccomp: "disabled"} {
		if got := claimed(l.claims, name); !slices.Equal(got, []string{want}) {
			t.Errorf("%s is claimed to be %v, want %s", name, got, want)
		}
	}
	uids := proc.IDMap{{Inside: 0, Outside: 100000, Count: 65536}}
	gids := proc.IDMap{{Inside: 0, Outside: 200000, Count: 1}, {Inside: 1, Outside: 300000, Count: 9}}
	for name, want := range map[string]proc.IDMap{posture.UIDMap: uids, posture.GIDMap: gids} {
		if got := claimed(l.claims, name); !slices.Equal(got, []string{want.String()}) {
			t.Errorf("%s is claimed to be %v, want %s", name, got, want)
		}
	}
	spec.Process.ApparmorProfile, spec.Process.SelinuxLabel = "", "system_u:system_r:container_t:s0"
	l = &claimLister{p: &posture.Posture{}}
	l.bundle(spec, proc.Status{}, 0)
	if got := claimed(l.claims, posture.LSM); !slices.Equal(got, []string{spec.Process.SelinuxLabel}) {
		t.Errorf("the label is claimed to be %v, want the bundle's", got)
	}
}

// TestWeights: opencontainers/cgroups has these in its own test of both formulas
// (ConvertCPUSharesToCgroupV2Value): the ends, the default, and beyond.
func TestWeights(t *testing.T) {
	for shares, want := range map[int64][2]string{0: {"100", "100"}, 1: {"1", "1"}, 2: {"1", "1"}, 262144: {"10000", "10000"}, 300000: {"10000", "10000"}, 1024: {"39", "100"}} {
		if linear, curve := weights(shares); linear != want[0] || curve != want[1] {
			t.Errorf("%d shares weigh %s and %s, want %s and %s", shares, linear, curve, want[0], want[1])
		}
	}
}

// TestClaimsOfAProcess: what is in no container has nobody who claims anything, and an
// engine's word goes before Docker's files.
func TestClaimsOfAProcess(t *testing.T) {
	if list, err := Of(&dockerx.Container{Ref: "pid:1"}, &posture.Posture{}); err != nil || list != nil {
		t.Errorf("of a process: %v, %v, want nothing", list, err)
	}
	engines, files := &docker.Container{ID: "engine"}, &docker.Container{ID: "files"}
	read := func() (*docker.Container, error) { return files, nil }
	if got := said(&dockerx.Container{Docker: engines}, read); got != engines {
		t.Errorf("%+v is believed, want what the engine says", got)
	}
	if got := said(&dockerx.Container{}, read); got != files {
		t.Errorf("%+v is believed, want what Docker's files say", got)
	}
	if got := said(&dockerx.Container{}, func() (*docker.Container, error) { return nil, fs.ErrNotExist }); got != nil {
		t.Errorf("%+v is believed, want nothing: nobody says anything", got)
	}
}
