package execspec_test

import (
	"context"
	"fmt"
	"os"

	"dx/dockerx"
	"dx/dockerx/execspec"
	"dx/nsops/launch"
	"dx/nsops/session"
)

// Example runs a command in a container: what docker exec would ask for is computed from
// what was read, opened, compiled into a program, and run. The container comes from a
// dockerx.Resolver. It takes root and a container, and is therefore compiled only.
func Example() {
	run := func(ctx context.Context, c *dockerx.Container, args ...string) (code int, err error) {
		o := execspec.Options{Args: args}
		facts, err := execspec.Read(ctx, c, o)
		if err != nil {
			return 0, err
		}
		spec, err := execspec.Build(facts, o)
		if err != nil {
			return 0, err
		}
		plan, err := execspec.NewPlan(c, spec)
		if err != nil {
			return 0, err
		}
		defer plan.Close()
		if err := plan.CheckCaller(false); err != nil {
			return 0, err
		}
		program, err := launch.Compile(plan.Plan)
		if err != nil {
			return 0, err
		}
		s := session.Session{Program: program, Root: plan.Root, In: os.Stdin, Out: os.Stdout, Err: os.Stderr}
		s.Deputy, s.Of = c.Deputy(), c.Name
		if s.UID, s.GID, err = plan.StreamOwner(); err != nil {
			return 0, err
		}
		return s.Run(ctx)
	}
	_ = run
}

// ExampleBuild computes from facts alone, which reads nothing.
func ExampleBuild() {
	facts := &execspec.Facts{Kind: execspec.OnHost, Accounts: execspec.Accounts{Passwd: []byte("app:x:7:8::/home/app:\n")}}
	spec, err := execspec.Build(facts, execspec.Options{Args: []string{"id"}, User: "app", WorkingDir: "/srv"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(spec.Process.Args, spec.Process.User.UID, spec.Process.User.GID, spec.Process.Cwd, spec.Origins["Cwd"])
	// Output: [id] 7 8 /srv -w
}
