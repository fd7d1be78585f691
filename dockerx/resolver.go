package dockerx

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"dx/dockerx/docker"
	"dx/dockerx/engine"
	"dx/dockerx/host"
	"dx/nsops/proc"
)

// defaultAPITimeout is how long each call to the engine may take.
const defaultAPITimeout = 250 * time.Millisecond

// Options configure a Resolver.
type Options struct {
	Host       string // as docker -H; empty: DOCKER_HOST, then the docker context
	Context    string // as docker --context; not with Host
	TLS        engine.TLSFiles
	APITimeout time.Duration // of each call to the engine; 0: 250 ms
	Warn       func(string)  // gets one line for each thing the user should know; may be nil

	// From forces one source; empty: the engine, and where it gives no answer of
	// use, the host.
	From Source
}

// Resolver turns references into containers.
type Resolver struct {
	engine *engine.Client
	from   Source
	named  bool // the engine was named, and is not docker's default
	warn   func(string)

	detachKeys string

	answered atomic.Bool // the engine has answered
	memory   memory
	belief   belief

	dockerds atomic.Pointer[[]int] // see lookDaemons

	once  sync.Once
	found whose // see whose

	ownOnce  sync.Once
	ownFound host.Engine // see own
}

// NewResolver finds out which engine to ask. It asks nothing yet.
func NewResolver(o Options) (*Resolver, error) {
	if o.APITimeout == 0 {
		o.APITimeout = defaultAPITimeout
	}
	address, err := engine.ResolveAddress(engine.Flags{Host: o.Host, Context: o.Context, TLS: o.TLS}, os.Getenv)
	if err != nil {
		return nil, err
	}
	client, err := engine.New(address, o.APITimeout)
	if err != nil {
		return nil, err
	}
	r := &Resolver{engine: client, from: o.From, named: address.Named(), detachKeys: address.DetachKeys, warn: serialized(o.Warn)}
	if address.Warning != "" {
		r.warn(address.Warning)
	}
	return r, nil
}

// serialized makes a callback that may be nil safe for several goroutines.
func serialized(warn func(string)) func(string) {
	var mu sync.Mutex
	return func(line string) {
		mu.Lock()
		defer mu.Unlock()
		if warn != nil {
			warn(line)
		}
	}
}

// DetachKeys returns the key sequence for detaching that docker's config file sets, as it
// stands there.
func (r *Resolver) DetachKeys() string { return r.detachKeys }

// Versions are those of the engine, in whose words errors are to be said. It is
// asked only if it has answered before; otherwise nothing is known.
func (r *Resolver) Versions(ctx context.Context) Versions {
	if !r.answered.Load() {
		return Versions{}
	}
	v, err := r.engine.Versions(ctx)
	if err != nil {
		return Versions{} // no reason to say more than the error at hand
	}
	return v
}

// Versions are what an engine is made of.
type Versions = engine.Versions

// Close drops the connections to the engine. Containers stay open.
func (r *Resolver) Close() error { return r.engine.Close() }

// Resolve finds the running container that ref stands for: see Reference. Its process is
// verified before it is returned and stays open until Close of the container.
//
// The engine is asked first, and its word is final where it has one. Which of the host's
// containers can be meant where it has none is for situation to say; docs/references.md
// has the rules in words.
//
// A container that does not run is a StateError; one that is paused is not: see
// Container.Paused. An engine of another host or kernel is an OtherHostError.
func (r *Resolver) Resolve(ctx context.Context, text string) (*Container, error) {
	if outer, inner, ok := nestedIn(text); ok {
		return r.nested(ctx, text, outer, inner)
	}
	ref, err := ParseReference(text)
	if err != nil {
		return nil, err
	}
	switch {
	case ref.kind == processOnly:
		return r.process(text, ref.pid)
	case ref.kind == hostOnly:
		return r.process("host", 1)
	case text == "host":
		if err := r.bearsHost(ctx); err != nil {
			return nil, err
		}
		return r.process("host", 1)
	}
	return r.container(ctx, ref)
}

