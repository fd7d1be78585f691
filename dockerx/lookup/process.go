package lookup

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"dx/dockerx"
	"dx/dockerx/membership"
	"dx/nsops"
	"dx/nsops/census"
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
	if errors.Is(err, proc.ErrThread) {
		return t.matchThread(q.PID)
	}
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
	if len(hits) == 0 && st.Name == proxyName {
		if hits, err = t.ofProxy(p); err != nil || len(hits) > 0 {
			return hits, "", err
		}
	}
	tried := fmt.Sprintf("process %d (%s) is in no container's cgroup or namespaces", q.PID, st.Name)
	if a.Other != "" {
		tried = fmt.Sprintf("process %d (%s) is in the cgroup of container %s, which dx does not list", q.PID, st.Name, a.Other)
	}
	return hits, tried, nil
}

// matchThread answers for the process that a thread belongs to.
func (t *Finder) matchThread(tid int) ([]Hit, string, error) {
	pid, err := proc.LeaderOf(tid)
	if err != nil || pid == tid {
		return nil, fmt.Sprintf("thread %d has just ended", tid), ignore(err)
	}
	hits, tried, err := t.matchPID(Query{Kind: PID, PID: pid})
	for i := range hits {
		hits[i].Evidence = fmt.Sprintf("a thread of process %d: %s", pid, hits[i].Evidence)
	}
	return hits, fmt.Sprintf("%d is a thread of process %d, and %s", tid, pid, tried), err
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
	hits, unasked, err := t.keepers(q)
	if err != nil || len(hits) > 0 {
		return hits, "", err
	}
	tried := fmt.Sprintf("no container has a process in a namespace %d, or keeps one by a thread, a mount, an open file or a socket%s", q.Inode, unasked)
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

// keepers looks for containers that keep a namespace in which they have no process: the
// first way of each. unasked says what could not be asked.
func (t *Finder) keepers(q Query) (hits []Hit, unasked string, err error) {
	c, err := census.Take(true)
	if err != nil {
		return nil, "", err
	}
	means := func(ns *census.Namespace) bool { return ns.ID.Inode == q.Inode && (q.Type == "" || q.Type == ns.Type) }
	if !slices.ContainsFunc(c.List(), means) && (q.Type == "" || q.Type == nsops.Net) {
		if err := c.Sockets(); err != nil {
			unasked = fmt.Sprintf("; not checked: all sockets (%v)", err)
		}
	}
	if c.Hidden > 0 {
		unasked += fmt.Sprintf("; not checked: %d processes that may not be looked at", c.Hidden)
	}
	if c.NoInodes {
		unasked += "; not checked: files opened by way of a mount (that takes Linux 5.14)"
	}
	for _, ns := range c.List() {
		if !means(ns) {
			continue
		}
		if hits, err = t.keeping(hits, ns); err != nil {
			return nil, "", err
		}
	}
	return hits, unasked, nil
}

// keeping adds the containers that keep a namespace, each once.
func (t *Finder) keeping(hits []Hit, ns *census.Namespace) ([]Hit, error) {
	for _, h := range ns.Holds {
		found, err := t.ofPID(h.PID)
		if err != nil {
			return nil, err
		}
		for _, c := range found {
			if !slices.ContainsFunc(hits, func(h Hit) bool { return h.Container == c }) {
				hits = append(hits, Hit{Inode, c, kept(ns.Type, h)})
			}
		}
	}
	return hits, nil
}

// ofPID returns the containers in which the process with a number is.
func (t *Finder) ofPID(pid int) ([]*dockerx.Container, error) {
	x, err := t.index()
	if err != nil {
		return nil, err
	}
	p, err := proc.OpenDir(pid)
	if err != nil {
		return nil, ignore(err)
	}
	defer p.Close()
	a, err := x.Of(p)
	return t.these(a.In), ignore(err)
}

// kept says in words how a process keeps a namespace in which it is not.
func kept(typ nsops.Type, h census.Hold) string {
	switch {
	case h.Children:
		return fmt.Sprintf("the children of its process %d will be in the %s namespace", h.PID, typ)
	case h.Path != "":
		return fmt.Sprintf("the %s namespace is mounted on %s where its process %d is", typ, h.Path, h.PID)
	case h.Socket:
		return fmt.Sprintf("its process %d keeps the %s namespace by a socket, fd %d", h.PID, typ, h.FD)
	case h.TID != 0:
		return fmt.Sprintf("thread %d of its process %d is in the %s namespace", h.TID, h.PID, typ)
	}
	return fmt.Sprintf("its process %d has the %s namespace open as fd %d", h.PID, typ, h.FD)
}

// ignore passes over processes that have ended, or are not the caller's to see.
func ignore(err error) error {
	if errors.Is(err, proc.ErrGone) || errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
