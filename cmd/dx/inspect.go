package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"dx/cmd/dx/output"
	"dx/cmpdiff"
	"dx/dockerx"
	"dx/dockerx/claims"
	"dx/dockerx/docker"
	"dx/dockerx/host"
	"dx/nsops"
	"dx/nsops/escape"
	"dx/nsops/network"
	"dx/nsops/posture"
	"dx/nsops/proc"
)

func (a *app) inspectCommand() *cobra.Command {
	var o inspectOptions
	cmd := &cobra.Command{
		Use:   "inspect [OPTIONS] CONTAINER [CONTAINER...]",
		Short: "Show a container's actual kernel state next to Docker's configuration",
		Long: "Show what containers are and may do at this moment, as the kernel reports it: ids,\n" +
			"namespaces, capabilities, seccomp, labels, cgroup limits and usage, rlimits, mounts\n" +
			"with their sources on the host, interfaces, addresses, routes and open ports.\n" +
			"CONTAINER is a name, an ID or a unique prefix of one, pid:N for any process, or host.\n\n" +
			"Next to each value is what Docker or the container's bundle configured: \"same\";\n" +
			"\"gave X\" if the process was given X and may have changed it since; \"! says X\",\n" +
			"red on a terminal, if the kernel has another value. Cgroup limits are those of the\n" +
			"container's own cgroup; a lower limit of a parent cgroup has a line of its own.\n\n" +
			"Of a container that does not run it shows how it ended and the last lines of its log\n" +
			"(of the log drivers json-file and local). Templates have these fields of docker inspect\n" +
			"besides: .Id, .Created, .Path, .Args, .RestartCount, .State.Pid and the rest\n" +
			"of .State, .Config, .HostConfig, .NetworkSettings.\n\n" +
			"The exit status is 0, or 1 if a CONTAINER could not be shown.",
		Args:                  a.orPick(atLeast(1)),
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, refs []string) error {
			refs, err := a.picked(cmd.Context(), refs)
			if err != nil {
				return err
			}
			return a.runInspect(cmd.Context(), o, refs)
		},
	}
	o.RegisterShort(cmd.Flags())
	cmd.Flags().Lookup("format").Usage = "Format output using a custom template:\n" +
		"'json':     Print one JSON object per line, never truncated\n" +
		"'TEMPLATE': Print output using the given Go template, with docker's functions"
	cmd.Flags().BoolVar(&o.env, "env", false, "Show the values of environment variables, which may be secrets")
	cmd.Flags().IntVar(&o.log, "log", -1, "Show so many lines of the log, 100 at the most (default: 10 of a container that does not run)")
	cmd.Flags().Lookup("log").DefValue = "0" // shown as none
	cmd.Flags().BoolVar(&o.origins, "origins", false, "Show the file that each fact comes from")
	return cmd
}

type inspectOptions struct {
	output.Options
	origins, env bool
	log          int // lines; -1: not said
}

// logLines is how many lines of the log are shown of a container.
func (o inspectOptions) logLines(runs bool) int {
	const enough = 10
	switch {
	case o.log >= 0:
		return o.log
	case runs:
		return 0
	}
	return enough
}

func (a *app) runInspect(ctx context.Context, o inspectOptions, refs []string) error {
	return a.list(o.Options, func(l *listing) error {
		g := &postureGathering{app: a, find: l.resolver}
		if err := g.readHost(); err != nil {
			return err
		}
		var records []inspectRecord
		for _, ref := range refs {
			s, err := g.read(ctx, ref)
			var state *dockerx.StateError
			if errors.As(err, &state) && state.Docker != nil {
				s, err = stoppedSubject(ref, state), nil
			}
			if err != nil {
				l.add(err)
				continue
			}
			s.log = a.logOf(l.resolver, s, o.logLines(s.pid != 0))
			records = append(records, newInspectRecord(s, o.env))
		}
		if len(records) > 0 {
			g.sayUnread()
		}
		return renderInspect(l.out, records, o)
	})
}

// postureSubject is a container or process whose posture was read.
type postureSubject struct {
	ref, id, name, image, engine string
	pid                          int
	source                       dockerx.Source
	posture                      *posture.Posture
	facts                        []posture.Fact
	judgements                   []cmpdiff.Judgement
	docker                       *docker.Container // what Docker says of it; nil: nothing
	paused                       bool
	log                          []host.LogLine
}

// logOf reads the end of a container's log, which a container of Docker's has.
func (a *app) logOf(r *dockerx.Resolver, s *postureSubject, lines int) []host.LogLine {
	if lines == 0 || s.docker == nil {
		return nil
	}
	store, err := r.Store(s.id)
	var log []host.LogLine
	if err == nil {
		defer store.Close()
		log, err = store.Log(lines)
	}
	var elsewhere *dockerx.OtherHostError
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.As(err, &elsewhere) {
		a.say("the log of %s could not be read: %v", s.name, err)
	}
	return log
}

// postureGathering reads postures and notes what it could not have.
type postureGathering struct {
	*app
	find interface {
		Resolve(ctx context.Context, ref string) (*dockerx.Container, error)
	}
	host   nsops.Set
	unread []string
	home   *network.Network // dx's own; nil: not read yet
}

// link names the host's ends of the interfaces.
func (g *postureGathering) link(p *posture.Posture) {
	if p.Network == nil || p.Network.Caller == network.NoNS {
		return
	}
	if g.home == nil {
		g.home = &network.Network{}
		if self, err := proc.Self(); err == nil {
			if n, err := network.ReadInterfaces(self); err == nil {
				g.home = n
			}
		}
	}
	p.Network.LinkTo(g.home)
}

func (g *postureGathering) readHost() error {
	set, pid, err := nsops.ReadHost()
	g.host = set
	if pid == os.Getpid() && err == nil {
		g.unread = append(g.unread, "the host's namespaces (dx's own are shown instead)")
	}
	return err
}

func (g *postureGathering) read(ctx context.Context, ref string) (*postureSubject, error) {
	if err := checkRef(ref); err != nil {
		return nil, err
	}
	c, err := g.find.Resolve(ctx, ref)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	p, err := posture.Read(c.Process, g.host, c.WholeCgroup)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ref, err)
	}
	g.link(p)
	claimed, err := claims.Of(c, p)
	if err != nil {
		return nil, fmt.Errorf("what Docker says of %s: %w", ref, err)
	}
	s := &postureSubject{
		ref: ref, id: c.ID, name: c.Name, image: c.Image, engine: c.Engine, pid: c.Process.PID, source: c.Source,
		posture: p, facts: p.Facts(c.Process.PID), docker: claims.Docker(c), paused: c.Paused(),
	}
	s.judgements = cmpdiff.Judge(s.facts, claimed)
	g.noteUnread(s)
	return s, nil
}

func (g *postureGathering) noteUnread(s *postureSubject) {
	var forbidden []string
	for _, u := range s.posture.Unread {
		if u.Forbidden {
			forbidden = append(forbidden, string(u.Section))
			continue
		}
		g.say("%s: the %s could not be read: %s", s.name, u.Section, u.Reason)
	}
	if len(forbidden) > 0 {
		g.unread = append(g.unread, escape.Line(s.name)+"'s "+strings.Join(forbidden, ", "))
	}
}

// sayUnread is one line, however much it is about.
func (g *postureGathering) sayUnread() {
	if len(g.unread) == 0 {
		return
	}
	g.say("could not be read: %s; that takes CAP_SYS_PTRACE and CAP_SYS_ADMIN%s", strings.Join(g.unread, "; "), withSudo())
}
