package host

import (
	"strings"

	"dx/nsops/proc"
)

// CgroupBase cuts a cgroup path behind the first component that is the container's
// (see InCgroup): a container may divide its own cgroup, but whatever it names the
// parts, they stay below. ok is false where no component is.
func CgroupBase(cg proc.Cgroup, id string) (base string, ok bool) {
	if id == "" {
		return "", false
	}
	end := 0
	for part := range strings.SplitSeq(cg.Path, "/") {
		end += len(part)
		if cgroupID(part) == id {
			return cg.Path[:end], true
		}
		end++
	}
	return "", false
}
