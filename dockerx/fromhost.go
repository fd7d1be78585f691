package dockerx

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"dx/dockerx/docker"
	"dx/dockerx/host"
)

func (r *Resolver) listHost() (*host.Listing, error) {
	l, err := host.List(func(err error) { r.warn(err.Error()) })
	if err == nil {
		r.dockerds.Store(&l.Dockerds)
	}
	return l, err
}

// fromHost resolves a reference without asking an engine.
func (r *Resolver) fromHost(ref Reference) (*Container, error) {
	l, err := r.listHost()
	if err != nil {
		return nil, err
	}
	defer l.Close()
	var s situation
	s.named, s.forced = r.named, true
	return r.findIn(ref, l, s)
}

// situation is what the engine's silence leaves to be found out.
func (r *Resolver) situation(denied bool) situation {
	w := r.whose()
	return situation{named: r.named, denied: denied, own: w.own, live: w.live()}
}

// findIn picks a container of the host by the rules, and takes hold of it.
func (r *Resolver) findIn(ref Reference, l *host.Listing, s situation) (*Container, error) {
	l.AddOrphans()
	// Also those that do not run: their names come before a prefix of another's ID.
	l.AddRecorded(r.daemons())
	if s.forced && severalEngines(l.Found) {
		s.own = r.whose().own // to prefer its containers
	}
	f, foreign, err := choose(l.Found, ref, s.rules(ref))
	var notFound *NotFoundError
	if errors.As(err, &notFound) {
		l.AddStopped() // of engines that have no daemon to ask: only what runs comes before
		f, foreign, err = choose(l.Found, ref, s.rules(ref))
	}
	switch {
	case errors.As(err, &notFound):
		r.warnOf(l.Doubts(ref.name))
		notFound.Asked = r.asked(l, s) + ofOthers(l.Found, ref)
		return nil, err
	case err != nil:
		return nil, err
	}
	r.warnOf(l.Doubts(f.ID))
	c, err := r.fromFound(ref.Text, f)
	switch {
	case err != nil:
		return nil, err
	case foreign && !ref.Qualified() && !s.forced:
		r.warn(fmt.Sprintf("%s is not known to the engine at %s; it is %s", ref.Text, r.engine.Host(), f.Qualified()))
	case s.denied && !ref.Qualified():
		r.warn(fmt.Sprintf("%s runs, though the engine at %s does not know it", ref.Text, r.engine.Host()))
	}
	return c, nil
}

// ofOthers says which containers of plain users a reference would mean if it said so. Any user
// can make thousands.
func ofOthers(found []*host.Found, ref Reference) string {
	const most = 3
	var names []string
	for _, f := range found {
		if f.Engine().Foreign() && ref.owner == "" && isCalled(f, strings.TrimPrefix(ref.name, "/")) && len(names) < most {
			names = append(names, f.Called())
		}
	}
	if names == nil {
		return ""
	}
	return "; a user's container is called so (" + strings.Join(names, ", ") + ")"
}

func isCalled(f *host.Found, name string) bool {
	const short = 12
	return f.Name() == name || len(name) >= short && strings.HasPrefix(f.ID, name)
}

func (r *Resolver) daemons() []host.Daemon { return r.whose().daemons }

func severalEngines(found []*host.Found) bool {
	for _, f := range found {
		if f.Engine() != found[0].Engine() {
			return true
		}
	}
	return false
}

// asked says who was asked in vain, and what could not be seen.
func (r *Resolver) asked(l *host.Listing, s situation) string {
	var parts []string
	switch err := r.memory.mute(); {
	case s.denied:
		parts = append(parts, "neither the engine at "+r.engine.Host()+" nor the host knows it")
	case s.forced || err == nil:
		parts = append(parts, "only the host was asked")
	default:
		parts = append(parts, "only the host was asked, as the engine at "+r.engine.Host()+" gave no answer")
	}
	if l.Hidden > 0 {
		parts = append(parts, notLookedAt(l.Hidden))
	}
	if s.named && !s.forced && !s.denied && s.own == (host.Engine{}) {
		parts = append(parts, "containers of other engines are not meant")
	}
	return strings.Join(parts, "; ")
}

// byID takes hold of a container whose ID an engine has told, where the PID that the engine
// names is not its init. No other container is meant, whatever it is called.
func (r *Resolver) byID(ref Reference, id string, l *host.Listing, told error) (*Container, error) {
	l.AddOrphans()
	l.AddRecorded(r.daemons())
	found := r.ofEngine(l.Found, id)
	switch {
	case len(found) > 1:
		return nil, ambiguous(ref, found)
	case len(found) == 0:
		return nil, r.nowhere(id, told)
	}
	c, err := r.fromFound(ref.Text, found[0])
	if err != nil {
		return nil, err
	}
	c.doubt = r.doubtOf(c.bundle) // the engine's word has decided which container this is
	return c, nil
}

// ofEngine are the running containers with an ID that the engine has told, and which may be
// its own.
func (r *Resolver) ofEngine(all []*host.Found, id string) []*host.Found {
	var found []*host.Found
	for _, f := range all {
		if f.ID == id && (f.Engine().Docker || f.Engine() == r.own()) && f.Runs() {
			found = append(found, f)
		}
	}
	return r.theirs(found)
}

