package nsops

import (
	"errors"
	"io/fs"
	"path"
	"strings"

	"dx/nsops/proc"
)

// Scope says which processes belong together: those in some cgroups and below them,
// in a PID namespace and those below it, or in a mount namespace. What a scope lacks
// (no entry, zero ID) does not count.
type Scope struct {
	Cgroups map[string]string // hierarchy (see Hierarchy) → path
	PID     ID
	Mnt     ID
}

// Membership is how a process belongs to a scope; zero: not at all.
type Membership struct {
	Cgroup string // the process's path in the first hierarchy that the scope has; empty: in none
	PID    bool
	Mnt    bool
	// Hidden says that the caller may not see the process's namespaces, and that
	// it is in a PID namespace below the caller's: it might belong here.
	Hidden bool
}

// Any says that the process belongs to the scope.
func (m Membership) Any() bool { return m.Cgroup != "" || m.PID || m.Mnt }

// IsEmpty says that no process can belong to the scope.
func (s Scope) IsEmpty() bool { return len(s.Cgroups) == 0 && s.PID.IsZero() && s.Mnt.IsZero() }

// Hierarchy names the hierarchy of a line of /proc/PID/cgroup: its controllers as the
// file has them; empty: that of v2.
func Hierarchy(cg proc.Cgroup) string { return strings.Join(cg.Controllers, ",") }

// Below says whether a cgroup path is base or below it.
func Below(cgroup, base string) bool {
	return cgroup == base || strings.HasPrefix(cgroup, strings.TrimSuffix(base, "/")+"/")
}

// InCgroups returns the first of a process's cgroups that is in the scope.
func (s Scope) InCgroups(cgroups []proc.Cgroup) (string, bool) {
	for _, cg := range cgroups {
		if base, ok := s.Cgroups[Hierarchy(cg)]; ok && Below(cg.Path, base) {
			return cg.Path, true
		}
	}
	return "", false
}

// Members tells members of scopes in a pass over many processes. It remembers which
// PID namespace is below which.
type Members struct {
	parents map[ID]ID
}

// In says how a process belongs to a scope. One that has ended belongs to none.
func (m *Members) In(s Scope, p *proc.Process, cgroups []proc.Cgroup) (Membership, error) {
	var out Membership
	out.Cgroup, _ = s.InCgroups(cgroups)
	for _, n := range []struct {
		want ID
		name string
		to   *bool
	}{{s.PID, "pid", &out.PID}, {s.Mnt, "mnt", &out.Mnt}} {
		if n.want.IsZero() {
			continue
		}
		st, err := p.Identity("ns/" + n.name)
		switch {
		case errors.Is(err, fs.ErrPermission):
			out.Hidden = nested(p)
		case err == nil:
			id := IDOf(&st)
			*n.to = id == n.want || n.name == "pid" && m.below(p, id, n.want)
		case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, proc.ErrGone):
			return out, err
		}
	}
	return out, nil
}

// nested goes by NSpid, which anybody may read.
func nested(p *proc.Process) bool {
	st, err := p.Status()
	return err == nil && len(st.NSpid) > 1
}

// below says whether the PID namespace id, that of p, is somewhere below another.
// Each namespace's parent is asked for once (ioctl_nsfs(2), NS_GET_PARENT).
func (m *Members) below(p *proc.Process, id, above ID) bool {
	if _, known := m.parents[id]; !known {
		m.learn(p, id)
	}
	// The kernel allows 32 levels (MAX_PID_NS_LEVEL).
	for range 33 {
		parent := m.parents[id]
		if parent.IsZero() {
			return false
		}
		if parent == above {
			return true
		}
		id = parent
	}
	return false
}

func (m *Members) learn(p *proc.Process, id ID) {
	if m.parents == nil {
		m.parents = map[ID]ID{}
	}
	m.parents[id] = ID{} // also where nobody may see what is above
	ids, _ := Ancestors(p, PID)
	for i := 1; i < len(ids); i++ {
		m.parents[ids[i-1]] = ids[i]
	}
}

// ScopeOf is the scope of a process: what of its cgroups and namespaces is not the
// caller's and the host's as well. It is empty for a process like the caller. One that has
// ended meanwhile is proc.ErrGone.
func ScopeOf(p *proc.Process, cgroups []proc.Cgroup) (Scope, error) {
	s := Scope{Cgroups: map[string]string{}}
	own, err := ownPlace()
	if err != nil {
		return s, err
	}
	for _, cg := range cgroups {
		mine, ok := own.cgroups[Hierarchy(cg)]
		if path.Clean(cg.Path) != "/" && (!ok || !Below(mine, cg.Path)) {
			s.Cgroups[Hierarchy(cg)] = cg.Path
		}
	}
	for t, to := range map[Type]*ID{PID: &s.PID, Mnt: &s.Mnt} {
		id, err := Identify(p, t)
		if errors.Is(err, fs.ErrPermission) {
			continue
		}
		if err != nil {
			return s, err
		}
		if !own.in[t][id] {
			*to = id
		}
	}
	return s, nil
}

// place is where the caller is, and the host.
type place struct {
	cgroups map[string]string
	in      map[Type]map[ID]bool
}

func ownPlace() (place, error) {
	out := place{cgroups: map[string]string{}, in: map[Type]map[ID]bool{}}
	self, err := proc.Self()
	if err != nil {
		return out, err
	}
	defer self.Close()
	cgroups, err := self.Cgroups()
	if err != nil {
		return out, err
	}
	for _, cg := range cgroups {
		out.cgroups[Hierarchy(cg)] = cg.Path
	}
	set, err := Read(self)
	if err != nil {
		return out, err
	}
	host, _, err := ReadHost()
	if err != nil {
		return out, err
	}
	for _, t := range Types {
		out.in[t] = map[ID]bool{set.Own[t]: true, host.Own[t]: true}
	}
	return out, nil
}

// LeadsPIDs says whether a process is the init of its PID namespace, which is then its
// own and not one that it was put into.
func LeadsPIDs(st proc.Status) bool {
	return len(st.NSpid) > 0 && st.NSpid[len(st.NSpid)-1] == 1
}
