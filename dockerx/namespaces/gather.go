// Package namespaces finds out in which namespaces containers are beside the host's
// (Gather), and which namespaces there are, with the containers in them (World). What
// containers share is compared in cmpdiff.
package namespaces

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"dx/dockerx"
	"dx/dockerx/docker"
	"dx/dockerx/host"
	"dx/dockerx/membership"
	"dx/nsops"
	"dx/nsops/census"
	"dx/nsops/escape"
	"dx/nsops/proc"
)

// Finder is the part of dockerx.Resolver that is needed here.
type Finder interface {
	Resolve(ctx context.Context, ref string) (*dockerx.Container, error)
	Running(ctx context.Context) ([]*dockerx.Container, error)
}

// Subject is a process whose namespaces were read: a container's init, any process, the
// host.
type Subject struct {
	ID, Name string
	Engine   string // whose it is; empty for pid:N and host
	Image    string
	PID      int
	Source   dockerx.Source
	Set      nsops.Set // Own is nil where it could not be read

	// Of a container, as in dockerx.Container.
	Ref      string
	Paused   bool // see Wish
	Ports    []dockerx.Port
	Networks []string
	Mounts   []docker.Mount
	Pod      host.Pod

	// Inside are processes of the container that are in other namespaces than its init.
	Inside []census.Process
}

// Gathering is what could be read.
type Gathering struct {
	Host   Subject
	Found  []Subject
	Others []Subject // running containers that were not asked for
	Failed bool      // a reference has failed, which was reported

	Unread []string // for whom rights are missing, in words
	Hidden int      // processes in containers for which rights are missing

	find Finder
	wish Wish
	to   Report
}

// Report takes what does not keep the rest from being shown.
type Report struct {
	Error func(error)
	Say   func(format string, args ...any)
}

// Wish is what is gathered beside the namespaces.
type Wish struct {
	Neighbours bool // who shares them, and what in the containers is elsewhere than their init
	Paused     bool // whether the containers are
}

// Gather reads the host's namespaces and those of refs, by default of all running
// containers.
func Gather(ctx context.Context, find Finder, refs []string, wish Wish, to Report) (*Gathering, error) {
	g := &Gathering{find: find, wish: wish, to: to, Host: Subject{Name: "host", PID: 1, Source: dockerx.SourcePID}}
	if err := g.readHost(); err != nil {
		return nil, err
	}
	switch {
	case len(refs) == 0:
		g.running(ctx)
	case wish.Neighbours:
		g.named(ctx, refs)
	default:
		g.resolved(ctx, refs)
	}
	return g, nil
}

func (g *Gathering) readHost() (err error) {
	var pid int
	if g.Host.Set, pid, err = nsops.ReadHost(); pid == os.Getpid() {
		g.Unread = append(g.Unread, "the host's (dx's own are shown instead)")
	}
	return err
}

// running takes all running containers. One that has just gone is not missed.
func (g *Gathering) running(ctx context.Context) {
	list, err := g.find.Running(ctx)
	if err != nil {
		g.to.Error(fmt.Errorf("only the host is listed: %w", err))
	}
	sets := make([]nsops.Set, len(list))
	errs := make([]error, len(list))
	nsops.Spread(len(list), func(i int) {
		sets[i], errs[i] = nsops.Read(list[i].Process)
		if g.wish.Paused {
			list[i].Paused() // which it knows from then on
		}
		list[i].Close()
	})
	for i, c := range list {
		if !errors.Is(errs[i], proc.ErrGone) {
			g.take(g.subject(c, sets[i], errs[i]))
		}
	}
}

// resolved takes what the user asked for. As docker inspect does, one that fails does
// not keep the others from being shown.
func (g *Gathering) resolved(ctx context.Context, refs []string) {
	for _, ref := range refs {
		c, err := g.find.Resolve(ctx, ref)
		if err != nil {
			g.take(Subject{}, err)
			continue
		}
		s, err := g.read(c)
		c.Close()
		g.take(s, err)
	}
}

// named is resolved with neighbours. The other running containers are read too,
// to say who shares.
func (g *Gathering) named(ctx context.Context, refs []string) {
	running, err := g.find.Running(ctx)
	if err != nil {
		running = nil // Resolve fails with the same reason
	}
	defer dockerx.CloseAll(running)
	asked := map[int]bool{} // PIDs
	for _, ref := range refs {
		c, err := g.find.Resolve(ctx, ref)
		if err != nil {
			g.take(Subject{}, err)
			continue
		}
		defer c.Close()
		asked[c.Process.PID] = true
		s, err := g.read(c)
		if err == nil && s.Set.Own != nil && !isHost(c) {
			s.Inside = g.inside(c, s)
		}
		g.take(s, err)
	}
	for _, c := range running {
		if !asked[c.Process.PID] {
			g.other(c)
		}
	}
}

// other reads a container only to say what it shares.
func (g *Gathering) other(c *dockerx.Container) {
	set, err := nsops.Read(c.Process)
	if errors.Is(err, fs.ErrPermission) {
		g.Unread = append(g.Unread, escape.Line(c.Name)+"'s, so that what it shares is not shown")
	}
	if err == nil {
		g.Others = append(g.Others, Subject{ID: c.ID, Name: c.Name, PID: c.Process.PID, Set: set})
	}
}

// inside finds the processes of a container that are in other namespaces than its
// init.
func (g *Gathering) inside(c *dockerx.Container, s Subject) []census.Process {
	container := membership.Container{ID: c.ID, Init: c.Process}
	pids, whole, err := membership.PIDs(container)
	if err != nil {
		g.to.Say("the processes in %s are not known: %s", s.Name, err)
		return nil
	}
	if !whole {
		g.to.Say("%s has so many processes that not all were looked at", s.Name)
	}
	found, err := census.Of(pids)
	if err != nil {
		g.to.Say("the processes in %s are not known: %s", s.Name, err)
		return nil
	}
	g.Hidden += found.Hidden
	var out []census.Process
	own := census.PlacesOf(s.Set)
	for i, in := range membership.New([]membership.Container{container}).Attribute(found) {
		if p := found.Processes[i]; in == 0 && p.Places != own {
			out = append(out, p)
		}
	}
	return out
}

func (g *Gathering) take(s Subject, err error) {
	if err != nil {
		g.to.Error(err)
		g.Failed = true
		return
	}
	g.Found = append(g.Found, s)
}

// read reads a container's namespaces. Those of another user's stay unread.
func (g *Gathering) read(c *dockerx.Container) (Subject, error) {
	if isHost(c) {
		return g.subject(c, g.Host.Set, nil)
	}
	set, err := nsops.Read(c.Process)
	return g.subject(c, set, err)
}

func isHost(c *dockerx.Container) bool { return c.Ref == "host" && c.Source == dockerx.SourcePID }

func (g *Gathering) subject(c *dockerx.Container, set nsops.Set, err error) (Subject, error) {
	s := Subject{
		ID: c.ID, Name: c.Name, Engine: c.Engine, Image: c.Image, PID: c.Process.PID, Source: c.Source, Set: set,
		Ref: c.Ref, Paused: g.wish.Paused && c.Paused(), Ports: c.Ports, Networks: c.Networks, Mounts: c.Mounts, Pod: c.Pod,
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		g.Unread = append(g.Unread, escape.Line(s.Name)+"'s are shown as ?")
	case err != nil:
		return s, fmt.Errorf("%s: %w", c.Ref, err)
	}
	return s, nil
}
