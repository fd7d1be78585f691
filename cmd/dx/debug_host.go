package main

import (
	"context"

	"dx/dockerx/hostexec"
	"dx/nsops/launch"
	"dx/nsops/session"
)

func (a *app) runHostTools(ctx context.Context, o debugOptions, ref string, args []string) error {
	o.ignorePaused = true // the command is not in the container's cgroup
	return a.enter(ctx, o.execOptions, ref, func(e *execRequest) error {
		e.ofHost = true
		spec, err := hostexec.Spec(e.container, hostexec.Options{
			Args: args, Env: e.env, Cwd: o.workdir, Tty: o.tty, SharePID: o.sharePID, ExposeHost: o.exposeHost,
		})
		if err != nil {
			return err
		}
		if o.debug {
			a.printOrigins(e.container, spec.Origins)
		}
		plan, err := hostexec.NewPlan(e.container, spec)
		if err != nil {
			return err
		}
		defer plan.Close()
		prog, err := launch.Compile(plan.Plan.Plan)
		if err != nil {
			return err
		}
		user := plan.Process.User
		return a.runProgram(ctx, e, plan.Plan.Plan, session.Session{Program: prog, Root: plan.Root, UID: int(user.UID), GID: int(user.GID)})
	})
}
