package execspec

import (
	"path"

	"dx/dockerx/host"
)

// cgroups are those that the runtime made for the container, wherever init has gone
// since. On v2 runc falls back to init's present cgroup where the container's own cannot
// be joined, because init has divided it (EBUSY) or it is gone
// (libcontainer/process_linux.go). So does dx on v1, where runc fails: the command is
// never outside of a hierarchy's limits.
func (b *builder) cgroups() error {
	if b.f.State == nil || b.o.NoCgroup || b.f.Owner != 0 {
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