// theirs are those of containers with one ID that may be the engine's own: a data root
// that was copied has the same IDs. One of which nothing tells whose it is may be.
func (r *Resolver) theirs(found []*host.Found) []*host.Found {
	if len(found) == 0 || r.own() == (host.Engine{}) || len(found) == 1 && !found[0].Identified() {
		return found
	}
	return slices.DeleteFunc(found, func(f *host.Found) bool { return f.Engine() != r.own() })
}

// nowhere is the error for a container that an engine calls running and this host does not
// have: with a dockerd of this host it has just ended; any other is another kernel's. A
// rootless dockerd is of this host, and its containers are found by nothing that root believes.
func (r *Resolver) nowhere(id string, told error) error {
	w := r.whose()
	var stale *StaleError
	if doubt := r.doubt(); doubt != nil && r.listens() {
		return doubt
	}
	if w.own != (host.Engine{}) || !errors.As(told, &stale) {
		return told
	}
	return r.otherHost(fmt.Sprintf("it says that %s is container %s, pid %d, which is not on this host", stale.Ref, id[:min(12, len(id))], stale.PID))
}

// standIn resolves a reference for an engine that gave no answer.
func (r *Resolver) standIn(ctx context.Context, ref Reference, l *host.Listing, silence error) (*Container, error) {
	if r.memory.mute() == nil {
		// One container's lock is held: the list, which takes none, tells the ID.
		if list, err := r.list(ctx, true); err == nil {
			r.instead(silence)
			id, err := matchSummary(list, ref)
			if err != nil {
				return nil, r.said(err)
			}
			return r.byID(ref, id, l, silence)
		}
	}
	w := r.whose()
	if w.elsewhere != "" {
		return nil, r.otherHost(w.elsewhere)
	}
	r.instead(silence)
	return r.findIn(ref, l, r.situation(false))
}

// said notes who has said that there is none, or several.
func (r *Resolver) said(err error) error {
	var notFound *NotFoundError
	var ambiguous *AmbiguousError
	switch {
	case errors.As(err, &notFound):
		notFound.Engine = r.engine.Host()
	case errors.As(err, &ambiguous):
		ambiguous.Engine, ambiguous.Candidates = r.engine.Host(), nil
	}
	return err
}

// warnOf says whose claim to be the container's was not believed. Any user can make
// thousands.
func (r *Resolver) warnOf(doubts []error) {
	const most = 3
	for _, err := range doubts[:min(len(doubts), most)] {
		r.warn(err.Error())
	}
	if more := len(doubts) - most; more > 0 {
		r.warn(fmt.Sprintf("at least %d more claim the same and are not believed", more))
	}
}

// fromFound makes a container of what the host shows. Whoever names its init may be
// behind the times: the first that verifies counts.
func (r *Resolver) fromFound(ref string, f *host.Found) (*Container, error) {
	if !f.Runs() || f.Ended() {
		return nil, &StateError{State: NotRunning, ID: f.ID, Ref: ref, Docker: f.Docker()}
	}
	var first error
	tried := map[int]bool{0: true}
	for pid := range f.Inits() {
		if tried[pid] {
			continue
		}
		tried[pid] = true
		v, err := verify(initClaim{ref: ref, id: f.ID, pid: pid, source: SourceHost, recorded: f.Recorded(), found: f})
		if err == nil && f.Starting(v.process) {
			v.close()
			return nil, &StateError{State: NotRunning, ID: f.ID, Ref: ref, Docker: f.Docker()}
		}
		if err == nil {
			if err := sandboxed(ref, v); err != nil {
				return nil, err
			}
			c := &Container{ID: f.ID, Process: v.process, Proof: v.proof, bundle: v.bundle, warn: r.warn, Manager: f.Engine().Manager}
			if v.bundle != nil {
				c.Manager = v.bundle.Manager
			}
			c.named(ref, f)
			return c, nil
		}
		if first == nil {
			first = err
		}
	}
	var stale *StaleError
	if f.Recorded() && errors.As(first, &stale) {
		// Its files were not written again when it ended: dockerd did not see it.
		return nil, &StateError{State: NotRunning, ID: f.ID, Ref: ref, Docker: f.Docker()}
	}
	return nil, first
}

// named takes what Docker's files call the container.
func (c *Container) named(ref string, f *host.Found) {
	c.Ref, c.Name, c.Source, c.Engine, c.Image = ref, f.Name(), SourceHost, f.EngineName(), f.Image()
	if c.Pod = f.Pod(); c.Pod != (host.Pod{}) || f.Engine().Foreign() {
		c.Name = f.Called()
	}
	if d := f.Docker(); d != nil {
		c.Image = d.Config.Image
		c.connected(d)
	}
}

// connected takes how Docker has connected the container.
func (c *Container) connected(d *docker.Container) {
	c.Ports, c.Networks, c.Mounts = portsOf(d.NetworkSettings.Ports), slices.Sorted(maps.Keys(d.NetworkSettings.Networks)), d.Mounted()
}

// ParseSource reads --source: auto, engine or host.
func ParseSource(s string) (Source, error) {
	switch s {
	case "auto":
		return "", nil
	case string(SourceEngine), string(SourceHost):
		return Source(s), nil
	}
	return "", fmt.Errorf("%q is no source: take auto, engine or host", s)
}
