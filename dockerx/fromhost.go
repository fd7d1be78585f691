package dockerx

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"dx/dockerx/docker"
	"dx/dockerx/host"
)

// useless says that the engine gave no answer, or one that the kernel
// contradicts: the host may know better. That there is no such container, or that
// it does not run, are answers.
func useless(err error) bool {
	var e *EngineError
	var stale *StaleError
	return errors.As(err, &e) || errors.As(err, &stale)
}

// pingPatience is how long a ping may take that only tells why inspect did not
// answer.
const pingPatience = 20 * time.Millisecond

// whyNot says in one line why the engine's answer is not used.
func (r *Resolver) whyNot(ctx context.Context, err error) string {
	var e *EngineError
	if !errors.As(err, &e) || !errors.Is(err, context.DeadlineExceeded) {
		return err.Error()
	}
	ctx, cancel := context.WithTimeout(ctx, pingPatience)
	defer cancel()
	if strings.HasPrefix(e.Op, "inspect ") && r.engine.Ping(ctx) == nil {
		return fmt.Sprintf("%s hangs while ping answers: that container's lock is held in dockerd", e.Op)
	}
	return fmt.Sprintf("dockerd at %s did not answer in time (%s)", e.Host, e.Op)
}

// fromHost resolves a reference with no engine, in Docker's order of precedence:
// ID, name, unique prefix of an ID.
func (r *Resolver) fromHost(ref string) (*Container, error) {
	l, err := r.listHost()
	if err != nil {
		return nil, err
	}
	defer l.Close()
	return r.among(ref, l)
}

func (r *Resolver) listHost() (*host.Listing, error) {
	return host.List(func(err error) { r.warn(err.Error()) })
}

// among resolves a reference among what was found.
func (r *Resolver) among(ref string, l *host.Listing) (*Container, error) {
	f, err := match(l.Found, ref)
	var notFound *NotFoundError
	if errors.As(err, &notFound) {
		f, err = r.orphan(l, ref, err)
	}
	if err != nil {
		r.warnOf(l.Doubts(ref))
		return nil, err
	}
	r.warnOf(l.Doubts(f.ID))
	return r.fromFound(ref, f)
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

// orphan looks for one whose shim has died, and then for one that does not run.
func (r *Resolver) orphan(l *host.Listing, ref string, notFound error) (*host.Found, error) {
	l.AddOrphans()
	f, err := match(l.Found, ref)
	if err != nil {
		return nil, r.stopped(l.Found, ref, notFound)
	}
	if f.Ended() {
		return nil, &StateError{State: NotRunning, ID: f.ID, Ref: ref}
	}
	return f, nil
}

// stopped says that a container is there but does not run, if Docker's files have
// it; otherwise notFound.
func (r *Resolver) stopped(running []*host.Found, ref string, notFound error) error {
	var all []*host.Found
	for _, d := range host.Stored(running, func(err error) { r.warn(err.Error()) }) {
		all = append(all, host.FoundIn(d))
	}
	f, err := match(all, ref)
	if err != nil {
		return notFound
	}
	return &StateError{State: NotRunning, ID: f.ID, Ref: ref}
}

// match picks the container that ref stands for.
func match(found []*host.Found, ref string) (*host.Found, error) {
	name := strings.TrimPrefix(ref, "/")
	for _, is := range []func(*host.Found) bool{
		func(f *host.Found) bool { return f.ID == ref && docker.IsID(ref) }, // else it is a name
		func(f *host.Found) bool { return f.Name() == name },
		func(f *host.Found) bool { return ref != "" && strings.HasPrefix(f.ID, ref) },
	} {
		var hits []*host.Found
		for _, f := range found {
			if is(f) {
				hits = append(hits, f)
			}
		}
		if len(hits) > 1 {
			// Of one engine only a prefix can be ambiguous; two engines may
			// both have a "web".
			return nil, &AmbiguousError{Ref: ref}
		}
		if len(hits) == 1 {
			return hits[0], nil
		}
	}
	return nil, &NotFoundError{Ref: ref}
}

// fromFound makes a container of what the host shows, once that is verified.
func (r *Resolver) fromFound(ref string, f *host.Found) (*Container, error) {
	v, err := verify(claim{ref: ref, id: f.ID, pid: f.PID, source: SourceHost})
	if err != nil {
		return nil, err
	}
	c := &Container{ID: f.ID, Process: v.process, Proof: v.proof, bundle: v.bundle, warn: r.warn}
	c.readFreezer(false)
	c.named(ref, f)
	return c, nil
}

// named takes what Docker's files call the container.
func (c *Container) named(ref string, f *host.Found) {
	c.Ref, c.Name, c.Source = ref, f.Name(), SourceHost
	if d := f.Docker(); d != nil {
		c.Image, c.Ports = d.Config.Image, portsOf(d.NetworkSettings.Ports)
	}
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
