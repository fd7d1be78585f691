package dockerx

import "context"

// EngineVersions asks the engine for its versions, whether it has answered before or
// not, and returns its address with them.
func (r *Resolver) EngineVersions(ctx context.Context) (address string, v Versions, err error) {
	v, err = r.engine.Versions(ctx)
	return r.engine.Host(), v, err
}
