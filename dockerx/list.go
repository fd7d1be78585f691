package dockerx

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/docker/go-units"

	"dx/dockerx/docker"
	"dx/dockerx/engine"
	"dx/dockerx/host"
)

// Listed is a container of a list: what the kernel runs, what the engine knows,
// or both.
type Listed struct {
	ID, Name, Image string
	PID             int    // 0: no process
	State           string // docker's: running, paused, exited, created…
	Status          string // "Up 3 minutes", and what does not fit
	StartedAt       time.Time
	Engine          string // the engine's address; empty if it was not asked or does not know it
	Source          Source
	Labels          map[string]string

	found *host.Found
}

// name takes what Docker's files call the container.
func (l *Listed) name() {
	l.Name = l.found.Name()
	if d := l.found.Docker(); d != nil {
		l.Image, l.Labels = d.Config.Image, d.Config.Labels
	}
}

// List lists running containers, or all: the kernel's side from the host, the
// engine's from its list, which answers also while a container's lock is held.
// Where the two contradict each other, the status says so.
func (r *Resolver) List(ctx context.Context, all bool) ([]Listed, error) {
	known := r.askKnown(ctx, true)
	l, err := r.listHost()
	if err != nil {
		return nil, err
	}
	defer l.Close()
	kernel := map[string]Listed{}
	for id, c := range r.shownOn(l) {
		kernel[id] = listedOf(c)
		c.Close()
	}
	told := <-known
	asked := r.from != SourceHost && told.err == nil
	switch {
	case told.err != nil && r.from == SourceEngine:
		return nil, told.err
	case told.err != nil:
		r.warn(r.whyNot(ctx, told.err) + "; the host is asked instead")
	}
	if !asked {
		told.value = storedSummaries(host.Stored(l.Found, func(err error) { r.warn(err.Error()) }))
	}
	list := r.merge(kernel, told.value, asked)
	if !all {
		list = slices.DeleteFunc(list, func(l Listed) bool { return !runs(l.State) })
	}
	slices.SortFunc(list, func(a, b Listed) int {
		return cmp.Or(b.StartedAt.Compare(a.StartedAt), cmp.Compare(a.Name, b.Name))
	})
	return list, nil
}

func runs(state string) bool { return state == "running" || state == "paused" || state == "restarting" }

// askKnown asks for the engine's list, which comes while the host is looked at;
// an empty one where only the host is asked.
func (r *Resolver) askKnown(ctx context.Context, all bool) <-chan answer[[]engine.Summary] {
	known := make(chan answer[[]engine.Summary], 1)
	if r.from == SourceHost {
		known <- answer[[]engine.Summary]{}
		return known
	}
	go func() {
		list, err := r.engine.List(ctx, all)
		known <- answer[[]engine.Summary]{list, err}
	}()
	return known
}

func listedOf(c shownOne) Listed {
	l := Listed{ID: c.ID, PID: c.Process.PID, State: "running", Source: SourceHost, found: c.found}
	if started, err := c.Process.Started(); err == nil {
		l.StartedAt = started.Truncate(time.Second)
		l.Status = "Up " + units.HumanDuration(time.Since(started))
	}
	if c.Paused {
		l.State = "paused"
		l.Status += " (Paused)"
	}
	if c.found.Orphan {
		l.Status += " (its shim has died)"
	}
	return l
}

// storedSummaries puts Docker's files in the terms of the engine's list.
func storedSummaries(list []*docker.Container) []engine.Summary {
	var out []engine.Summary
	for _, d := range list {
		s := engine.Summary{ID: d.ID, Name: d.Name, Image: d.Config.Image, Labels: d.Config.Labels}
		switch {
		case d.State.Running:
			s.State, s.Status = "running", "Up"
		case d.State.StartedAt.IsZero():
			s.State, s.Status = "created", "Created"
		default:
			s.State = "exited"
			s.Status = fmt.Sprintf("Exited (%d) %s ago", d.State.ExitCode, units.HumanDuration(time.Since(d.State.FinishedAt)))
		}
		out = append(out, s)
	}
	return out
}

// merge joins both sides by ID.
func (r *Resolver) merge(kernel map[string]Listed, known []engine.Summary, asked bool) []Listed {
	var out []Listed
	for _, s := range known {
		l, alive := kernel[s.ID]
		delete(kernel, s.ID)
		switch {
		case !alive:
			l = Listed{ID: s.ID, State: s.State, Status: s.Status, Source: SourceHost}
			if doubted := asked && r.doubt() != nil; !doubted && (s.State == "running" || s.State == "paused") {
				l.Status += " (no such process)"
			}
		case !runs(s.State):
			l.Status += fmt.Sprintf(" (known as %s)", s.State)
		}
		l.Name, l.Image, l.Labels = s.Name, s.Image, s.Labels
		if asked {
			l.Source, l.Engine = SourceEngine, r.engine.Host()
		}
		out = append(out, l)
	}
	if r.from == SourceEngine {
		return out
	}
	for _, l := range kernel {
		l.name()
		if asked {
			l.Status += " (unknown to the engine)"
		}
		out = append(out, l)
	}
	return out
}
