package engine

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

// Need is something that a test cannot do without.
type Need string

// The needs. A test that lacks one is skipped with the reason, except where CI
// promises it: there it fails.
const (
	Root        Need = "root"
	Dockerd     Need = "dockerd, docker and a static busybox"
	Tmux        Need = "tmux"
	Lsns        Need = "lsns and nsenter"
	Chromium    Need = "chromium"
	Graphviz    Need = "graphviz"
	Capsh       Need = "capsh, ip, ss, prlimit, findmnt and setpriv"
	Strace      Need = "strace"
	CgroupV1    Need = "a host with cgroup v1"
	CgroupV2    Need = "cgroup v2, or the right to mount it"
	Debootstrap Need = "debootstrap"
	Uidmap      Need = "newuidmap and newgidmap"
	Podman      Need = "podman"
	LXC         Need = "lxc"
	Rootlesskit Need = "rootlesskit"
	Crictl      Need = "crictl, which make e2e-engines builds"
	Nerdctl     Need = "nerdctl, which make e2e-engines builds"
	CRIO        Need = "crio and pinns, which make e2e-engines builds"
	Nspawn      Need = "systemd-nspawn"
	SysResource Need = "CAP_SYS_RESOURCE" // runc 1.1 cannot run --privileged without
)

// promised lists what the project's CI machines have: root in a sandbox with
// hybrid cgroups, and what `make test` installs. They do not have
// CAP_SYS_RESOURCE.
var promised = map[Need]bool{
	Root: true, Dockerd: true, Tmux: true, Lsns: true, Chromium: true, Graphviz: true, Capsh: true, Strace: true, Debootstrap: true, Uidmap: true, Podman: true, LXC: true, Rootlesskit: true, CgroupV1: true, CgroupV2: true,
}

// Require skips the test, or fails it on CI, where a need is not met.
func Require(t testing.TB, needs ...Need) {
	t.Helper()
	for _, n := range needs {
		err := n.check()
		switch {
		case err == nil:
		case os.Getenv("CI") != "" && promised[n]:
			t.Fatalf("CI promises %s: %v", n, err)
		default:
			t.Skipf("needs %s: %v", n, err)
		}
	}
}

func (n Need) check() error {
	switch n {
	case Root:
		if os.Geteuid() != 0 {
			return fmt.Errorf("effective uid is %d", os.Geteuid())
		}
	case Dockerd:
		return inPath("dockerd", "docker", "containerd", "runc", "busybox")
	case Tmux:
		return inPath("tmux")
	case Lsns:
		return inPath("lsns", "nsenter")
	case Chromium:
		return inPath("chromium")
	case Graphviz:
		return inPath("dot")
	case Capsh:
		return inPath("capsh", "ip", "ss", "prlimit", "findmnt", "setpriv")
	case Strace:
		return inPath("strace")
	case Debootstrap:
		return inPath("debootstrap")
	case Podman:
		return inPath("podman", "conmon", "runc", "tar")
	case LXC:
		return inPath("lxc-start", "lxc-attach", "lxc-info", "lxc-stop")
	case Nerdctl:
		return inPath("nerdctl", "containerd", "runc")
	case CRIO:
		return inPath("crio", "pinns", "conmon", "podman", "crictl")
	case Nspawn:
		return inPath("systemd-nspawn")
	case Crictl:
		return inPath("crictl", "containerd", "ctr", "runc", "tar")
	case Rootlesskit:
		return inPath("rootlesskit", "newuidmap", "newgidmap")
	case Uidmap:
		return inPath("newuidmap", "newgidmap")
	case CgroupV1:
		if HostIsCgroup2() {
			return fmt.Errorf("/sys/fs/cgroup is cgroup v2 alone")
		}
	case CgroupV2:
		if !HostIsCgroup2() {
			return hasCap(unix.CAP_SYS_ADMIN)
		}
	case SysResource:
		return hasCap(unix.CAP_SYS_RESOURCE)
	}
	return nil
}

func cgroupNeed(c Cgroup) Need {
	switch c {
	case V1:
		return CgroupV1
	case V2:
		return CgroupV2
	}
	return Root
}

func inPath(programs ...string) error {
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			return err
		}
	}
	return nil
}

func hasCap(c int) error {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return err
	}
	if data[c/32].Permitted&(1<<(c%32)) == 0 {
		return fmt.Errorf("capability %d is not permitted here", c)
	}
	return nil
}

// HostIsCgroup2 reports whether the host has cgroup v2 and no v1 hierarchy.
func HostIsCgroup2() bool {
	var st unix.Statfs_t
	return unix.Statfs("/sys/fs/cgroup", &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC
}
