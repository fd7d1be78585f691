package nsops

import (
	"errors"
	"io/fs"
	"path"
	"strings"

	"dx/nsops/proc"
)

// Scope is what processes that belong together have in common: some cgroups and those
// below them, a PID namespace and those below it, a mount namespace. What a scope lacks (no
// entry, zero ID) does not count.
type Scope struct {
	Cgroups map[string]string // hierarchy (see Hierarchy) → path
	PID     ID
	Mnt     ID
}

// IsEmpty reports whether no process can belong to the scope.
func (s Scope) IsEmpty() bool { return len(s.Cgroups) == 0 && s.PID.IsZero() && s.Mnt.IsZero() }

// Hierarchy names the hierarchy of a line of /proc/PID/cgroup: its controllers as the
// file has them; empty: that of v2.
func Hierarchy(cg proc.Cgroup) string { return strings.Join(cg.Controllers, ",") }

// Below reports whether a cgroup path is base or below it.
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

// Lineage remembers which PID namespace is in which.
type Lineage struct {
	parents map[ID]ID
}

// Around returns a PID namespace and those around it, the nearest first, as far as the
// caller may see. member is the number of a process in it. Each namespace's parent is asked
// for once (ioctl_nsfs(2), NS_GET_PARENT).
func (l *Lineage) Around(id ID, member int) []ID {
	if id.IsZero() {
		return nil
	}
	if _, known := l.parents[id]; !known {
		l.learn(id, member)
	}
	out := []ID{id}
	// The kernel allows 32 levels (MAX_PID_NS_LEVEL).
	for up := l.parents[id]; !up.IsZero() && len(out) <= 32; up = l.parents[up] {
		out = append(out, up)
	}
	return out
}

func (l *Lineage) learn(id ID, member int) {
	if l.parents == nil {
		l.parents = map[ID]ID{}
	}
	l.parents[id] = ID{} // also where nobody may see what is above
	p, err := proc.OpenDir(member)
	if err != nil {
		return
	}
	defer p.Close()
	ids, _ := Ancestors(p, PID)
	if len(ids) == 0 || ids[0] != id {
		return // the member has ended
	}
	for i := 1; i < len(ids); i++ {
		l.parents[ids[i-1]] = ids[i]
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

// IsPIDNamespaceInit reports whether a process is the init of its PID namespace, which is then its
// own and not one that it was put into.
func IsPIDNamespaceInit(st proc.Status) bool {
	return len(st.NSpid) > 0 && st.NSpid[len(st.NSpid)-1] == 1
}
