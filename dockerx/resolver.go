package dockerx

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"dx/dockerx/docker"
	"dx/dockerx/engine"
	"dx/nsops/cgroup"
	"dx/nsops/proc"
)

// defaultAPITimeout is how long each call to the engine may take.
const defaultAPITimeout = 250 * time.Millisecond

// Options configure a Resolver.
type Options struct {
	Host       string        // as docker -H; empty: DOCKER_HOST, then the docker context
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
	warn   func(string)

	answered atomic.Bool // the engine has answered
	belief   belief
}

// NewResolver finds out which engine to ask. It asks nothing yet.
func NewResolver(o Options) (*Resolver, error) {
	if o.APITimeout == 0 {
		o.APITimeout = defaultAPITimeout
	}
	address, err := engine.ResolveAddress(o.Host, os.Getenv)
	if err != nil {
		return nil, err
	}
	client, err := engine.New(address, o.APITimeout)
	if err != nil {
		return nil, err
	}
	return &Resolver{engine: client, from: o.From, warn: serialized(o.Warn)}, nil
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

// Resolve finds the running container that ref stands for: a name with or
// without its slash, an ID or a unique prefix of one, "pid:N" for any process,
// or "host" for the host's init. Its process is verified before it is returned
// and stays open until Close of the container.
//
// A container that does not run is a StateError; one that is paused is not: see
// Container.Paused.
func (r *Resolver) Resolve(ctx context.Context, ref string) (*Container, error) {
	if ref == "host" {
		return r.process(ref, 1)
	}
	if n, ok := strings.CutPrefix(ref, "pid:"); ok {
		pid, err := strconv.ParseUint(n, 10, 31)
		if err != nil || pid == 0 {
			return nil, fmt.Errorf("reference %q: %q is not a process number", ref, n)
		}
		return r.process(ref, int(pid))
	}
	if r.from == SourceHost {
		return r.fromHost(ref)
	}
	if r.from == SourceEngine {
		return r.fromEngine(ctx, ref)
	}
	return race(ctx, r,
		func() (*Container, error) { return r.fromEngine(ctx, ref) },
		func(beside *Resolver) (*Container, error) { return beside.fromHost(ref) },
		func(c *Container) { c.Close() })
}

// process takes hold of a process that is not, or not as such, a container.
func (r *Resolver) process(ref string, pid int) (*Container, error) {
	p, err := proc.Open(pid)
	if err != nil {
		return nil, err
	}
	c := &Container{Ref: ref, Name: ref, Source: SourcePID, Process: p, warn: r.warn}
	c.readFreezer(false)
	return c, nil
}

// readFreezer asks the kernel whether the container is frozen. What the source
// says, which may lag, counts only where no freezer can be read.
func (c *Container) readFreezer(claimed bool) {
	var dirs []cgroup.Dir
	cgroups, err := c.Cgroups()
	if err == nil {
		dirs, err = cgroup.DirsOf(cgroups)
	}
	frozen, _, known := cgroup.Freezer(dirs)
	c.Paused = frozen
	if !known || err != nil {
		c.Paused = claimed
	}
}

// fromEngine resolves a reference by the Engine API. The engine itself applies
// Docker's precedence: ID, name, unique prefix.
func (r *Resolver) fromEngine(ctx context.Context, ref string) (*Container, error) {
	name := strings.TrimLeft(ref, "/")
	if !validName(name) {
		return nil, &NotFoundError{Ref: ref}
	}
	c, err := r.inspected(ctx, ref, name)
	var stale *StaleError
	if errors.As(err, &stale) {
		// It may have ended, or been restarted, since the engine was asked.
		c, err = r.inspected(ctx, ref, name)
	}
	return c, err
}

func (r *Resolver) inspected(ctx context.Context, ref, name string) (*Container, error) {
	d, err := r.engine.Inspect(ctx, name)
	r.answered.Store(err == nil || errors.Is(err, engine.ErrNotFound) || errors.Is(err, engine.ErrRefused))
	switch {
	case errors.Is(err, engine.ErrNotFound):
		return nil, &NotFoundError{Ref: ref}
	case errors.Is(err, engine.ErrRefused) && r.ambiguous(ctx, name):
		return nil, &AmbiguousError{Ref: ref}
	case err != nil:
		return nil, err
	}
	return r.fromDetail(ref, d)
}

// ambiguous tells an ambiguous prefix from other refusals by counting: for dockerd
// 20.10 it is an internal error, for newer ones an invalid argument.
func (r *Resolver) ambiguous(ctx context.Context, prefix string) bool {
	list, err := r.engine.List(ctx, true)
	n := 0
	for _, s := range list {
		if strings.HasPrefix(s.ID, prefix) {
			n++
		}
	}
	return err == nil && n > 1
}

// validName says whether a name or ID could be Docker's (moby daemon/names).
// What could not is never sent: it would become part of a URL.
func validName(name string) bool {
	for i, c := range []byte(name) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case i > 0 && (c == '_' || c == '.' || c == '-'):
		default:
			return false
		}
	}
	return name != ""
}

