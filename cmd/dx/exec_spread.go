package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"dx/cmd/dx/output"
	"dx/dockerx"
	"dx/nsops/session"
)

// spread is one command in several containers. Each runs as an exec of its own would,
// with pipes for dx's streams, so that its words and exit codes are those of one.
type spread struct {
	*app
	resolver *dockerx.Resolver
	options  execOptions
	env      []string
	args     []string
	stop     *stop
	print    printer
	quiet    bool // no table at the end
}

// printer is where what one container's exec prints goes.
type printer interface {
	// streams takes what a container's exec writes until both files are at their end.
	streams(t *dockerx.Target, out, err *os.File) (done func(execRecord))
}

// run runs the command in all of the containers, so many at a time.
func (s *spread) run(ctx context.Context, list []*dockerx.Target, parallel int) error {
	records := make([]execRecord, len(list))
	slots := make(chan struct{}, parallel)
	var wg sync.WaitGroup
	for i, t := range list {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			records[i] = s.one(ctx, t)
		})
	}
	wg.Wait()
	return s.finish(records)
}

// one runs the command in one container.
func (s *spread) one(ctx context.Context, t *dockerx.Target) execRecord {
	rec := execRecord{Name: t.Name, ID: t.ID, Engine: t.Engine}
	out, err := newPipe()
	if err != nil {
		return s.noPipe(rec, err)
	}
	errs, err := newPipe()
	if err != nil {
		out.close()
		return s.noPipe(rec, err)
	}
	done := s.print.streams(t, out.r, errs.r)
	its := *s.app
	its.out, its.err, its.rawTerminal = out.w, errs.w, true // which needs no carriage returns
	rec.ExitCode = its.exitCode(s.enter(ctx, &its, t, &rec))
	out.w.Close()
	errs.w.Close()
	done(rec)
	return rec
}

func (s *spread) noPipe(rec execRecord, err error) execRecord {
	s.say("%s: %v", rec.Name, err)
	rec.ExitCode = exitDx
	return rec
}

func (s *spread) enter(ctx context.Context, its *app, t *dockerx.Target, rec *execRecord) error {
	if err := s.stop.check(); err != nil {
		return its.notStarted(err)
	}
	c, err := t.Open(ctx)
	if err == nil {
		defer c.Close()
		rec.ID, rec.Engine = c.ID, c.Engine
		begun := false
		e := &execRequest{options: s.options, env: s.env, begin: func() error {
			err := s.stop.check()
			begun = err == nil
			return err
		}}
		err = its.enterOpen(s.resolver, c, e, func(e *execRequest) error { return its.runIn(ctx, e, s.args) })
		if interrupted(err) && begun {
			its.say("%v; the command runs on", err)
			return err
		}
	}
	if interrupted(err) {
		return its.notStarted(err)
	}
	return withEngineVersion(ctx, s.resolver, s.options.detach, err)
}

func interrupted(err error) bool {
	var i *session.Interrupted
	return errors.As(err, &i)
}

func (a *app) notStarted(err error) error {
	a.say("%v; the command was not started", err)
	return err
}

// finish says where it failed, unless the records are a program's to read. The exit
// code is the highest.
func (s *spread) finish(records []execRecord) error {
	worst := 0
	t := output.Table{Header: []string{"CONTAINER", "EXIT CODE"}}
	for _, r := range records {
		worst = max(worst, r.ExitCode)
		if r.ExitCode != 0 {
			t.Rows = append(t.Rows, output.Row(r.Name, strconv.Itoa(r.ExitCode)))
		}
	}
	if worst == 0 || s.quiet {
		return exitStatus(worst)
	}
	s.say("failed in %d of %d containers:", len(t.Rows), len(records))
	return errors.Join(output.WriteTable(s.err, s.colour, t), exitStatus(worst))
}

// pipe is what one stream of a container's exec is written to.
type pipe struct{ r, w *os.File }

func newPipe() (p pipe, err error) {
	p.r, p.w, err = os.Pipe()
	if err != nil {
		return p, fmt.Errorf("cannot make a pipe: %w", err)
	}
	return p, nil
}

func (p pipe) close() {
	p.r.Close()
	p.w.Close()
}

// stop is the first signal after which no more commands are started. Those that run get
// it by their sessions.
type stop struct {
	caught chan os.Signal

	mu    sync.Mutex
	first error // nil: none has come
}

func catchStop() *stop {
	s := &stop{caught: make(chan os.Signal, 1)}
	signal.Notify(s.caught, unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM)
	return s
}

func (s *stop) close() { signal.Stop(s.caught) }

// check returns a *session.Interrupted once a signal has come. Whoever catches signals
// before it asks has one that comes later itself: the runtime tells all at once.
func (s *stop) check() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case sig := <-s.caught:
		s.first = &session.Interrupted{Signal: sig.(unix.Signal)}
	default:
	}
	return s.first
}
