package tty

import (
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"github.com/moby/term"
	"golang.org/x/sys/unix"
)

const (
	// linger is how long docker waits for streams that background children hold
	// after the main process has exited (moby daemon/monitor.go, since 20.10).
	linger = 2 * time.Second
	// grace is for a read or write of the caller's terminal that blocks although
	// it polled as ready: another process was faster, or ctrl-s came between.
	grace = 100 * time.Millisecond
)

// Streams are the caller's ends. They are read and written, never changed or
// closed; only the size of a pipe may grow.
type Streams struct {
	In         *os.File // nil: the process's standard input is not fed (no -i)
	Out        *os.File
	Err        *os.File // not used with a pty
	DetachKeys []byte   // only with a pty; empty: none
}

// Relay copies between the process and the caller until the process has exited and
// its output has ended, and two seconds longer at most where background children
// keep pipes open. What they had written by then is still delivered, however
// slow the reader.
//
//   - The end of the caller's input closes the process's standard input; a pty
//     stays open. A process that closes its input, and an input that cannot be
//     read, are no errors (docker exec says nothing about either).
//   - If the caller's output is gone (EPIPE), the process gets a SIGPIPE when it
//     writes on, or a SIGHUP if it has a pty. docker exec leaves it running.
//   - Any other failure to write (a full disk) does the same, and is returned once
//     the process has ended.
//   - The detach keys end the relay with ErrDetached, ctx with its cause. The
//     process runs on, and what it writes to stays open until Close (Outputs).
//
// The process's files of dx are closed first (CloseChild).
func (s *Stdio) Relay(ctx context.Context, local Streams, exited <-chan struct{}) error {
	if err := s.CloseChild(); err != nil {
		return err
	}
	r, err := newRelay(s)
	if err != nil {
		return err
	}
	return r.run(ctx, local, exited)
}

// relay is one run of Relay.
type relay struct {
	*Stdio
	stop    *event // ends the outputs at once
	drain   *event // ends the outputs when they have nothing more at hand
	stopIn  *event // ends the input at once
	pumps   sync.WaitGroup
	inDone  chan error // the result of the input; nil once it is in, or without input
	outDone chan error // one result of each output
	outputs int        // outputs that have not reported
}

func newRelay(s *Stdio) (_ *relay, err error) {
	r := &relay{Stdio: s, outDone: make(chan error, 2)}
	for _, e := range []**event{&r.stop, &r.drain, &r.stopIn} {
		if *e, err = newEvent(); err != nil {
			r.closeEvents()
			return nil, err
		}
	}
	return r, nil
}

func (r *relay) run(ctx context.Context, local Streams, exited <-chan struct{}) error {
	r.startOutputs(local)
	r.startInput(local)
	if r.master != nil && term.IsTerminal(local.Out.Fd()) {
		stop := followSize(local.Out, r.master)
		defer stop()
	}
	defer r.end()
	return r.wait(ctx, exited)
}

func (r *relay) startOutputs(local Streams) {
	for _, o := range []struct{ from, to *os.File }{{r.out, local.Out}, {r.err, local.Err}, {r.master, local.Out}} {
		if o.from == nil {
			continue
		}
		src := &source{fd: int(o.from.Fd()), name: o.from.Name(), stop: r.stop, drain: r.drain}
		dst := &sink{fd: int(o.to.Fd()), name: o.to.Name(), stop: r.stop, chunk: chunk(o.to)}
		r.outputs++
		r.pumps.Go(func() {
			err := pump(dst, src)
			if o.from != r.master && !errors.Is(err, errStopped) {
				// The writer's next write is its SIGPIPE.
				o.from.Close()
			}
			r.outDone <- err
		})
	}
}

func (r *relay) startInput(local Streams) {
	to := cmp.Or(r.master, r.in)
	if to == nil || local.In == nil {
		closeAll(r.in)
		return
	}
	done := make(chan error, 1)
	r.inDone = done
	src := &source{fd: int(local.In.Fd()), name: local.In.Name(), stop: r.stopIn}
	dst := &sink{fd: int(to.Fd()), name: to.Name(), stop: r.stopIn}
	r.pumps.Go(func() {
		if r.master != nil {
			_, err := io.Copy(dst, term.NewEscapeProxy(src, local.DetachKeys))
			done <- err
			return
		}
		err := pump(dst, src)
		r.in.Close()
		done <- err
	})
}

// wait sees to the order of the ends.
func (r *relay) wait(ctx context.Context, exited <-chan struct{}) error {
	var failed []error
	var late <-chan time.Time
	for r.outputs > 0 || exited != nil {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-exited:
			exited = nil
			r.stopIn.raise()
			late = time.After(r.linger)
		case <-late:
			r.drain.raise()
		case err := <-r.inDone:
			r.inDone = nil
			if errors.Is(err, ErrDetached) {
				return ErrDetached
			}
		case err := <-r.outDone:
			r.outputs--
			failed = append(failed, r.outputEnded(err))
		}
	}
	return errors.Join(failed...)
}

// outputEnded hangs up a pty that nobody reads any more: without a reader the
// process would block for ever, and a pty has no SIGPIPE.
func (r *relay) outputEnded(err error) error {
	if err != nil && r.master != nil {
		r.stopIn.raise()
		if r.inDone != nil {
			select {
			case <-r.inDone:
			case <-time.After(grace):
			}
			r.inDone = nil
		}
		r.master.Close()
	}
	if errors.Is(err, unix.EPIPE) {
		return nil
	}
	return err
}

// end stops what still runs. A pump that is stuck in a call on the caller's
// terminal is left: it looks at the events before it touches a file again.
func (r *relay) end() {
	r.stop.raise()
	r.stopIn.raise()
	idle := make(chan struct{})
	go func() {
		r.pumps.Wait()
		r.closeEvents()
		close(idle)
	}()
	select {
	case <-idle:
	case <-time.After(grace):
	}
}

func (r *relay) closeEvents() {
	for _, e := range []*event{r.stop, r.drain, r.stopIn} {
		if e != nil {
			e.close()
		}
	}
}

// chunk is how much may be written at once to a file of the caller: one that is
// shared must not be made non-blocking.
func chunk(f *os.File) int {
	st, err := f.Stat()
	if err != nil || st.Mode().IsRegular() {
		return 0
	}
	return careful
}