// fromDetail makes a container of what inspect said, once that is verified.
func (r *Resolver) fromDetail(ref string, d *docker.Container) (*Container, error) {
	switch state := &d.State; {
	case !state.Running:
		return nil, &StateError{State: NotRunning, ID: d.ID, Ref: ref}
	case state.Restarting && !state.Paused:
		return nil, &StateError{State: Restarting, ID: d.ID, Ref: ref}
	case state.Pid == 0:
		return nil, &StateError{State: NotRunning, ID: d.ID, Ref: ref}
	}
	doubt := r.doubt()
	v, err := verify(claim{ref: ref, id: d.ID, pid: d.State.Pid, source: SourceEngine, shown: doubt != nil})
	if err != nil {
		return nil, err
	}
	c := &Container{
		Ref: ref, ID: d.ID, Name: d.Name, Image: d.Config.Image, Engine: r.engine.Host(), Source: SourceEngine,
		Process: v.process, Ports: portsOf(d.NetworkSettings.Ports), warn: r.warn, Docker: d,
		Proof: v.proof, bundle: v.bundle, doubt: doubt,
	}
	c.readFreezer(d.State.Paused)
	return c, nil
}

// Running returns all running containers in the engine's order, the newest first; by
// name where the engine gives no list. One that cannot be had (its lock is held, its
// process is not what the engine says) is left out with a warning and never hides the
// others.
func (r *Resolver) Running(ctx context.Context) ([]*Container, error) {
	if r.from == SourceEngine {
		list, err := r.engine.List(ctx, false)
		if err != nil {
			return nil, err
		}
		return r.inspectedAll(ctx, list, nil), nil
	}
	known := r.askKnown(ctx, false)
	l, err := r.listHost()
	if err != nil {
		return nil, err
	}
	defer l.Close()
	shown := r.shownOn(l)
	told := <-known
	switch {
	case r.from == SourceHost:
		return shown.named(), nil
	case told.err != nil && !useless(told.err):
		shown.close()
		return nil, told.err
	case told.err != nil:
		r.warn(r.whyNot(ctx, told.err) + "; the host is asked instead")
		return shown.named(), nil
	}
	return r.inspectedAll(ctx, told.value, shown), nil
}

// maxInspects is how many containers the engine is asked about at a time.
const maxInspects = 8

// inspectedAll makes containers of the engine's list. Where the host shows the same
// one, that tells its process; the engine is asked about any other.
func (r *Resolver) inspectedAll(ctx context.Context, list []engine.Summary, onHost shown) []*Container {
	found := make([]*Container, len(list))
	slots := make(chan struct{}, maxInspects)
	var wg sync.WaitGroup
	for i, s := range list {
		if c, ok := onHost[s.ID]; ok {
			delete(onHost, s.ID)
			found[i] = c.Container
			found[i].listed(r.engine.Host(), s)
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			found[i] = r.asked(ctx, s)
		})
	}
	wg.Wait()
	onHost.close() // what is left is another engine's
	return slices.DeleteFunc(found, func(c *Container) bool { return c == nil })
}

// listed takes what the engine calls the container.
func (c *Container) listed(engine string, s engine.Summary) {
	c.Ref, c.Name, c.Image, c.Ports = s.Name, s.Name, s.Image, portsOf(s.Ports)
	c.Source, c.Engine = SourceEngine, engine
}

// asked asks the engine about one container of its list; nil if it cannot be had.
func (r *Resolver) asked(ctx context.Context, s engine.Summary) *Container {
	c, err := r.fromEngine(ctx, s.ID)
	var notFound *NotFoundError
	var state *StateError
	switch {
	case err == nil:
		c.Ref = c.Name
		return c
	case errors.As(err, &notFound), errors.As(err, &state):
		return nil // it has stopped since the list was made
	case useless(err):
		err = errors.New(r.whyNot(ctx, err))
	}
	r.warn(fmt.Sprintf("%s is left out: %v", s.Name, err))
	return nil
}
