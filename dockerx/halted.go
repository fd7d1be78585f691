package dockerx

import (
	"context"
	"fmt"
	"strings"
	"time"

	"dx/dockerx/host"
	"dx/nsops/cgroup"
	"dx/nsops/proc"
)

// haltedError says that the process which would have to answer does nothing, as the kernel
// tells: there is no use in waiting for it.
type haltedError struct {
	PID  int
	Comm string
	How  string // "is stopped (state T)"
}

func (e *haltedError) Error() string { return fmt.Sprintf("%s (pid %d) %s", e.Comm, e.PID, e.How) }

// attended makes a call to the engine, and ends it with a haltedError once the kernel says
// that who would have to answer does nothing: deadlines are for what cannot be seen.
func (r *Resolver) attended(ctx context.Context, call func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	seen := make(chan struct{})
	late := time.AfterFunc(headStart, func() {
		defer close(seen)
		// A connection may be late as well, and a process be stopped later.
		for pause := headStart; ctx.Err() == nil; pause *= 2 {
			if err := r.halted(); err != nil {
				cancel(err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
		}
	})
	err := call(ctx)
	cancel(nil)
	if !late.Stop() {
		<-seen // it reads by descriptors that Close gives back
	}
	return err
}

// halted looks at who listens on the engine's socket.
func (r *Resolver) halted() error {
	peers, _ := r.engine.Peers() // a failure tells nothing of the process
	for _, peer := range peers {
		switch {
		case peer.Process != nil && peer.Process.PID != 1:
			if err := haltedProcess(peer.Process); err != nil {
				return err
			}
		case peer.Path != "": // systemd has called listen(2), and handed the socket on
			if err := r.haltedHolder(peer.Path); err != nil {
				return err
			}
		}
	}
	return nil
}

// haltedHolder looks at the dockerds that have the socket.
func (r *Resolver) haltedHolder(path string) error {
	dockerds, others := r.listeners(strings.TrimPrefix(path, "unix://"), host.Daemons())
	for _, p := range others {
		p.Close()
	}
	for _, d := range dockerds {
		p, err := proc.Open(d.PID)
		if err != nil {
			continue
		}
		if d.Is(p) {
			err = haltedProcess(p)
		}
		p.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// tracerPatience is how long a tracer must hold a process to be taken for a debugger that
// does not let it go on.
const tracerPatience = 50 * time.Millisecond

func haltedProcess(p *proc.Process) error {
	if st, err := p.Stat(); err == nil {
		return haltedIn(p, st)
	}
	return nil
}

func haltedIn(p *proc.Process, st proc.Stat) error {
	e := &haltedError{PID: p.PID, Comm: st.Comm}
	how := p.Stopped(st)
	file, frozen := cgroup.FrozenBy(p)
	switch {
	case how != "":
		e.How = "is stopped (" + how + ")"
	case frozen:
		e.How = "is frozen (" + file + ")"
	case st.State == 't' && p.HeldByTracer(tracerPatience):
		e.How = "is held by a debugger"
	default:
		return nil
	}
	return e
}
