package doctor

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"dx/dockerx/engine"
)

// The engine's own answers. Each call has its own deadline.

func (p *Patient) ping(ctx context.Context) []Finding {
	err := p.client.Ping(ctx)
	p.mu.Lock()
	p.alive = err == nil
	p.mu.Unlock()
	return p.apiFinding(err, DockerdSilent, "dockerd takes connections and does not answer a ping")
}

func (p *Patient) version(ctx context.Context) []Finding {
	v, err := p.client.Versions(ctx)
	p.mu.Lock()
	p.engine.Version = v.Engine
	p.mu.Unlock()
	if errors.Is(err, context.DeadlineExceeded) {
		return nil // if ping does not answer either; else it is no harm
	}
	return p.apiFinding(err, "", "")
}

func (p *Patient) list(ctx context.Context) []Finding {
	list, err := p.client.List(ctx, true)
	p.mu.Lock()
	p.listed, p.asked = list, err == nil
	p.mu.Unlock()
	return p.apiFinding(err, ListSilent, "dockerd does not answer the list of containers")
}

// apiFinding sorts an error of the engine's. What concerns the way to the engine
// is the socket probe's matter, but for TCP, where there is no socket to look at.
func (p *Patient) apiFinding(err error, silent Kind, text string) []Finding {
	_, local := p.socketPath()
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		return []Finding{found(silent, "%s", text).path(p.address.Host).evidence(fmt.Sprintf("%v after %v", err, p.o.APITimeout))}
	case errors.Is(err, engine.ErrRefused):
		return []Finding{found(EngineRefuses, "the engine refuses: %v", err)}
	case errors.Is(err, unix.ECONNREFUSED) && !local:
		return []Finding{found(DockerdAbsent, "no dockerd listens on %s", p.address.Host).evidence(err.Error())}
	case local && isConnect(err):
		return nil
	}
	return []Finding{found(silent, "%s", text).path(p.address.Host).evidence(err.Error())}
}

func isConnect(err error) bool {
	for _, e := range []error{unix.ECONNREFUSED, unix.ENOENT, unix.EACCES, unix.EPERM, unix.EAGAIN, unix.ENOTDIR} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// inspect asks for one container; in dockerd that takes the container's lock.
func (p *Patient) inspect(c container) func(context.Context) []Finding {
	return func(ctx context.Context) []Finding {
		d, err := p.client.Inspect(ctx, c.ID)
		switch {
		case err == nil:
			p.mu.Lock()
			p.details = append(p.details, d)
			p.mu.Unlock()
			return nil
		case errors.Is(err, engine.ErrNotFound):
			return nil // removed meanwhile, or never known: see records
		case errors.Is(err, context.DeadlineExceeded):
			return []Finding{found(ContainerLock, "inspect of %s does not return", c.Name).of(c).
				evidence(fmt.Sprintf("ping answers, inspect does not within %v", p.o.APITimeout))}
		case errors.Is(err, engine.ErrRefused):
			return []Finding{found(EngineRefuses, "inspect of %s is refused: %v", c.Name, err).of(c)}
		}
		return []Finding{found(ContainerLock, "inspect of %s fails", c.Name).of(c).evidence(err.Error())}
	}
}
