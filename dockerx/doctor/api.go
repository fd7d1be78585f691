package doctor

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"dx/dockerx/engine"
)

// The engine's own answers. Each call has its own deadline.

func (p *Examination) ping(ctx context.Context) []Finding {
	err := p.patiently(ctx, nil, p.o.APITimeout, p.client.Ping)
	p.mu.Lock()
	p.alive = err == nil
	p.mu.Unlock()
	return p.apiFinding(err, dockerdSilent, "dockerd takes connections and does not answer a ping")
}

func (p *Examination) version(ctx context.Context) []Finding {
	v, err := p.client.Versions(ctx)
	p.mu.Lock()
	p.engine.Version = v.Engine
	p.mu.Unlock()
	if errors.Is(err, context.DeadlineExceeded) {
		return nil // if ping does not answer either; else it is no harm
	}
	return p.apiFinding(err, "", "")
}

func (p *Examination) list(ctx context.Context) []Finding {
	var list []engine.Summary
	err := p.patiently(ctx, nil, p.o.APITimeout, func(ctx context.Context) (err error) {
		list, err = p.client.List(ctx, true)
		return err
	})
	p.mu.Lock()
	p.listed, p.asked = list, err == nil
	p.mu.Unlock()
	return p.apiFinding(err, listSilent, "dockerd does not answer the list of containers")
}

// apiFinding sorts an error of the engine's. What concerns the way to the engine
// is the socket probe's matter, but for TCP, where there is no socket to look at.
func (p *Examination) apiFinding(err error, silent Kind, text string) []Finding {
	_, local := p.socketPath()
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		return []Finding{found(silent, "%s", text).path(p.address.Host).evidence(fmt.Sprintf("%v after %v", err, p.o.APITimeout))}
	case errors.Is(err, engine.ErrRefused):
		return []Finding{found(engineRefuses, "the engine refuses: %v", err)}
	case errors.Is(err, unix.ECONNREFUSED) && !local:
		return []Finding{found(dockerdAbsent, "no dockerd listens on %s", p.address.Host).evidence(err.Error())}
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

// inspect asks for one container; in dockerd that takes the container's lock. One that
// is being started holds its lock, too: who does not answer is asked again.
func (p *Examination) inspect(c container) func(context.Context) []Finding {
	return func(ctx context.Context) []Finding {
		err := p.inspectOnce(ctx, c)
		if !errors.Is(err, context.DeadlineExceeded) {
			return inspectFinding(c, err)
		}
		err = p.patiently(ctx, nil, p.o.APITimeout, func(ctx context.Context) error { return p.inspectOnce(ctx, c) })
		if !errors.Is(err, context.DeadlineExceeded) {
			return inspectFinding(c, err)
		}
		evidence := fmt.Sprintf("ping answers, inspect does not within %v, twice", p.o.APITimeout)
		if state, ok := p.startsAgain(ctx, c); ok {
			return []Finding{found(restartLoop, "%s is being started again while it is asked for", c.Name).of(c).evidence(state, evidence)}
		}
		return []Finding{found(containerLock, "inspect of %s does not return", c.Name).of(c).evidence(evidence)}
	}
}

func (p *Examination) inspectOnce(ctx context.Context, c container) error {
	d, err := p.client.Inspect(ctx, c.ID)
	if err == nil {
		p.mu.Lock()
		p.details = append(p.details, d)
		p.mu.Unlock()
	}
	return err
}

func inspectFinding(c container, err error) []Finding {
	switch {
	case err == nil, errors.Is(err, engine.ErrNotFound): // removed meanwhile, or never known: see records
		return nil
	case errors.Is(err, engine.ErrRefused):
		return []Finding{found(engineRefuses, "inspect of %s is refused: %v", c.Name, err).of(c)}
	}
	return []Finding{found(engineRefuses, "inspect of %s fails", c.Name).of(c).evidence(err.Error())}
}

// startsAgain reports whether a container is between two runs, by the engine's list now
// and when it was first asked. The list is made without locks.
func (p *Examination) startsAgain(ctx context.Context, c container) (state string, ok bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.o.APITimeout)
	defer cancel()
	now, err := p.client.List(ctx, true)
	if err != nil {
		return "", false
	}
	p.mu.Lock()
	before := p.listed
	p.mu.Unlock()
	first, last := stateIn(before, c.ID), stateIn(now, c.ID)
	state = fmt.Sprintf("the list: %s, then %s", first, last)
	return state, first == "restarting" || last == "restarting" || first != last
}

func stateIn(list []engine.Summary, id string) string {
	for _, s := range list {
		if s.ID == id {
			return s.State
		}
	}
	return "not listed"
}
