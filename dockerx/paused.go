package dockerx

import (
	"slices"
	"strings"

	"dx/nsops"
	"dx/nsops/cgroup"
	"dx/nsops/proc"
)

// Paused asks the kernel at the first call whether the container is frozen. What the source
// says, which may lag, counts only where no freezer can be read.
func (c *Container) Paused() bool {
	if c.paused == nil {
		dirs, err := c.freezers()
		rest, thawed := withoutV1(dirs, c.Process)
		frozen, _, known := cgroup.Freezer(rest)
		if !known && !thawed || err != nil {
			frozen = c.saidPaused
		}
		c.paused = &frozen
	}
	return *c.paused
}

// freezers are the cgroups of its process that could be frozen.
func (c *Container) freezers() ([]cgroup.Dir, error) {
	cgroups, err := c.Cgroups()
	if err != nil {
		return nil, err
	}
	return cgroup.DirsOf(cgroups, "freezer", "")
}

// withoutV1 leaves out the freezer of v1 if the process's state tells that it is not frozen by
// that: in state R or S it is not, or it would be in D (__task_state_index, linux/sched.h).
// freezer.state is costly to read.
func withoutV1(dirs []cgroup.Dir, p *proc.Process) (rest []cgroup.Dir, thawed bool) {
	if p.State != 'R' && p.State != 'S' {
		return dirs, false
	}
	rest = slices.DeleteFunc(slices.Clone(dirs), func(d cgroup.Dir) bool { return d.Controller == "freezer" })
	return rest, len(rest) < len(dirs)
}

// readFreezers has all of them find out at once whether they are paused. Mostly all cgroups
// lie as those of the first do, so that the kernel need not tell where each is.
func (s *shown) readFreezers() {
	if s == nil || len(s.list) == 0 {
		return
	}
	first := s.list[0]
	first.Paused()
	dirs, _ := first.freezers() // none: each looks for its own
	nsops.Spread(len(s.list), func(i int) {
		if c := s.list[i]; !c.pausedBeside(first.ID, dirs) {
			c.Paused()
		}
	})
}

// pausedBeside is Paused by the cgroup that lies as another container's does. It reports whether
// there is one.
func (c *Container) pausedBeside(id string, dirs []cgroup.Dir) bool {
	var own []cgroup.Dir
	for _, d := range dirs {
		if strings.Count(d.Path, id) != 1 {
			return false
		}
		d.Path = strings.Replace(d.Path, id, c.ID, 1)
		own = append(own, d)
	}
	rest, thawed := withoutV1(own, c.Process)
	frozen, _, known := cgroup.Freezer(rest)
	if known || thawed && len(rest) == 0 {
		c.paused = &frozen
	}
	return c.paused != nil
}
