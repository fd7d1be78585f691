package cgroup

import (
	"path"
	"strings"

	"dx/nsops/proc"
)

// Freezer returns whether one of the cgroups is frozen or about to be, and the file that
// sets it: freezer.state on v1, cgroup.freeze on v2. A cgroup is frozen
// also if one above it is. ok is false where none of the cgroups has a freezer: the
// root cgroups, v2 before Linux 5.2.
func Freezer(dirs []Dir) (frozen bool, file string, ok bool) {
	for _, d := range dirs {
		is, by, known := d.freezer()
		ok = ok || known
		if is && !frozen {
			frozen, file = true, path.Join(d.Path, by)
		}
	}
	return frozen, file, ok
}

func (d Dir) freezer() (frozen bool, file string, ok bool) {
	switch d.Controller {
	case "freezer":
		state, ok := d.ReadFile("freezer.state")
		return ok && state != "THAWED", "freezer.state", ok // FREEZING, too
	case "":
		events, _ := d.ReadFile("cgroup.events")
		for line := range strings.Lines(events) {
			if value, ok := strings.CutPrefix(strings.TrimSpace(line), "frozen "); ok {
				return value == "1", "cgroup.freeze", true
			}
		}
	}
	return false, "", false
}

// FrozenBy returns the file of a cgroup that keeps a process frozen.
func FrozenBy(p *proc.Process) (file string, frozen bool) {
	dirs, err := Dirs(p)
	if err != nil {
		return "", false
	}
	frozen, file, _ = Freezer(dirs)
	return file, frozen
}
