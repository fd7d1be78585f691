package host

import (
	"fmt"
	"strings"

	"dx/dockerx/docker"
	"dx/nsops"
	"dx/nsops/proc"
)

// inAnother reports whether a container's cgroup lies in that of another one: whoever
// is root there may have made it. Not so for the one in which dx itself is.
func (t Trust) inAnother(cg proc.Cgroup, id string) bool {
	base, _ := CgroupBase(cg, id)
	for other := range idsOf(base) {
		if docker.IsID(other) && other != id && other != t.here().id {
			return true
		}
	}
	for part := range strings.SplitSeq(t.above(cg, base), "/") {
		if t.mayBeContainer(part) {
			return true
		}
	}
	return false
}

// above returns the cgroups around a container's, without those around dx.
func (t Trust) above(cg proc.Cgroup, base string) string {
	parts := strings.Split(base, "/")
	parts = parts[:len(parts)-1]
	for _, own := range t.here().cgroups {
		if nsops.Hierarchy(own) != nsops.Hierarchy(cg) {
			continue
		}
		for part := range strings.SplitSeq(own.Path, "/") {
			if len(parts) == 0 || parts[0] != part {
				break
			}
			parts = parts[1:]
		}
	}
	return strings.Join(parts, "/")
}

// mayBeContainer reports whether a cgroup is called like those that other managers of
// containers give away: a scope or service of systemd's, which unlike a slice has
// processes (systemd-nspawn: machine-NAME.scope, runc: runc-NAME.scope), and LXC's
// (lxc.payload.NAME, lxc/NAME), or after one that is known. The user manager of dx's own user is no container.
func (t Trust) mayBeContainer(part string) bool {
	switch {
	case part == fmt.Sprintf("user@%d.service", t.uid):
		return false
	case strings.HasSuffix(part, ".scope"), strings.HasSuffix(part, ".service"):
		return true
	}
	return t.served[part] || part == "lxc" || strings.HasPrefix(part, "lxc.payload")
}
