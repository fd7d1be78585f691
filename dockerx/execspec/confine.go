package execspec

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"dx/dockerx"
	"dx/dockerx/host"
	"dx/nsops"
	"dx/nsops/cgroup"
	"dx/nsops/proc"
	"dx/nsops/seccomp"
)

// seccomp is the bundle's profile, which the runtime installed at the start and
// installs again for an exec. What init has installed since is init's own: docker exec
// does not have it.
func (b *builder) seccomp() error {
	b.out.Seccomp = b.spec.Linux.Seccomp
	b.from("Seccomp", "%s", b.configJSON("linux.seccomp"))
	// A shim that is confined itself (an engine in a container, a service with
	// SystemCallFilter=) hands its filters down to what docker exec starts.
	if b.shim.Seccomp != unix.SECCOMP_MODE_FILTER {
		return nil
	}
	b.from("Seccomp", "those of the shim (pid %d) as the kernel has them, %s", b.bundle.Shim.PID, b.configJSON("linux.seccomp"))
	return b.filtersOf(b.bundle.Shim, b.shim, "they are the shim's own")
}

// ownSeccomp is for a process whose filters no bundle describes.
func (b *builder) ownSeccomp() error {
	if b.init.Seccomp != unix.SECCOMP_MODE_FILTER {
		b.from("Seccomp", "%s Seccomp: %d", b.procFile("status"), b.init.Seccomp)
		return nil
	}
	b.from("Seccomp", "those of pid %d as the kernel has them", b.c.Process.PID)
	return b.filtersOf(b.c.Process, b.init, "no bundle tells their profile")
}

// patience bounds the wait for a process to stop, so that its filters can be read: a
// moment, unless it is frozen.
const patience = 2 * time.Second

// filtersOf takes over the filters of a process.
func (b *builder) filtersOf(p *proc.Process, status proc.Status, reason string) error {
	self, err := selfStatus()
	if err != nil {
		return err
	}
	if self.Seccomp == unix.SECCOMP_MODE_FILTER && self.SeccompFilters >= status.SeccompFilters {
		return nil // dx is beside it, it seems, and the command has them by birth
	}
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	b.out.Filters, err = seccomp.Installed(ctx, p)
	switch {
	case err == nil, errors.Is(err, proc.ErrGone), b.ctx.Err() != nil:
		return err
	case b.o.IgnoreUnknownFilter:
		b.c.Warn(fmt.Sprintf("the command runs without the seccomp filters of pid %d: %v", p.PID, err))
		b.from("Seccomp", "--ignore-unknown-filter")
		return nil
	}
	return &UnknownFilterError{PID: p.PID, Reason: reason, Err: err}
}

// namespaces are those that the bundle lists, and no others that init may have
// made since: runc joins no more. Where the shim itself lives in another
// namespace than dx (Docker in Docker), that one is needed as well.
func (b *builder) namespaces() error {
	want := map[nsops.Type]bool{}
	for _, ns := range b.spec.Linux.Namespaces {
		want[nsops.OCI[ns.Type]] = true
	}
	elsewhere := b.bundle.Shim
	if b.c.Source == dockerx.SourcePID {
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
