package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"dx/dockerx"
	"dx/nsops/launch"
	"dx/nsops/rootfs"
	"dx/nsops/tty"
)

// execution is one exec that is ready to run.
type execution struct {
	options    execOptions
	container  *dockerx.Container
	program    *launch.Program
	root       *os.File
	uid, gid   int // who the streams belong to, as the host counts
	command    string
	detachKeys []byte
}

// runProgram starts the command and stays with it until it ends: its exit code
// comes back as a *statusError. With -d it returns once the command has started.
func (a *app) runProgram(ctx context.Context, e *execution) error {
	stdio, err := a.openStdio(e)
	if err != nil {
		return fmt.Errorf("%s: %w", describe(e.container), err)
	}
	defer stdio.Close()
	ctx, signals := catchSignals(ctx, e.options.sigProxy)
	defer signals.stop()

	p, err := e.program.Start(ctx, stdio.Child)
	if err != nil {
		return e.startError(err)
	}
	if e.options.detach {
		p.Release()
		return leave(stdio)
	}
	signals.passTo(p)
	return a.attend(ctx, e, stdio, p)
}

func (a *app) openStdio(e *execution) (stdio *tty.Stdio, err error) {
	deputy := e.container.Deputy()
	defer deputy.Close() // nothing is left to look at
	root := rootfs.At(e.root, deputy, e.container.Name)
	if e.options.tty {
		stdio, err = tty.NewPTY(root, tty.SizeOf(a.out))
	} else {
		stdio, err = tty.NewPipes(root, e.options.interactive && !e.options.detach)
	}
	if err != nil {
		return nil, err
	}
	if err := stdio.Chown(e.uid, e.gid); err != nil {
		stdio.Close()
		return nil, err
	}
	return stdio, nil
}

// attend moves the streams until the command has ended.
func (a *app) attend(ctx context.Context, e *execution, stdio *tty.Stdio, p *launch.Process) error {
	streams := tty.Streams{Out: a.out, Err: a.err}
	if e.options.interactive {
		streams.In = a.in
	}
	if e.options.interactive && e.options.tty {
		terminal, err := tty.Raw(a.in)
		if err != nil {
			_ = p.Signal(unix.SIGKILL)
			_, _ = p.Wait()
			return err
		}
		defer terminal.Close()
		streams.DetachKeys = e.detachKeys
	}
	var status unix.WaitStatus
	var waitErr error
	exited := make(chan struct{})
	go func() {
		status, waitErr = p.Wait()
		close(exited)
	}()
	err := stdio.Relay(ctx, streams, exited)
	var interrupted *signalError
	if errors.Is(err, tty.ErrDetached) || errors.As(err, &interrupted) {
		// The command runs on, as docker's does.
		return errors.Join(err, leave(stdio))
	}
	<-exited
	return errors.Join(err, waitErr, commandStatus(status))
}

// leave lets a command go on without dx: what it writes is read and thrown away,
// as the engine does.
func leave(stdio *tty.Stdio) error {
	var errs []error
	for _, f := range stdio.Outputs() {
		errs = append(errs, launch.Drain(f))
	}
	return errors.Join(errs...)
}

// commandStatus is the exit code of the command: 128 and the signal's number if
// one ended it.
func commandStatus(s unix.WaitStatus) error {
	switch {
	case s.Signaled():
		return &statusError{code: 128 + int(s.Signal())}
	case s.ExitStatus() != 0:
		return &statusError{code: s.ExitStatus()}
	}
	return nil
}

// startError tells the failures that docker reports as the command's from dx's
// own.
func (e *execution) startError(err error) error {
	var step *launch.StepError
	if errors.As(err, &step) && step.Step.Stage != launch.StageSetup {
		return &startError{command: e.command, detached: e.options.detach, step: step}
	}
	var interrupted *signalError
	if errors.As(err, &interrupted) {
		return err
	}
	return fmt.Errorf("%s: %w", describe(e.container), err)
}
