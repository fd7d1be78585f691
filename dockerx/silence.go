package dockerx

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"dx/dockerx/docker"
	"dx/dockerx/engine"
)

// memory is what a resolver keeps of its engine's silence: it is waited for once, and
// spoken of once, however many containers are asked for.
type memory struct {
	mu     sync.Mutex
	silent error // an EngineError; nil: the engine may answer
	said   map[string]bool
}

// mute returns why the engine is not asked again; nil if it may be.
func (m *memory) mute() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.silent
}

// heard notes an answer. What only one request met (an error of the engine's own, the lock
// of one container) says nothing of the next.
func (m *memory) heard(err error, onlyThis bool) {
	var e *EngineError
	if !errors.As(err, &e) || errors.Is(err, engine.ErrRefused) || onlyThis {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.silent == nil {
		m.silent = err
	}
}

// first reports whether a line has not been said yet.
func (m *memory) first(line string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.said == nil {
		m.said = map[string]bool{}
	}
	again := m.said[line]
	m.said[line] = true
	return !again
}

// inspect asks the engine for one container, unless it is known to be mute.
func (r *Resolver) inspect(ctx context.Context, name string) (*docker.Container, error) {
	if err := r.memory.mute(); err != nil {
		return nil, err
	}
	var d *docker.Container
	lives, cancel := r.pingMeanwhile(ctx)
	defer cancel()
	err := r.attended(ctx, func(ctx context.Context) (err error) {
		d, err = r.engine.Inspect(ctx, name)
		return err
	})
	r.answered.Store(err == nil || errors.Is(err, engine.ErrNotFound) || errors.Is(err, engine.ErrRefused))
	r.memory.heard(err, isLate(err) && lives())
	return d, err
}

// list asks the engine for all its containers, or for those that run.
func (r *Resolver) list(ctx context.Context, all bool) ([]engine.Summary, error) {
	if err := r.memory.mute(); err != nil {
		return nil, err
	}
	var list []engine.Summary
	err := r.attended(ctx, func(ctx context.Context) (err error) {
		list, err = r.engine.List(ctx, all)
		return err
	})
	r.memory.heard(err, false)
	return list, err
}

// pingPatience is how much longer than an inspect a ping may take that tells why that did not
// answer.
const pingPatience = 20 * time.Millisecond

// pingMeanwhile pings the engine when half of a call's time is over: if an inspect hangs and
// the ping is answered (lives), it is because of that one container. So nobody waits for it,
// and it has time on a busy machine.
func (r *Resolver) pingMeanwhile(ctx context.Context) (lives func() bool, cancel func()) {
	ctx, cancelPing := context.WithCancel(ctx)
	answer := make(chan error, 1)
	timer := time.AfterFunc(r.engine.Timeout()/2, func() { answer <- r.engine.Ping(ctx) })
	lives = func() bool {
		if timer.Stop() {
			return false // it was not asked
		}
		select {
		case err := <-answer:
			return err == nil
		case <-time.After(pingPatience):
			return false
		}
	}
	return lives, func() { timer.Stop(); cancelPing() }
}

// isLate reports whether an error is that the engine did not answer in time.
func isLate(err error) bool {
	var e *EngineError
	return errors.As(err, &e) && errors.Is(err, context.DeadlineExceeded)
}

// isUnavailable reports whether host discovery should be tried: the engine gave no answer, or
// the kernel disproves the one that it gave. "No such container" is an answer.
func isUnavailable(err error) bool {
	var e *EngineError
	var stale *StaleError
	return errors.As(err, &e) || errors.As(err, &stale)
}

// unavailableReason returns in one line why the engine's answer is not used.
func (r *Resolver) unavailableReason(err error) string {
	var e *EngineError
	switch {
	case !errors.As(err, &e) || !errors.Is(err, context.DeadlineExceeded):
		return err.Error()
	case r.memory.mute() == nil && strings.HasPrefix(e.Op, "inspect "):
		return fmt.Sprintf("%s hangs while ping answers: that container's lock is held in dockerd", e.Op)
	}
	return fmt.Sprintf("dockerd at %s did not respond within %v (%s)", e.Host, r.engine.Timeout(), e.Op)
}

// instead says once that the host is asked because of an error. That there is no Docker
// where nobody said that there is one goes without saying.
func (r *Resolver) instead(err error) {
	if !r.named && absent(err) {
		return
	}
	if line := r.unavailableReason(err) + "; falling back to host discovery"; r.memory.first(line) {
		r.warn(line)
	}
}

// absent reports whether nobody listens at the engine's address.
func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ECONNREFUSED)
}
