package dockerx

import (
	"context"
	"sync"
	"time"
)

// headStart is how long the engine is asked alone: longer than a healthy one
// takes, so that it costs nothing to have the host's answer ready for a hung one.
const headStart = 20 * time.Millisecond

// answer is what one side found out.
type answer[T any] struct {
	value T
	err   error
}

// race asks the engine and, once that is late, the host beside it. The engine's
// answer counts; where it is of no use the host's does, which by then is there or
// soon will be, and one line says why. What the host found in vain goes to drop.
func race[T any](ctx context.Context, r *Resolver, engine func() (T, error), onHost func(*Resolver) (T, error), drop func(T)) (T, error) {
	said := &heldBack{to: r.warn}
	asked := make(chan answer[T], 1)
	ask := sync.OnceFunc(func() {
		beside := &Resolver{engine: r.engine, from: r.from, warn: said.warn}
		go func() {
			v, err := onHost(beside)
			asked <- answer[T]{v, err}
		}()
	})
	late := time.AfterFunc(headStart, ask)
	v, err := engine()
	inTime := late.Stop()
	if !useless(err) {
		if !inTime {
			go func() { drop((<-asked).value) }()
		}
		return v, err
	}
	ask()
	r.warn(r.whyNot(ctx, err) + "; the host is asked instead")
	a := <-asked
	said.release()
	return a.value, a.err
}

// heldBack keeps warnings until it is known that they matter.
type heldBack struct {
	to func(string)

	mu       sync.Mutex
	lines    []string
	released bool
}

func (h *heldBack) warn(line string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.released {
		h.to(line)
		return
	}
	h.lines = append(h.lines, line)
}

func (h *heldBack) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.released = true
	for _, line := range h.lines {
		h.to(line)
	}
	h.lines = nil
}
