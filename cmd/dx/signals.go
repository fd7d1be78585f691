package main

import (
	"context"
	"os"
	"os/signal"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"dx/nsops/launch"
)

// signalError says that a signal ended dx's own part.
type signalError struct{ signal unix.Signal }

func (e *signalError) Error() string { return "interrupted by " + unix.SignalName(e.signal) }

// impatience is how many SIGINTs and SIGTERMs end dx although they are passed on:
// the command may ignore them. docker's client has the same number.
const impatience = 3

// signals takes what is sent to dx: before there is a command, and without
// --sig-proxy, a signal ends dx; afterwards it goes to the command.
type signals struct {
	caught chan os.Signal
	cancel context.CancelCauseFunc
	proxy  bool
	to     atomic.Pointer[launch.Process]

	// skip says which signals the command gets without dx; nil: none. It is set
	// before there is a command.
	skip func(unix.Signal) bool
}

// catchSignals returns a context that ends with a *signalError.
func catchSignals(ctx context.Context, proxy bool) (context.Context, *signals) {
	ctx, cancel := context.WithCancelCause(ctx)
	s := &signals{caught: make(chan os.Signal, 16), cancel: cancel, proxy: proxy}
	signal.Notify(s.caught, unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2)
	go s.run()
	return ctx, s
}

func (s *signals) run() {
	impatient := 0
	for sig := range s.caught {
		n := sig.(unix.Signal)
		p := s.to.Load()
		if p != nil && s.skip != nil && s.skip(n) {
			continue
		}
		if n == unix.SIGINT || n == unix.SIGTERM {
			impatient++
		}
		if p == nil || !s.proxy || impatient >= impatience {
			s.cancel(&signalError{signal: n})
			continue
		}
		_ = p.Signal(n) // ESRCH: it has just ended, which is noticed elsewhere
	}
}

// passTo sends later signals to the command.
func (s *signals) passTo(p *launch.Process) { s.to.Store(p) }

func (s *signals) stop() {
	signal.Stop(s.caught)
	close(s.caught)
	s.cancel(nil)
}
