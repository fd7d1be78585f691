package execspec

import (
	"golang.org/x/sys/unix"

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
