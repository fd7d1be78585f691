package dockerx

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"

	"dx/dockerx/engine"
	"dx/dockerx/host"
)

// Running returns all running containers: those of the engine in its order, the newest
// first, and then those that it does not know. One that cannot be had (its lock is held,
// its process is not what the engine says) is left out with a warning and never hides the
// others.
func (r *Resolver) Running(ctx context.Context) ([]*Container, error) {
	s, err := r.see(ctx)
	if err != nil {
		return nil, err
	}
	defer s.close()
	out := r.inspectedAll(ctx, s.told, s.shown)
	return append(out, r.others(s.shown, s.heard)...), nil
}

// seen is what a list of what runs is made of.
type seen struct {
	told    []engine.Summary // by the engine
	heard   bool             // it is the engine's word which others there are
	shown   *shown           // by the kernel; its containers are the taker's to close
	listing *host.Listing    // of which shown is made; nil: the host was not looked at
}

func (s *seen) close() {
	if s.listing != nil {
		s.listing.Close()
	}
}

// see looks at the host while the engine makes its list.
func (r *Resolver) see(ctx context.Context) (*seen, error) {
	if err := r.isHere(); err != nil {
		return nil, err
	}
	if r.from == SourceEngine {
		list, err := r.list(ctx, false)
		if err != nil {
			return nil, err
		}
		return &seen{told: list, heard: true, shown: &shown{}}, nil
	}
	known := r.askKnown(ctx, false)
	l, err := r.listHost()
	if err != nil {
		<-known
		return nil, err
	}
	l.AddOrphans()
	early := r.showEarly(l)
	told := <-known
	if err := r.silence(told.err); err != nil {
		early.close()
		l.Close()
		return nil, err
	}
	s := &seen{told: told.value, heard: r.from != SourceHost && told.err == nil, shown: early, listing: l}
	if !s.heard {
		early.close()
		l.AddRecorded(r.daemons())
		s.shown = r.shownOn(l.Found)
	}
	s.shown.report(r)
	r.addRecorded(l, s.shown, s.told)
	return s, nil
}

// silence returns the error for which the host cannot stand in; else it says why it does.
func (r *Resolver) silence(err error) error {
	if err == nil {
		return nil
	}
	if !isUnavailable(err) {
		return err
	}
	if elsewhere := r.whose().elsewhere; elsewhere != "" {
		return r.otherHost(elsewhere)
	}
	r.instead(err)
	return nil
}

// isHere returns an OtherHostError where the address alone tells that the engine is
// another host's.
func (r *Resolver) isHere() error {
	if r.from == SourceHost {
		return nil
	}
	if reason := remote(r.engine.Host()); reason != "" {
		return r.otherHost(reason)
	}
	return nil
}

// others are the containers that the engine has not told of, by the names that mean them.
func (r *Resolver) others(s *shown, denied bool) []*Container {
	left := s.left()
	if len(left) == 0 {
		return nil
	}
	call := r.callers(r.listSituation(denied), s.found())
	var out []*Container
	for _, c := range left {
		c.named(call.call(c.found), c.found)
		c.Name = c.Ref
		out = append(out, c.Container)
	}
	return sorted(out)
}

// listSituation is that of a list: with --source host nothing need be found out.
func (r *Resolver) listSituation(denied bool) situation {
	if r.from == SourceHost {
		return situation{named: r.named, forced: true}
	}
	return r.situation(denied)
}

// maxInspects is how many containers the engine is asked about at a time.
const maxInspects = 8

// inspectedAll makes containers of the engine's list. Where the host shows the same
// one, that tells its process; the engine is asked about any other.
func (r *Resolver) inspectedAll(ctx context.Context, list []engine.Summary, onHost *shown) []*Container {
	found := make([]*Container, len(list))
	slots := make(chan struct{}, maxInspects)
	var wg sync.WaitGroup
	for i, s := range list {
		if c := onHost.take(r, s.ID); c != nil {
			found[i] = c.Container
			found[i].listed(r.engine.Host(), s)
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			found[i] = r.askedOne(ctx, s)
		})
	}
	wg.Wait()
	return slices.DeleteFunc(found, func(c *Container) bool { return c == nil })
}

// listed takes what the engine calls the container.
func (c *Container) listed(engine string, s engine.Summary) {
	c.Ref, c.Name, c.Image, c.Ports = s.Name, s.Name, s.Image, portsOf(s.Ports)
	c.Networks, c.Mounts = slices.Sorted(maps.Keys(s.Networks)), s.Mounts
	c.Source, c.Engine = SourceEngine, engine
}

// askedOne asks the engine about one container of its list; nil if it cannot be had.
func (r *Resolver) askedOne(ctx context.Context, s engine.Summary) *Container {
	c, err := r.fromEngine(ctx, Reference{Text: s.ID, name: s.ID})
	var notFound *NotFoundError
	var state *StateError
	switch {
	case err == nil:
		c.Ref = c.Name
		return c
	case errors.As(err, &notFound), errors.As(err, &state):
		return nil // it has stopped since the list was made
	case isUnavailable(err):
		err = errors.New(r.unavailableReason(err))
	}
	r.warn(fmt.Sprintf("%s is left out: %v", s.Name, err))
	return nil
}

// recordedOf looks for containers that the engine calls running and that no shim shows:
// Docker's files name their inits.
func (r *Resolver) recordedOf(l *host.Listing, ids map[string]bool) []*host.Found {
	var out []*host.Found
	if len(ids) == 0 {
		return nil
	}
	warn := func(err error) {
		// Of rights that are missing one line is said, and not for each file.
		if l.Hidden == 0 || !errors.Is(err, fs.ErrPermission) {
			r.warn(err.Error())
		}
	}
	for _, f := range host.Recorded(l.Found, r.daemons(), warn) {
		if ids[f.ID] && f.Runs() {
			out = append(out, f)
		}
	}
	return out
}
