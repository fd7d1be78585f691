package namespaces

import (
	"context"
	"errors"
	"io/fs"
	"slices"

	"dx/dockerx"
	"dx/dockerx/membership"
	"dx/nsops"
	"dx/nsops/census"
)

// World is a census of namespaces in which the containers have names.
type World struct {
	Census     *census.Census // see Take
	Host       census.Places
	Containers []*dockerx.Container
	In         []int // of each process of the census: an index of Containers, or -1
	Refs       []int // indexes of the containers that were asked for; none: all
}

// Close closes the containers.
func (w *World) Close() { dockerx.CloseAll(w.Containers) }

// Ask adds a container to those that were asked for.
func (w *World) Ask(ctx context.Context, find Finder, ref string) error {
	c, err := find.Resolve(ctx, ref)
	if err != nil {
		return err
	}
	for i, known := range w.Containers {
		if known.Process.PID == c.Process.PID {
			w.Refs = append(w.Refs, i)
			return c.Close()
		}
	}
	w.Refs = append(w.Refs, len(w.Containers))
	w.Containers = append(w.Containers, c)
	return nil
}

// Take makes the pass over /proc; deep also finds namespaces that no process is in.
func (w *World) Take(deep bool) error {
	set, _, err := nsops.ReadHost()
	if err != nil && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	w.Host = census.PlacesOf(set)
	if w.Census, err = census.Take(deep); err != nil {
		return err
	}
	list := make([]membership.Container, len(w.Containers))
	for i, c := range w.Containers {
		list[i] = membership.Container{ID: c.ID, Init: c.Process}
	}
	w.In = membership.New(list).Attribute(w.Census)
	return nil
}

// Find returns the namespaces that a reference means. Sockets are asked where nothing
// else keeps one; unasked says why they could not be.
func (w *World) Find(r Ref) (list []*census.Namespace, unasked error) {
	if r.Handle != nil {
		w.Census.Add(r.Handle)
	}
	list = w.meant(r)
	if len(list) == 0 && (r.Type == "" || r.Type == nsops.Net) {
		unasked = w.Census.Sockets()
		list = w.meant(r)
	}
	return list, unasked
}

// meant are the namespaces that a reference means. One that only others keep (a parent with
// nobody in it) is known once they were asked.
func (w *World) meant(r Ref) []*census.Namespace {
	w.Census.Relate(func(ns *census.Namespace) bool {
		return r.Means(ns) || ns.Type == nsops.PID || ns.Type == nsops.User
	})
	return slices.DeleteFunc(w.Census.List(), func(ns *census.Namespace) bool { return !r.Means(ns) })
}

// Choice is which namespaces are wanted of those of the containers that were asked for.
type Choice struct {
	Tree bool // PID and user namespaces, and what is above them
	All  bool // all types, and those that no process is in
}

// Choose returns the namespaces of the containers that were asked for.
func (w *World) Choose(o Choice) []*census.Namespace {
	chosen := w.chosen(o.All)
	w.Census.Relate(chosen)
	var list []*census.Namespace
	for _, ns := range w.Census.List() {
		if (!o.Tree || o.All || ns.Type == nsops.PID || ns.Type == nsops.User) && chosen(ns) {
			list = append(list, ns)
		}
	}
	if o.Tree && len(w.Refs) > 0 {
		list = w.withRelatives(list)
	}
	return list
}

// chosen tells the namespaces that the containers asked for are in, with any process
// of theirs, or, with all, keep.
func (w *World) chosen(all bool) func(*census.Namespace) bool {
	if len(w.Refs) == 0 {
		return func(*census.Namespace) bool { return true }
	}
	asked, pids := map[int]bool{}, map[int]bool{}
	ids := map[nsops.ID]bool{}
	for _, at := range w.Refs {
		asked[at] = true
		pids[w.Containers[at].Process.PID] = true
		if w.Containers[at].Ref == "host" {
			for _, id := range w.Host {
				ids[id] = true
			}
		}
	}
	held := map[int]bool{}
	for i, p := range w.Census.Processes {
		if !asked[w.In[i]] && !pids[p.PID] {
			continue
		}
		held[p.PID] = all
		for _, id := range p.Places {
			ids[id] = true
		}
	}
	return func(ns *census.Namespace) bool {
		for _, h := range ns.Holds {
			if held[h.PID] {
				return true
			}
		}
		return ids[ns.ID]
	}
}

// withRelatives adds what is above each namespace, so that a tree has its branches.
func (w *World) withRelatives(list []*census.Namespace) []*census.Namespace {
	seen := map[nsops.ID]bool{}
	for _, ns := range list {
		seen[ns.ID] = true
	}
	for _, ns := range list {
		for _, up := range w.Census.Above(ns) {
			if !seen[up.ID] {
				seen[up.ID] = true
				list = append(list, up)
			}
		}
	}
	return list
}
