package dockerx

import (
	"context"

	"dx/dockerx/engine"
	"dx/dockerx/host"
)

// Target is a running container that may be entered, and that nobody has taken hold of yet.
type Target struct {
	ID, Name string // the name means it to every verb
	Engine   string // the engine's address; of one that was not asked, what tells it apart
	Paused   bool
	Labels   map[string]string

	open func(context.Context) (*Container, error)
}

// Open takes hold of the container, verified as by Resolve. Several may be opened at a
// time, as long as their Targets are open.
func (t *Target) Open(ctx context.Context) (*Container, error) { return t.open(ctx) }

// Targets are all running containers. They own what it takes to open one.
type Targets struct {
	List []*Target
	seen *seen
}

// Close releases what Open needs. Containers stay open.
func (t *Targets) Close() error {
	t.seen.close()
	return nil
}

// Targets returns the containers that Running returns, and those that Running leaves out:
// why one cannot be had, its Open says. The engine is asked once and the host is looked
// at once, however many are opened.
func (r *Resolver) Targets(ctx context.Context) (*Targets, error) {
	s, err := r.see(ctx)
	if err != nil {
		return nil, err
	}
	defer s.shown.close() // which may be shown, not entered
	out := &Targets{seen: s}
	for _, k := range s.told {
		out.List = append(out.List, r.toldTarget(k, s.shown.take(r, k.ID)))
	}
	left := s.shown.left()
	if len(left) == 0 {
		return out, nil
	}
	call := r.callers(r.listSituation(s.heard), s.shown.found())
	for _, c := range left {
		if c.found.Pod().Sandbox || c.found.Engine().Foreign() {
			continue
		}
		out.List = append(out.List, r.foundTarget(call.call(c.found), c))
	}
	return out, nil
}

// toldTarget is one of the engine's list; nil for c: the host does not show it.
func (r *Resolver) toldTarget(k engine.Summary, c *shownContainer) *Target {
	t := &Target{ID: k.ID, Name: k.Name, Engine: r.engine.Host(), Paused: k.State == "paused", Labels: k.Labels}
	if c == nil {
		t.open = func(ctx context.Context) (*Container, error) {
			return r.fromEngine(ctx, Reference{Text: k.Name, name: k.ID})
		}
		return t
	}
	t.Paused = c.Paused()
	found := c.found
	t.open = func(context.Context) (*Container, error) {
		c, err := r.fromFound(k.Name, found)
		if err == nil {
			c.listed(r.engine.Host(), k)
			c.doubt = r.doubtOf(c.bundle) // the engine's word has decided which container this is
		}
		return c, err
	}
	return t
}

// foundTarget is one of which no engine has told.
func (r *Resolver) foundTarget(name string, c *shownContainer) *Target {
	found := c.found
	return &Target{
		ID: c.ID, Name: name, Engine: found.EngineName(), Paused: c.Paused(), Labels: labelsOf(found),
		open: func(context.Context) (*Container, error) {
			c, err := r.fromFound(name, found)
			if err == nil {
				c.Name = name
			}
			return c, err
		},
	}
}

// labelsOf are those that Docker's files tell.
func labelsOf(f *host.Found) map[string]string {
	if d := f.Docker(); d != nil {
		return d.Config.Labels
	}
	return nil
}

// Target is the container that a reference stands for, see Resolve, which is looked for
// when it is opened.
func (r *Resolver) Target(ref string) *Target {
	return &Target{Name: ref, open: func(ctx context.Context) (*Container, error) { return r.Resolve(ctx, ref) }}
}
