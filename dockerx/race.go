package dockerx

import (
	"sync"
	"time"

	"dx/dockerx/host"
)

// headStart is how long the engine is asked alone: longer than a healthy one
// takes, so that it costs nothing to have the host's answer ready for a hung one.
const headStart = 20 * time.Millisecond

// answer is what one side found out.
type answer[T any] struct {
	value T
	err   error
}

// beside is the look at the host that is made while the engine is late. What it warns of
// is said only if it is used.
type beside struct {
	start func()
	late  *time.Timer
	done  chan answer[*host.Listing]
	said  *heldBack
}

// lookBeside looks at the host once the engine is late.
func (r *Resolver) lookBeside() *beside {
	b := &beside{done: make(chan answer[*host.Listing], 1), said: &heldBack{to: r.warn}}
	b.start = sync.OnceFunc(func() {
		go func() {
			l, err := host.List(func(err error) { b.said.warn(err.Error()) })
			if err == nil {
				for _, f := range l.Found {
					f.Docker() // what it is called takes as long as to find it
				}
			}
			b.done <- answer[*host.Listing]{l, err}
		}()
	})
	b.late = time.AfterFunc(headStart, b.start)
	return b
}

// drop is for an engine that has answered.
func (b *beside) drop() {
	if b.late.Stop() {
		return
	}
	go func() {
		b.start()
		if a := <-b.done; a.err == nil {
			a.value.Close()
		}
	}()
}

// listing waits for the look, which is the caller's to close.
func (b *beside) listing() (*host.Listing, error) {
	b.late.Stop()
	b.start()
	a := <-b.done
	b.said.release()
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