func (r *Resolver) container(ctx context.Context, ref Reference) (*Container, error) {
	switch {
	case ref.kind == podOnly, ref.kind == engineOnly:
		return r.fromHost(ref)
	case ref.kind != composeOnly && !docker.IsName(strings.TrimPrefix(ref.name, "/")):
		return nil, &NotFoundError{Ref: ref.Text, Asked: "no container can be called so"}
	case r.from == SourceHost || ref.kind == containerdOnly:
		return r.fromHost(ref)
	}
	if reason := remote(r.engine.Host()); strings.HasPrefix(r.engine.Host(), "ssh:") {
		return nil, r.otherHost(reason)
	}
	if r.from == SourceEngine {
		return r.fromEngine(ctx, ref)
	}
	b := r.lookBeside()
	c, err := r.fromEngine(ctx, ref)
	if err == nil || !r.hostMayTell(ref, err) {
		b.drop()
		return c, err
	}
	l, errHost := b.listing()
	if errHost != nil {
		return nil, errHost
	}
	defer l.Close()
	return r.otherwise(ctx, ref, l, err)
}

// hostMayTell reports whether the host is to be looked at after what the engine has said.
func (r *Resolver) hostMayTell(ref Reference, err error) bool {
	var notFound *NotFoundError
	var state *StateError
	return isUnavailable(err) || errors.As(err, &notFound) && (ref.kind == composeOnly || docker.IsName(strings.TrimPrefix(ref.name, "/"))) ||
		errors.As(err, &state) && state.State == NotRunning
}

// otherwise takes the host's answer where the engine has none, or one that the kernel
// contradicts.
func (r *Resolver) otherwise(ctx context.Context, ref Reference, l *host.Listing, told error) (*Container, error) {
	var stale *StaleError
	var state *StateError
	var notFound *NotFoundError
	switch {
	case errors.As(told, &stale):
		c, err := r.byID(ref, stale.ID, l, told)
		if err == nil {
			r.instead(told)
		}
		return c, err
	case errors.As(told, &state):
		return r.runsAllTheSame(ref, state, l)
	case errors.As(told, &notFound):
		if r.whose().elsewhere != "" {
			return nil, told
		}
		c, err := r.findIn(ref, l, r.situation(true))
		if errors.As(err, &notFound) {
			return nil, told
		}
		return c, err
	}
	return r.standIn(ctx, ref, l, told)
}

// runsAllTheSame is for a container that the engine has given up and the kernel runs on.
func (r *Resolver) runsAllTheSame(ref Reference, told *StateError, l *host.Listing) (*Container, error) {
	for _, f := range r.ofEngine(l.Found, told.ID) {
		c, err := r.fromFound(ref.Text, f)
		if err != nil {
			continue
		}
		c.doubt = r.doubtOf(c.bundle)
		r.warn(fmt.Sprintf("the engine at %s says that %s does not run; it does, as pid %d", r.engine.Host(), ref.Text, c.Process.PID))
		return c, nil
	}
	return nil, told
}

// bearsHost returns an AmbiguousError if a container is called "host", be it one that
// does not run: the word alone may then mean either.
func (r *Resolver) bearsHost(ctx context.Context) error {
	ref := Reference{Text: "host", name: "host"}
	candidates := []Candidate{{Reference: "host:"}}
	if r.from != SourceHost && remote(r.engine.Host()) == "" {
		d, err := r.inspect(ctx, ref.name)
		switch {
		case err == nil:
			candidates = append(candidates, Candidate{Reference: "docker:host", ID: d.ID, PID: d.State.Pid})
		case r.from == SourceEngine && !errors.Is(err, engine.ErrNotFound):
			return fmt.Errorf("whether a container is called host is not known (host: means the host in any case): %w", err)
		}
	}
	if len(candidates) == 1 && r.from != SourceEngine {
		l, err := r.listHost()
		if err != nil {
			return err
		}
		defer l.Close()
		l.AddOrphans()
		l.AddRecorded(r.daemons())
		f, err := match(slices.DeleteFunc(slices.Clone(l.Found), func(f *host.Found) bool { return f.Engine().Foreign() }), ref)
		var several *AmbiguousError
		if err == nil {
			several = ambiguous(ref, []*host.Found{f})
		}
		if several != nil || errors.As(err, &several) {
			candidates = append(candidates, several.Candidates...)
		}
	}
	if len(candidates) > 1 {
		return &AmbiguousError{Ref: "host", Candidates: candidates}
	}
	return nil
}

