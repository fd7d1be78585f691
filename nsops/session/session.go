// Package session runs a program and stays with it until its command has ended: the
// streams, the signals that arrive meanwhile, the exit status. It decides what happens
// when the user detaches, interrupts or loses patience. What the program does is
// package launch's matter, how bytes move package tty's.
package session

import (
	"context"
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"dx/nsops/launch"
	"dx/nsops/rootfs"
	"dx/nsops/tty"
)

// Session is a program that is ready to run, and how to run it.
type Session struct {
	Program *launch.Program

	In, Out, Err *os.File // the caller's own streams, which the command never gets

	TTY         bool         // the command has a terminal
	Interactive bool         // In is passed on
	Detach      bool         // do not stay with the command
	SigProxy    bool         // signals go to the command; else they end the session
	Begin       func() error // called once signals are caught, before the start; an error prevents it. May be nil
	DetachKeys  []byte       // with TTY and Interactive: what is typed to detach

	// The streams are made beneath Root, an O_PATH descriptor, by Deputy, and are owned
	// by UID and GID, as the caller's user namespace counts. Errors call it the root of Of.
	Root     *os.File
	Deputy   *launch.Deputy
	Of       string
	UID, GID int
}

// StartError is the reason why no command runs: its streams could not be made, or a
// step of the program failed (a *launch.StepError).
type StartError struct{ Err error }

func (e *StartError) Error() string { return e.Err.Error() }
func (e *StartError) Unwrap() error { return e.Err }

// Run starts the command with streams made beneath Root, and stays with it. The exit
// code is the command's, or 128 and the number of the signal that ended it. With
// Detach, Run returns 0 once the command has started. Its error is a *StartError, an
// *Interrupted, tty.ErrDetached, or what went wrong later.
func (s *Session) Run(ctx context.Context) (code int, err error) {
	stdio, err := s.openStdio()
	if err != nil {
		return 0, &StartError{err}
	}
	defer stdio.Close()
	ctx, signals := catchSignals(ctx, s.SigProxy)
	defer signals.stop()
	if s.Begin != nil {
		if err := s.Begin(); err != nil {
			return 0, err
		}
	}
	p, err := s.Program.Start(ctx, stdio.Child)
	if err != nil {
		return 0, startError(err)
	}
	if s.Detach {
		p.Release()
		return 0, leave(stdio)
	}
	signals.passTo(p)
	return s.attend(ctx, stdio, p)
}

func startError(err error) error {
	var interrupted *Interrupted
	if errors.As(err, &interrupted) {
		return err
	}
	return &StartError{err}
}

func (s *Session) openStdio() (stdio *tty.Stdio, err error) {
	defer s.Deputy.Close() // nothing is left to look at
	root := rootfs.At(s.Root, s.Deputy, s.Of)
	if s.TTY {
		stdio, err = tty.NewPTY(root, tty.SizeOf(s.Out))
	} else {
		stdio, err = tty.NewPipes(root, s.Interactive && !s.Detach)
	}
	if err != nil {
		return nil, err
	}
	if err := stdio.Chown(s.UID, s.GID); err != nil {
		stdio.Close()
		return nil, err
	}
	return stdio, nil
}

// attend moves the streams until the command has ended.
func (s *Session) attend(ctx context.Context, stdio *tty.Stdio, p *launch.Process) (code int, err error) {
	streams := tty.Streams{Out: s.Out, Err: s.Err}
	if s.Interactive {
		streams.In = s.In
	}
	if s.Interactive && s.TTY {
		terminal, err := tty.Raw(s.In)
		if err != nil {
			_ = p.Signal(unix.SIGKILL)
			_, _ = p.Wait()
			return 0, err
		}
		defer terminal.Close()
		streams.DetachKeys = s.DetachKeys
	}
	var status unix.WaitStatus
	var waitErr error
	exited := make(chan struct{})
	go func() {
		status, waitErr = p.Wait()
		close(exited)
	}()
	err = stdio.Relay(ctx, streams, exited)
	var interrupted *Interrupted
	if errors.Is(err, tty.ErrDetached) || errors.As(err, &interrupted) {
		// The command runs on, as docker's does.
		return 0, errors.Join(err, leave(stdio))
	}
	<-exited
	return exitCode(status), errors.Join(err, waitErr)
}

// leave lets a command go on alone: what it writes is read and thrown away, as the
// engine does.
func leave(stdio *tty.Stdio) error {
	var errs []error
	for _, f := range stdio.Outputs() {
		errs = append(errs, launch.Drain(f))
	}
	return errors.Join(errs...)
}

// exitCode is what a shell makes of a status.
func exitCode(s unix.WaitStatus) int {
	if s.Signaled() {
		return 128 + int(s.Signal())
	}
	return s.ExitStatus()
}

// RunOn is Run for a command that has the caller's own streams and terminal, and that
// nobody could find again: it ends with the session.
func RunOn(ctx context.Context, prog *launch.Program, stdio [3]*os.File) (code int, err error) {
	ctx, signals := catchSignals(ctx, true)
	defer signals.stop()
	signals.skip = func(n unix.Signal) bool {
		// A terminal sends these to its whole foreground group: the command, too.
		return (n == unix.SIGINT || n == unix.SIGQUIT) && tty.InForeground()
	}
	p, err := prog.Start(ctx, stdio)
	if err != nil {
		return 0, startError(err)
	}
	signals.passTo(p)
	stop := context.AfterFunc(ctx, func() { _ = p.Signal(unix.SIGKILL) })
	defer stop()
	status, err := p.Wait()
	return exitCode(status), err
}
