package lookup

import (
	"errors"
	"fmt"
	"io/fs"

	"dx/dockerx"
	"dx/nsops"
	"dx/nsops/proc"
)

// index finds the container of any process without asking each container.
type index struct {
	cgroups map[string][]*dockerx.Container // hierarchy:path
	pid     map[nsops.ID][]*dockerx.Container
	mnt     map[nsops.ID][]*dockerx.Container
}

func (t *Finder) index() (*index, error) {
	x := &index{
		cgroups: map[string][]*dockerx.Container{},
		pid:     map[nsops.ID][]*dockerx.Container{}, mnt: map[nsops.ID][]*dockerx.Container{},
	}
	for _, c := range t.containers {
		s, err := t.scope(c)
		if err != nil {
			return nil, err
		}
		for h, base := range s.Cgroups {
			x.cgroups[h+":"+base] = append(x.cgroups[h+":"+base], c)
		}
		if !s.PID.IsZero() {
			x.pid[s.PID] = append(x.pid[s.PID], c)
		}
		if !s.Mnt.IsZero() {
			x.mnt[s.Mnt] = append(x.mnt[s.Mnt], c)
		}
	}
	return x, nil
}

// of returns the containers that a process is in, and by what evidence. The cgroup
// counts most: who is in another container's cgroup is that one's.
func (x *index) of(p *proc.Process) ([]*dockerx.Container, string, error) {
	cgroups, err := p.Cgroups()
	if err != nil {
		return nil, "", err
	}
	for _, cg := range cgroups {
		for i := len(cg.Path); i > 0; i-- {
			if i < len(cg.Path) && cg.Path[i] != '/' {
				continue
			}
			if c := x.cgroups[nsops.Hierarchy(cg)+":"+cg.Path[:i]]; c != nil {
				return c, "its cgroup " + cg.Path, nil
			}
		}
	}
	for _, n := range []struct {
		in         map[nsops.ID][]*dockerx.Container
		name, text string
	}{{x.pid, "pid", "its PID namespace"}, {x.mnt, "mnt", "its mount namespace"}} {
		st, err := p.Identity("ns/" + n.name)
		if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, "", err
		}
		if c := n.in[nsops.IDOf(&st)]; c != nil {
			return c, n.text + " and not in its cgroup", nil
		}
	}
	return nil, "", nil
}

func (t *Finder) matchPID(q Query) ([]Hit, string, error) {
	p, err := proc.Open(q.PID)
	if errors.Is(err, proc.ErrGone) {
		return nil, fmt.Sprintf("there is no process %d", q.PID), nil
	}
	if err != nil {
		return nil, "", err
	}
	defer p.Close()
	x, err := t.index()
	if err != nil {
		return nil, "", err
	}
	found, evidence, err := x.of(p)
	if err != nil {
		return nil, "", err
	}
	st, err := p.Status()
	if err != nil {
		return nil, "", err
	}
	var hits []Hit
	for _, c := range found {
		how := "in " + evidence
		if p.PID == c.Process.PID {
			how = "its init"
		}
		if n := len(st.NSpid); n > 1 {
			how += fmt.Sprintf(" (PID %d there)", st.NSpid[n-1])
		}
		hits = append(hits, Hit{PID, c, how})
	}
	return hits, fmt.Sprintf("process %d (%s) is in no container's cgroup or namespaces", q.PID, st.Name), nil
}

func (t *Finder) matchInode(q Query) ([]Hit, string, error) {
	host, _, err := nsops.ReadHost()
	if err != nil {
		return nil, "", err
	}
	var hits []Hit
	for _, c := range t.containers {
		s, err := t.set(c)
		if err != nil {
			return nil, "", err
		}
		if typ, ok := holds(s, q); ok {
			how := fmt.Sprintf("its %s namespace", typ)
			if host.Own[typ] == s.Own[typ] {
				how += ", which it shares with the host"
			}
			hits = append(hits, Hit{Inode, c, how})
		}
	}
	if len(hits) > 0 {
		return hits, "", nil
	}
	if hits, err = t.processesIn(q); err != nil || len(hits) > 0 {
		return hits, "", err
	}
	tried := fmt.Sprintf("no container has a process in a namespace %d", q.Inode)
	if typ, ok := holds(host, q); ok {
		tried = fmt.Sprintf("it is the host's %s namespace", typ)
	}
	return nil, tried, nil
}

func holds(s nsops.Set, q Query) (nsops.Type, bool) {
	for _, typ := range nsops.Types {
		if q.Type != "" && q.Type != typ {
			continue
		}
		if id := s.Own[typ]; id.Inode == q.Inode && !id.IsZero() {
			return typ, true
		}
		if id, ok := s.Children[typ]; ok && id.Inode == q.Inode && !id.IsZero() {
			return typ, true
		}
	}
	return "", false
}

// processesIn looks for a process of a container's that is in another namespace than
// its init: the first of each container.
func (t *Finder) processesIn(q Query) ([]Hit, error) {
	x, err := t.index()
	if err != nil {
		return nil, err
	}
	var hits []Hit
	seen := map[*dockerx.Container]bool{}
	err = proc.Each(func(p *proc.Process) error {
		set, err := nsops.Read(p)
		if err != nil {
			return ignore(err)
		}
		typ, ok := holds(set, q)
		if !ok {
			return nil
		}
		found, _, err := x.of(p)
		for _, c := range found {
			if !seen[c] {
				hits = append(hits, Hit{Inode, c, fmt.Sprintf("the %s namespace of its process %d, not of its init", typ, p.PID)})
			}
			seen[c] = true
		}
		return ignore(err)
	})
	return hits, err
}

// ignore passes over processes that have ended, or are not the caller's to see.
func ignore(err error) error {
	if errors.Is(err, proc.ErrGone) || errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
