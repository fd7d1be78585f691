package execspec_test

import (
	"context"
	"fmt"
	"os"

	"dx/dockerx"
	"dx/dockerx/execspec"
	"dx/nsops/launch"
)

// A container is resolved; then an exec is built, compiled and started.
func Example() {
	if err := hello(context.Background(), "web"); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

func hello(ctx context.Context, name string) error {
	r, err := dockerx.NewResolver(dockerx.Options{})
	if err != nil {
		return err
	}
	defer r.Close()
	c, err := r.Resolve(ctx, name)
	if err != nil {
		return err
	}
	defer c.Close()
	spec, err := execspec.Of(ctx, c, execspec.Options{Args: []string{"echo", "hello"}})
	if err != nil {
		return err
	}
	plan, err := execspec.NewPlan(c, spec)
	if err != nil {
		return err
	}
	defer plan.Close()
	program, err := launch.Compile(plan.Plan)
	if err != nil {
		return err
	}
	process, err := program.Start(ctx, [3]*os.File{os.Stdin, os.Stdout, os.Stderr})
	if err != nil {
		return err
	}
	_, err = process.Wait()
	return err
}
