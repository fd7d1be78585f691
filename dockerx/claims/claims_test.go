package claims

import (
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

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
		}, proc.Status{Seccomp: 2})
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
