package main

import (
	"context"
	"fmt"
	"strings"

	"dx/dockerx/doctor"
)

// unmountWaits is how many times longer than for an answer dx waits for an unmount: it starts
// a process, and a machine with a dead mount is often a busy one.
const unmountWaits = 10

// unmount is doctor --unmount CONTAINER:PATH.
func (a *app) unmount(ctx context.Context, o doctorOptions) error {
	ref, path, ok := strings.Cut(o.unmount, ":/")
	if !ok || ref == "" {
		return &clientError{code: exitDx, err: fmt.Errorf("--unmount %s: a mount is named CONTAINER:/PATH", o.unmount)}
	}
	path = "/" + path
	r, err := a.resolver()
	if err != nil {
		return err
	}
	defer r.Close()
	c, err := r.Resolve(ctx, ref)
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, unmountWaits*o.timeout)
	defer cancel()
	fsType, err := doctor.Unmount(ctx, c.Process, path)
	if err != nil {
		return &clientError{code: exitDx, err: fmt.Errorf("dx: %s: %w%s", c.String(), err, hint(err))}
	}
	a.result("the %s mount at %s in %s is gone", fsType, path, c.String())
	return nil
}
