package dockerx

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"dx/dockerx/host"
	"dx/nsops"
	"dx/nsops/cgroup"
)

const filterMode = 2 // SECCOMP_MODE_FILTER in /proc/PID/status

// seccomp is the bundle's profile, which the runtime installed at the start and
// installs again for an exec. A bundle without one is believed only if init
// runs without a filter, too.
func (b *builder) seccomp() error {
	if b.spec.Linux.Seccomp == nil {
		if err := b.ownSeccomp(); err != nil {
			return err
		}
	}
	b.out.Seccomp = b.spec.Linux.Seccomp
	b.from("Seccomp", "%s", b.configJSON("linux.seccomp"))
	return b.inheritedSeccomp()
}

// inheritedSeccomp: a shim that is confined itself (an engine in a container, a
// service with SystemCallFilter=) hands its filter down to what docker exec
// starts; dx could not.
func (b *builder) inheritedSeccomp() error {
	self, err := selfStatus()
	if err != nil {
		return err
	}
	if b.shim.Seccomp != filterMode || self.Seccomp == filterMode || b.o.IgnoreUnknownFilter {
		return nil
	}
	return &UnknownFilterError{PID: b.bundle.Shim.PID, Reason: "that is the shim's own, which no profile describes"}
}

// ownSeccomp is for a process whose filter no bundle describes: the kernel does
// not show what a filter holds (short of PTRACE_SECCOMP_GET_FILTER).
func (b *builder) ownSeccomp() error {
	self, err := selfStatus()
	if err != nil {
		return err
	}
	b.from("Seccomp", "%s Seccomp: %d", b.procFile("status"), b.init.Seccomp)
	if b.init.Seccomp != filterMode || self.Seccomp == filterMode || b.o.IgnoreUnknownFilter {
		return nil
	}
	reason := "no bundle tells its profile"
	if b.bundle != nil {
		reason = b.bundle.Path + "/config.json has no profile"
	}
	return &UnknownFilterError{PID: b.c.Process.PID, Reason: reason}
}

// ociNamespace maps the names of the OCI specification to the kernel's.
var ociNamespace = map[specs.LinuxNamespaceType]nsops.Type{
	specs.CgroupNamespace:  nsops.Cgroup,
	specs.IPCNamespace:     nsops.IPC,
	specs.MountNamespace:   nsops.Mnt,
	specs.NetworkNamespace: nsops.Net,
	specs.PIDNamespace:     nsops.PID,
	specs.TimeNamespace:    nsops.Time,
	specs.UserNamespace:    nsops.User,
	specs.UTSNamespace:     nsops.UTS,
}

// namespaces are those that the bundle lists, and no others that init may have
// made since: runc joins no more. Where the shim itself lives in another
// namespace than dx (Docker in Docker), that one is needed as well.
func (b *builder) namespaces() error {
	want := map[nsops.Type]bool{}
	for _, ns := range b.spec.Linux.Namespaces {
		want[ociNamespace[ns.Type]] = true
	}
	elsewhere := b.bundle.Shim
	if b.c.Source == SourcePID {
		elsewhere = b.c.Process // it may have left its container's namespaces
	}
	differs, err := nsops.Differing(elsewhere)
	if err != nil {
		return err
	}
	for _, t := range nsops.Types {
		if want[t] || slices.Contains(differs, t) {
			b.out.Namespaces = append(b.out.Namespaces, t)
		}
	}
	b.from("Namespaces", "%s", b.configJSON("linux.namespaces"))
	return nil
}

// ownNamespaces are all of the process that differ from dx's.
func (b *builder) ownNamespaces() (err error) {
	b.from("Namespaces", "%s", b.procFile("ns"))
	b.out.Namespaces, err = nsops.Differing(b.c.Process)
	return err
}

// cgroups are those that the runtime made for the container. On v2 runc falls
// back to init's present cgroup where the container's own cannot be joined,
// because init has divided it (EBUSY) or it is gone. On v1 it skips what is gone
// (libcontainer/cgroups, EnterPid).
func (b *builder) cgroups() error {
	if b.state == nil {
		return b.ownCgroups()
	}
	paths, err := b.believedCgroups()
	if err != nil {
		return err
	}
	if len(paths) == 1 && host.HasChildren(paths[""]) {
		return b.ownCgroups()
	}
	for _, name := range slices.Sorted(maps.Keys(paths)) {
		if host.Exists(paths[name]) {
			b.out.Cgroups = append(b.out.Cgroups, CgroupDir{Controller: name, Path: paths[name]})
		}
	}
	if len(b.out.Cgroups) == 0 {
		return b.ownCgroups()
	}
	b.from("Cgroups", "%s", b.stateJSON("cgroup_paths"))
	return nil
}

// believedCgroups are those of the runtime's state in which init is, or was
// before it went deeper: a state that names another cgroup is wrong or forged. The
// cgroup above init is the container's if it is called after it, to the letter.
func (b *builder) believedCgroups() (map[string]string, error) {
	dirs, err := cgroup.Dirs(b.c.Process)
	if err != nil {
		return nil, err
	}
	paths := map[string]string{}
	for _, d := range dirs {
		claimed, ok := b.state.CgroupPaths[d.Controller]
		if ok && (claimed == d.Path || strings.HasPrefix(d.Path, claimed+"/") && host.IsCgroupOf(path.Base(claimed), b.bundle.ID)) {
			paths[d.Controller] = claimed
		}
	}
	return paths, nil
}

// ownCgroups are the ones in which the process is now.
func (b *builder) ownCgroups() error {
	dirs, err := cgroup.Dirs(b.c.Process)
	if err != nil {
		return err
	}
	if len(dirs) == 0 {
		return fmt.Errorf("none of the cgroups in %s is mounted here", b.procFile("cgroup"))
	}
	for _, d := range dirs {
		b.out.Cgroups = append(b.out.Cgroups, CgroupDir(d))
	}
	b.from("Cgroups", "%s", b.procFile("cgroup"))
	return nil
}
