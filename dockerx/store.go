package dockerx

import (
	"context"
	"errors"

	"dx/dockerx/host"
)

// Store opens what dockerd keeps of a container on this host, whether it runs or not:
// os.ErrNotExist if that is nowhere, as for a container of another engine; an OtherHostError
// for an engine of another host.
func (r *Resolver) Store(id string) (*host.Store, error) {
	if r.from != SourceHost {
		if w := r.whose(); w.elsewhere != "" {
			return nil, r.otherHost(w.elsewhere)
		}
	}
	l, err := r.listHost()
	if err != nil {
		return nil, err
	}
	defer l.Close()
	var whose host.Engine
	if r.from != SourceHost {
		whose = r.own()
	}
	return host.OpenStore(l.Found, r.daemons(), whose, id)
}

// Stopped is a List of all containers, and the way from a path to the one that writes there.
func (r *Resolver) Stopped(ctx context.Context) (list []Listed, layerOf func(path string) string, err error) {
	list, err = r.List(ctx, true)
	var unseen *UnseenError
	if err != nil && !errors.As(err, &unseen) {
		return nil, nil, err
	}
	l, err := r.listHost()
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	layers := host.NewLayerIndex(l.Found, r.daemons())
	return list, layers.Of, nil
}
