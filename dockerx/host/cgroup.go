package host

import (
	"iter"
	"path"
	"strings"

	"dx/dockerx/docker"
	"dx/nsops/proc"
)

// The ID of a container in a cgroup's path is a component of it: the ID itself,
// "docker-<id>.scope" (systemd), "cri-containerd-<id>.scope". A container may divide its
// own cgroup and name the parts as it likes; they stay below. The paths may begin with
// "/.." where dx is in a cgroup namespace.

// idsOf yields what may be the ID of a container in each component of a cgroup's path,
// the outermost first, and the path up to it.
func idsOf(cgroup string) iter.Seq2[string, string] {
	return func(yield func(id, base string) bool) {
		end := 0
		for part := range strings.SplitSeq(cgroup, "/") {
			end += len(part)
			if !yield(idOf(part), cgroup[:end]) {
				return
			}
			end++
		}
	}
}

func idOf(part string) string {
	// The monitor's own, which is no part of the container: crio-conmon-ID, libpod-conmon-ID.scope.
	if strings.HasPrefix(part, "crio-conmon-") || strings.HasPrefix(part, "libpod-conmon-") {
		return ""
	}
	part = strings.TrimPrefix(strings.TrimSuffix(part, ".scope"), "lxc.payload.")
	if docker.IsID(part) {
		return part
	}
	return part[strings.LastIndexByte(part, '-')+1:]
}

// IsCgroupOf reports whether a component of a cgroup's path is the container's.
func IsCgroupOf(part, id string) bool { return id != "" && idOf(part) == id }

// InCgroup reports whether one of a process's cgroups is the container's or below it.
// namespace is containerd's; empty: it has none. /default/web is no part of a container
// called default, but another's in a namespace of that name: containerd puts a container
// into /NAMESPACE/ID unless it is told another place.
func InCgroup(cgroups []proc.Cgroup, namespace, id string) bool {
	for _, cg := range cgroups {
		base, ok := cutAt(cg.Path, id)
		if ok && (namespace == "" || docker.IsID(id) || base == cg.Path || !atTop(base, id)) {
			return true
		}
	}
	return false
}

// atTop reports whether a container's cgroup would be one of the outermost.
func atTop(base, id string) bool { return strings.Trim(strings.TrimSuffix(base, id), "/.") == "" }

// CgroupBase cuts a cgroup path behind the container's own cgroup, the outermost of that
// ID: a container names what is below as it likes. ok is false where no component is.
func CgroupBase(cg proc.Cgroup, id string) (base string, ok bool) { return cutAt(cg.Path, id) }

// WholeCgroup is CgroupBase, or the cgroup as it is where no component is the container's.
func WholeCgroup(cg proc.Cgroup, id string) string {
	if base, ok := CgroupBase(cg, id); ok {
		return base
	}
	return cg.Path
}

// cutAt is CgroupBase of a path, in a hierarchy or below where one is mounted.
func cutAt(cgroup, id string) (base string, ok bool) {
	if id == "" {
		return "", false
	}
	for found, base := range idsOf(cgroup) {
		// What a user has called a container may have a hyphen itself.
		if found == id || path.Base(base) == id {
			return belowNamespace(cgroup, base, id), true
		}
	}
	return "", false
}

// belowNamespace returns the container's cgroup where base may be that of a namespace of
// the same name: containerd makes /NAMESPACE/ID (oci/spec.go, populateDefaultUnixSpec), and
// "default" is a namespace as well as what somebody may call a container. An ID of 64
// digits is no namespace's name.
func belowNamespace(cgroup, base, id string) string {
	own := base + "/" + id
	if atTop(base, id) && !docker.IsID(id) && (cgroup == own || strings.HasPrefix(cgroup, own+"/")) {
		return own
	}
	return base
}

// CgroupIDs yields the 64-digit container IDs in a process's cgroups.
func CgroupIDs(cgroups []proc.Cgroup) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, cg := range cgroups {
			for found := range idsOf(cg.Path) {
				if docker.IsID(found) && !yield(found) {
					return
				}
			}
		}
	}
}

// CgroupID returns the innermost 64-digit container ID in a process's cgroups.
func CgroupID(cgroups []proc.Cgroup) (id string, ok bool) {
	for _, cg := range cgroups {
		for found := range idsOf(cg.Path) {
			if docker.IsID(found) {
				id = found
			}
		}
		if id != "" {
			return id, true
		}
	}
	return "", false
}

// outermostID returns the ID of the container in which all others are nested.
func outermostID(cgroups []proc.Cgroup) (id string, ok bool) {
	for _, cg := range cgroups {
		for found := range idsOf(cg.Path) {
			if docker.IsID(found) {
				return found, true
			}
		}
	}
	return "", false
}
