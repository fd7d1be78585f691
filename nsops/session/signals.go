package session

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Interrupted is the signal that ended a session; the command runs on.
type Interrupted struct{ Signal unix.Signal }

func (e *Interrupted) Error() string { return "interrupted by " + unix.SignalName(e.Signal) }

// UntilSignal returns a context that ends with an *Interrupted when dx is asked to end.
// stop gives the signals back.
func UntilSignal(ctx context.Context) (_ context.Context, stop func()) {
	ctx, s := catchSignals(ctx, false)
	return ctx, s.stop
}

// impatience is how many SIGINTs and SIGTERMs end a session although they are passed on:
// the command may ignore them. docker's client has the same number.
const impatience = 3

// startPatience is how long a signal waits for a command that is being started, which
// takes milliseconds unless something hangs.
const startPatience = time.Second

// receiver is a process that gets signals.
type receiver interface{ Signal(unix.Signal) error }

// signals takes what is sent to dx. It goes to the command; one that comes before dx
// knows that the command runs, which others may know already, is kept for it. A signal
// ends dx without --sig-proxy, and where the start takes too long.
type signals struct {
	caught chan os.Signal
	cancel context.CancelCauseFunc
	proxy  bool

	mu      sync.Mutex
	to      receiver
	waiting []unix.Signal // until there is a command

	// skip reports whether the command gets a signal without dx; nil: never. It is set
	// before there is a command.
	skip func(unix.Signal) bool
}

// catchSignals returns a context that ends with a *Interrupted.
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
		if n == unix.SIGINT || n == unix.SIGTERM {
			impatient++
		}
		if !s.proxy || impatient >= impatience {
			s.cancel(&Interrupted{Signal: n})
			continue
		}
		s.pass(n)
	}
}

// pass gives a signal to the command, or keeps it.
func (s *signals) pass(n unix.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.to != nil {
		s.send(n)
		return
	}
	s.waiting = append(s.waiting, n)
	time.AfterFunc(startPatience, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.to == nil {
			s.cancel(&Interrupted{Signal: n})
		}
	})
}

func (s *signals) send(n unix.Signal) {
	if s.skip == nil || !s.skip(n) {
		_ = s.to.Signal(n) // ESRCH: it has just ended, which is noticed elsewhere
	}
}

// passTo sends the signals that waited, and later ones, to the command.
func (s *signals) passTo(p receiver) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.to = p
	for _, n := range s.waiting {
		s.send(n)
	}
	s.waiting = nil
}

func (s *signals) stop() {
	signal.Stop(s.caught)
	close(s.caught)
	s.cancel(nil)
}