// process takes hold of a process that is not, or not as such, a container.
func (r *Resolver) process(ref string, pid int) (*Container, error) {
	p, err := proc.Open(pid)
	if err != nil {
		return nil, err
	}
	return &Container{Ref: ref, Name: ref, Source: SourcePID, Process: p, warn: r.warn}, nil
}

// fromEngine resolves a reference by the Engine API. The engine itself applies
// Docker's precedence: ID, name, unique prefix.
func (r *Resolver) fromEngine(ctx context.Context, ref Reference) (*Container, error) {
	name := strings.TrimPrefix(ref.name, "/")
	if ref.kind == composeOnly {
		id, err := r.serviceID(ctx, ref)
		if errors.As(err, new(*NotFoundError)) {
			err = &NotFoundError{Ref: ref.Text, Asked: "the engine at " + r.engine.Host() + " has none of that service"}
		}
		if err != nil {
			return nil, err
		}
		name = id
	}
	c, err := r.inspected(ctx, ref.Text, name)
	var stale *StaleError
	if errors.As(err, &stale) {
		// It may have ended, or been restarted, since the engine was asked.
		c, err = r.inspected(ctx, ref.Text, name)
	}
	return c, err
}

func (r *Resolver) inspected(ctx context.Context, ref, name string) (*Container, error) {
	d, err := r.inspect(ctx, name)
	switch {
	case errors.Is(err, engine.ErrNotFound):
		return nil, &NotFoundError{Ref: ref, Engine: r.engine.Host()}
	case errors.Is(err, engine.ErrRefused) && r.ambiguous(ctx, name):
		return nil, &AmbiguousError{Ref: ref, Engine: r.engine.Host()}
	case err != nil:
		return nil, err
	}
	return r.fromInspect(ref, d)
}

// ambiguous tells an ambiguous prefix from other refusals by counting: for dockerd
// 20.10 it is an internal error, for newer ones an invalid argument.
func (r *Resolver) ambiguous(ctx context.Context, prefix string) bool {
	list, err := r.list(ctx, true)
	n := 0
	for _, s := range list {
		if strings.HasPrefix(s.ID, prefix) {
			n++
		}
	}
	return err == nil && n > 1
}

// fromInspect makes a container of what inspect said, once that is verified.
func (r *Resolver) fromInspect(ref string, d *docker.Container) (*Container, error) {
	switch state := &d.State; {
	case !state.Running:
		return nil, &StateError{State: NotRunning, ID: d.ID, Ref: ref, Engine: r.engine.Host(), Docker: d}
	case state.Restarting && !state.Paused:
		return nil, &StateError{State: Restarting, ID: d.ID, Ref: ref, Engine: r.engine.Host(), Docker: d}
	case state.Pid == 0:
		return nil, &StateError{State: NotRunning, ID: d.ID, Ref: ref, Engine: r.engine.Host(), Docker: d}
	}
	doubt := r.doubt()
	v, err := verify(initClaim{ref: ref, id: d.ID, pid: d.State.Pid, source: SourceEngine, shown: doubt != nil})
	if err != nil {
		return nil, err
	}
	if err := sandboxed(ref, v); err != nil {
		return nil, err
	}
	if doubt != nil {
		doubt = r.doubtOf(v.bundle)
	}
	c := &Container{
		saidPaused: d.State.Paused,

		Ref: ref, ID: d.ID, Name: d.Name, Image: d.Config.Image, Engine: r.engine.Host(), Source: SourceEngine,
		Process: v.process, warn: r.warn, Docker: d, Proof: v.proof, bundle: v.bundle, doubt: doubt,
	}
	c.connected(d)
	return c, nil
}
