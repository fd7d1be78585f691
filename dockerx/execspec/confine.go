package execspec

import (
	"path"
	"slices"

	"golang.org/x/sys/unix"

	"dx/dockerx/host"
	"dx/nsops"
	"dx/nsops/proc"
)

// seccomp is the bundle's profile, which the runtime installed at the start and
// installs again for an exec. What init has installed since is init's own: docker exec
// does not have it.
func (b *builder) seccomp() error {
	b.out.Seccomp = b.f.Spec.Linux.Seccomp
	b.from("Seccomp", "%s", configJSON("linux.seccomp"))
	// A shim that is confined itself (an engine in a container, a service with
	// SystemCallFilter=) hands its filters down to what docker exec starts.
	if b.f.Shim.Status.Seccomp != unix.SECCOMP_MODE_FILTER {
		return nil
	}
	b.from("Seccomp", "those of the shim (pid %d) as the kernel has them, %s", b.f.Shim.PID, configJSON("linux.seccomp"))
	return b.filters(b.f.Shim.PID, "they are the shim's own")
}

// ownSeccomp is for a process whose filters no bundle describes.
func (b *builder) ownSeccomp() error {
	if b.f.Init.Status.Seccomp != unix.SECCOMP_MODE_FILTER {
		b.from("Seccomp", "%s Seccomp: %d", b.procFile("status"), b.f.Init.Status.Seccomp)
		return nil
	}
	b.from("Seccomp", "those of pid %d as the kernel has them", b.f.Init.PID)
	return b.filters(b.f.Init.PID, "no bundle tells their profile")
}

// takesFilters reports whether the filters of a process with that status are to be
// installed again. Where dx has as many it is beside that process, it seems, and the
// command has them by birth.
func takesFilters(f *Facts, of proc.Status) bool {
	own := f.Self.Status
	return of.Seccomp == unix.SECCOMP_MODE_FILTER &&
		(own.Seccomp != unix.SECCOMP_MODE_FILTER || own.SeccompFilters < of.SeccompFilters)
}

// filters takes over the filters that were read of a process.
func (b *builder) filters(pid int, reason string) error {
	switch {
	case b.f.FiltersErr == nil:
		b.out.Filters = b.f.Filters
	case b.o.IgnoreUnknownFilter:
		b.from("Seccomp", "--ignore-unknown-filter")
	default:
		return &UnknownFilterError{PID: pid, Reason: reason, Err: b.f.FiltersErr}
	}
	return nil
}

// namespaces are those that the bundle lists, and no others that init may have
// made since: runc joins no more. Where the shim itself lives in another
// namespace than dx (Docker in Docker), that one is needed as well.
func (b *builder) namespaces() error {
	elsewhere := b.f.Shim.Namespaces
	if b.f.ByNumber {
		elsewhere = b.f.Init.Namespaces // it may have left its container's namespaces
	}
	b.listedNamespaces(elsewhere.Differing(b.f.Self.Namespaces))
	b.from("Namespaces", "%s", configJSON("linux.namespaces"))
	return nil
}

// listedNamespaces are those that the container was made with, and others.
func (b *builder) listedNamespaces(others []nsops.Type) {
	want := map[nsops.Type]bool{}
	for _, ns := range b.f.Spec.Linux.Namespaces {
		want[nsops.OCI[ns.Type]] = true
	}
	for _, t := range nsops.Types {
		if want[t] || slices.Contains(others, t) {
			b.out.Namespaces = append(b.out.Namespaces, t)
		}
	}
}

// ownNamespaces are all of the process that differ from dx's.
func (b *builder) ownNamespaces() error {
	b.from("Namespaces", "%s", b.procFile("ns"))
	b.out.Namespaces = b.f.Init.Namespaces.Differing(b.f.Self.Namespaces)
	return nil
}

// exactNamespaces is ownNamespaces of a process that may change them at will.
func (b *builder) exactNamespaces() error {
	b.out.Exactly = b.f.Init.Namespaces.Own
	return b.ownNamespaces()
}

// cgroups are those that the runtime made for the container, wherever init has gone
// since. On v2 runc falls back to init's present cgroup where the container's own cannot
// be joined, because init has divided it (EBUSY) or it is gone
// (libcontainer/process_linux.go). So does dx on v1, where runc fails: the command is
// never outside of a hierarchy's limits.
func (b *builder) cgroups() error {
	if b.f.State == nil || b.o.NoCgroup {
		return b.ownCgroups()
	}
	paths := believedCgroups(b.f)
	if _, v2 := paths[""]; v2 && len(paths) == 1 && b.f.Divided {
		return b.ownCgroups()
	}
	b.from("Cgroups", "%s", stateJSON("cgroup_paths"))
	for _, d := range b.f.Cgroups {
		if own, ok := paths[d.Controller]; ok && b.f.Joinable[own] {
			d.Path = own
		} else {
			b.from("Cgroups", "%s, where that cannot be joined %s", stateJSON("cgroup_paths"), b.procFile("cgroup"))
		}
		b.out.Cgroups = append(b.out.Cgroups, CgroupDir(d))
	}
	if len(b.out.Cgroups) == 0 {
		return b.ownCgroups()
	}
	return nil
}

// believedCgroups are those of the runtime's state that are the container's: init is
// there, or they are called after the container, to the letter. Any other was made for
// something else, or forged. The state of a detached container is believed for itself.
func believedCgroups(f *Facts) map[string]string {
	paths := map[string]string{}
	for _, d := range f.Cgroups {
		claimed, ok := f.State.CgroupPaths[d.Controller]
		if ok && (claimed == d.Path || f.Kind == Detached || host.IsCgroupOf(path.Base(claimed), f.ID)) {
			paths[d.Controller] = claimed
		}
	}
	return paths
}

// ownCgroups are the ones in which the process is now; none if none are wanted.
func (b *builder) ownCgroups() error {
	if b.o.NoCgroup {
		b.from("Cgroups", "none: --no-cgroup")
		return nil
	}
	if len(b.f.Cgroups) == 0 {
		return &NoCgroupError{Of: b.procFile("cgroup")}
	}
	for _, d := range b.f.Cgroups {
		b.out.Cgroups = append(b.out.Cgroups, CgroupDir(d))
	}
	b.from("Cgroups", "%s", b.procFile("cgroup"))
	return nil
}
