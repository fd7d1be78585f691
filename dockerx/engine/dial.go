package engine

import "sync"

type dialErrorKey struct{}

// dialError carries the error of a dial past the API client.
type dialError struct {
	mu  sync.Mutex
	err error
}

func (d *dialError) set(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err = err
}

func (d *dialError) get() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.err
}
