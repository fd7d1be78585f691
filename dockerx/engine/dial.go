package engine

import (
	"errors"
	"sync"

	"dx/nsops/callerfile"
	"dx/nsops/launch"
)

// Reachable returns an error, in which errors.Is finds launch.ErrSilent, if the way to a
// socket's file leads through a file system that does not answer: connect(2) would wait
// there, in dx. Whether anybody listens it does not say. Docker's own place is root's
// alone: nobody else can mount anything on that way.
func Reachable(socket string) error {
	if socket == "/var/run/docker.sock" || socket == "/run/docker.sock" {
		return nil
	}
	var d launch.Deputy
	defer d.Close()
	if _, err := callerfile.Look(&d, socket, true); errors.Is(err, launch.ErrSilent) {
		return err
	}
	return nil
}

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
