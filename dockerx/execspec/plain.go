package execspec

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"dx/nsops"
	"dx/nsops/cgroup"
	"dx/nsops/launch"
	"dx/nsops/proc"
)

// A plain user enters containers of his own, and root of a user namespace those below. Some
// of what a child of the shim has takes root of the host to give to another process: that
// stays as dx's own, and is said.

// isPlain reports whether dx is not root of the host, by its own status and namespaces.
func isPlain(self *Process) bool {
	return self.Status.UID[1] != 0 || !self.Namespaces.Own[nsops.User].IsFirstUser()
}

// keepOwn leaves out what dx may not give, and returns what that is.
func (p *Plan) keepOwn() (kept []string) {
	s, own := &p.Shed, p.caller
	const unset = ^uint32(0)
	if s.Sched != nil && (s.Sched.Nice < own.Attributes.Sched.Nice || s.Sched.Policy != own.Attributes.Sched.Policy) {
		kept = append(kept, fmt.Sprintf("nice value (%d, not %d)", own.Attributes.Sched.Nice, s.Sched.Nice))
		s.Sched = nil
	}
	if s.LoginUID != nil && own.Attributes.LoginUID != unset {
		kept = append(kept, fmt.Sprintf("login uid (%d, not %d)", own.Attributes.LoginUID, *s.LoginUID))
		s.LoginUID = nil
	}
	if score := p.Process.OOMScoreAdj; score != nil && readOwnOOMScoreAdj(own) == nil && *score <= own.OOMScoreAdj {
		if *score < own.OOMScoreAdj {
			kept = append(kept, fmt.Sprintf("oom_score_adj (%d, not %d)", own.OOMScoreAdj, *score))
		}
		p.Process.OOMScoreAdj = nil
	}
	limits := slices.Clone(p.Process.Rlimits)
	for _, l := range within(slices.Clone(limits), own.Rlimits) {
		if !slices.Contains(limits, l) {
			kept = append(kept, l.Type)
		}
	}
	p.Process.Rlimits = within(limits, own.Rlimits)
	return kept
}

func readOwnOOMScoreAdj(to *Process) error {
	self, err := proc.Self()
	if err != nil {
		return err
	}
	return to.readOOMScoreAdj(self)
}

// openCgroups opens those that the command enters. A plain user may not be allowed to.
func (p *Plan) openCgroups(dirs []CgroupDir) error {
	var refused []string
	own := p.ownCgroups()
	for _, dir := range dirs {
		if p.Plain && own[dir.Controller] == dir.Path {
			continue
		}
		if p.Plain && !mayEnter(dir, own[dir.Controller]) {
			refused = append(refused, dir.Path)
			continue
		}
		name := dir.Controller
		if name == "" {
			name = launch.Unified
		}
		cg, err := launch.OpenCgroup(name, dir.Path)
		if err != nil {
			return err
		}
		p.Cgroups = append(p.Cgroups, cg)
	}
	if len(refused) > 0 {
		p.container.Warn(fmt.Sprintf("the command stays in dx's own cgroups, whose limits hold for it: only root may enter %s from here", strings.Join(refused, ", ")))
	}
	return nil
}

// ownCgroups are dx's own directories, by controller.
func (p *Plan) ownCgroups() map[string]string {
	list, err := cgroup.Own()
	if err != nil || !p.Plain {
		return nil
	}
	dirs, err := cgroup.DirsOf(list)
	if err != nil {
		return nil
	}
	out := map[string]string{}
	for _, d := range dirs {
		out[d.Controller] = d.Path
	}
	return out
}

// mayEnter reports whether dx may move a process of its own into a cgroup: on v2 that takes
// the right to write to the one around both as well (cgroups(7), "cgroup delegation").
func mayEnter(dir CgroupDir, own string) bool {
	if dir.Controller != "" || own == "" {
		return isWritable(dir.Path)
	}
	around := own
	for !nsops.Below(dir.Path, around) {
		around = path.Dir(around)
	}
	return isWritable(dir.Path) && isWritable(around)
}

func isWritable(dir string) bool {
	return unix.Access(path.Join(dir, "cgroup.procs"), unix.W_OK) == nil
}
