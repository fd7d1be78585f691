package main

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"dx/nsops/launch"
	"dx/nsops/session"
)

// runProgram runs a compiled program beside a container: the session has what is
// particular to it. The exit code of the command comes back as a *statusError.
func (a *app) runProgram(ctx context.Context, e *execRequest, plan *launch.Plan, s session.Session) error {
	o := e.options
	if o.explain {
		a.explainEarly(plan)
		return s.Program.Explain(a.out)
	}
	s.In, s.Out, s.Err = a.in, a.out, a.err
	s.TTY, s.Interactive, s.Detach = o.tty, o.interactive, o.detach
	s.SigProxy, s.DetachKeys, s.Begin = o.sigProxy, e.detachKeys, e.begin
	s.Deputy, s.Of = e.container.Deputy(), e.container.Name
	code, err := s.Run(ctx)
	var start *session.StartError
	if errors.As(err, &start) {
		return e.startError(plan, start.Err)
	}
	return errors.Join(err, exitStatus(code))
}

// exitStatus is an exit code as an error; nil for 0.
func exitStatus(code int) error {
	if code == 0 {
		return nil
	}
	return &statusError{code: code}
}

// compileError has docker's words for a variable that no process can have.
func (e *execRequest) compileError(err error) error {
	var nul *launch.NULError
	if errors.As(err, &nul) {
		return &nulError{variable: nul.Text, detached: e.options.detach}
	}
	return err
}

// hostProgramFailed has the exit codes of unshare(1) for a command that cannot be
// executed: 127 if it is not there, else 126.
func hostProgramFailed(command string, err error, step *launch.StepError) error {
	switch step.Step.Stage {
	case launch.StageLookup, launch.StageExec:
		code := exitNotExecutable
		if step.Errno == unix.ENOENT {
			code = exitNotFound
		}
		return &clientError{code: code, err: fmt.Errorf("dx: cannot execute %q: %w", command, step.Errno)}
	}
	return err
}

// startError separates the failures that docker reports as the command's from dx's
// own.
func (e *execRequest) startError(plan *launch.Plan, err error) error {
	var step *launch.StepError
	if errors.As(err, &step) && e.ofHost {
		return hostProgramFailed(plan.Process.Args[0], err, step)
	}
	if errors.As(err, &step) && step.Step.Stage != launch.StageSetup {
		return &startError{command: plan.Process.Args[0], cwd: plan.Process.Cwd, detached: e.options.detach, step: step, crun: e.crun}
	}
	return fmt.Errorf("%s: %w", e.container.String(), err)
}
