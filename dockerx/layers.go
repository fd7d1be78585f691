package dockerx

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"dx/dockerx/host"
	"dx/nsops/overlay"
)

// Layers opens the layers of a container's root file system, whether it runs or not, and
// returns its ID. Where dockerd does not keep them, those of one that runs are where its
// root was mounted from.
func (r *Resolver) Layers(ctx context.Context, ref string) (l overlay.Layers, id string, err error) {
	c, err := r.Resolve(ctx, ref)
	var state *StateError
	switch {
	case errors.As(err, &state):
		if err := r.doubt(); err != nil && state.Engine != "" {
			return l, "", err
		}
		l, err = r.keptLayers(state.ID)
		return l, state.ID, err
	case err != nil:
		return l, "", err
	}
	defer c.Close()
	if err := c.Believed(); err != nil {
		return l, "", err
	}
	if c.Source == SourcePID {
		return l, "", fmt.Errorf("%s is a process: only a container has layers", ref)
	}
	l, err = r.keptLayers(c.ID)
	var driver *host.DriverError
	if c.bundle != nil && (errors.Is(err, fs.ErrNotExist) || errors.As(err, &driver) && driver.Driver == "") {
		l, err = c.bundle.Layers()
	}
	return l, c.ID, err
}

func (r *Resolver) keptLayers(id string) (overlay.Layers, error) {
	s, err := r.Store(id)
	if err != nil {
		return overlay.Layers{}, err
	}
	defer s.Close()
	return s.Layers()
}
