package lookup

import (
	"errors"
	"fmt"
	"io/fs"

	"dx/dockerx"
	"dx/dockerx/membership"
	"dx/nsops"
	"dx/nsops/proc"
)

// evidence says in words why a process is a container's.
func evidence(a membership.Answer, init bool) string {
	switch {
	case init || a.By == membership.ByInit:
		return "its init"
	case a.By == membership.ByCgroup:
		return "in its cgroup " + a.Cgroup
	case a.By == membership.ByMount && a.PID:
		return "in its mount and PID namespaces and not in its cgroup"
	case a.By == membership.ByMount:
		return "in its mount namespace and not in its cgroup"
	case a.By == membership.ByPID:
		return "in its PID namespace and not in its cgroup"
	}
	return "a descendant of its processes, in none of its cgroups and namespaces"
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
	a, err := x.Of(p)
	if err != nil {
		return nil, "", err
	}
	st, err := p.Status()
	if err != nil {
		return nil, "", err
	}
	var hits []Hit
	for _, c := range t.these(a.In) {
		how := evidence(a, p.PID == c.Process.PID)
		if n := len(st.NSpid); n > 1 {
			how += fmt.Sprintf(" (PID %d there)", st.NSpid[n-1])
		}
		hits = append(hits, Hit{PID, c, how})
	}
	tried := fmt.Sprintf("process %d (%s) is in no container's cgroup or namespaces", q.PID, st.Name)
	if a.Other != "" {
		tried = fmt.Sprintf("process %d (%s) is in the cgroup of container %s, which dx does not list", q.PID, st.Name, a.Other)
	}
	return hits, tried, nil
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
		a, err := x.Of(p)
		for _, c := range t.these(a.In) {
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
