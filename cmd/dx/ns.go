package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"dx/dockerx"
	"dx/nsops"
	"dx/nsops/proc"
)

func (a *app) nsCommand() *cobra.Command {
	var o listOptions
	cmd := &cobra.Command{
		Use:   "ns [OPTIONS] [CONTAINER...]",
		Short: "Show the namespaces of containers beside the host's",
		Long: "Show which namespaces containers have of their own, by inode number, and which\n" +
			"they share with the host or with each other. CONTAINER is a name, an ID or a\n" +
			"unique prefix of one, pid:N for any process, or host. Without one, all running\n" +
			"containers are listed.\n\n" +
			"A namespace shared with the host is marked with * and is red on a terminal;\n" +
			"? could not be read, - is a kind that this kernel does not have. Where a process's\n" +
			"children will be born into another namespace than its own, that is shown too.",
		DisableFlagsInUseLine: true,
		RunE:                  func(cmd *cobra.Command, refs []string) error { return a.runNS(cmd.Context(), o, refs) },
	}
	o.register(cmd.Flags())
	return cmd
}

func (a *app) runNS(ctx context.Context, o listOptions, refs []string) error {
	out, err := newOutput(a.out, o)
	if err != nil {
		return err
	}
	resolver, err := a.resolver()
	if err != nil {
		return err
	}
	defer resolver.Close()
	return a.showNamespaces(ctx, resolver, out, refs)
}

// finder is the part of dockerx.Resolver that listing verbs need.
type finder interface {
	Resolve(ctx context.Context, ref string) (*dockerx.Container, error)
	Running(ctx context.Context) ([]*dockerx.Container, error)
}

func (a *app) showNamespaces(ctx context.Context, find finder, out *output, refs []string) error {
	g := nsGathering{app: a, find: find, host: nsSubject{name: "host", pid: 1, source: dockerx.SourcePID}}
	if err := g.readHost(); err != nil {
		return err
	}
	if len(refs) == 0 {
		g.running(ctx)
	} else {
		g.named(ctx, refs)
	}
	g.sayUnread()

	v := newNSView(g.host, g.found, out.options.noTrunc)
	var err error
	switch {
	case len(refs) == 0:
		err = render(out, append([]nsRecord{v.hostRecord()}, v.records()...), v.list)
	case len(g.found) > 0:
		err = render(out, v.records(), v.columns)
	}
	if err == nil && g.failed {
		err = &statusError{code: exitFailure}
	}
	return err
}

// nsSubject is a process whose namespaces are shown.
type nsSubject struct {
	id, name string
	pid      int
	source   dockerx.Source
	set      nsops.Set // Own is nil where it could not be read
}

// nsGathering reads namespaces and says on stderr what it could not have.
type nsGathering struct {
	*app
	find   finder
	host   nsSubject
	found  []nsSubject
	unread []string // for whom rights are missing, in words
	failed bool     // a reference has failed, which was reported
}

func (g *nsGathering) readHost() (err error) {
	var pid int
	if g.host.set, pid, err = nsops.ReadHost(); pid == os.Getpid() {
		g.unread = append(g.unread, "dx's own stand in for the host's")
	}
	return err
}

// running takes all running containers. One that has just gone is not missed.
func (g *nsGathering) running(ctx context.Context) {
	list, err := g.find.Running(ctx)
	if err != nil {
		g.exitCode(fmt.Errorf("only the host is listed: %w", err))
	}
	for _, c := range list {
		s, err := g.read(c)
		c.Close()
		if errors.Is(err, proc.ErrGone) {
			continue
		}
		g.take(s, err)
	}
}

// named takes what the user asked for. As docker inspect does, one that fails does
// not keep the others from being shown.
func (g *nsGathering) named(ctx context.Context, refs []string) {
	for _, ref := range refs {
		c, err := g.find.Resolve(ctx, ref)
		if err != nil {
			g.take(nsSubject{}, err)
			continue
		}
		s, err := g.read(c)
		c.Close()
		g.take(s, err)
	}
}

func (g *nsGathering) take(s nsSubject, err error) {
	if err != nil {
		g.exitCode(err)
		g.failed = true
		return
	}
	g.found = append(g.found, s)
}

// read reads a container's namespaces. Those of another user's stay unread.
func (g *nsGathering) read(c *dockerx.Container) (nsSubject, error) {
	s := nsSubject{id: c.ID, name: c.Name, pid: c.Process.PID, source: c.Source}
	if c.Ref == "host" && c.Source == dockerx.SourcePID {
		s.set = g.host.set
		return s, nil
	}
	set, err := nsops.Read(c.Process)
	switch {
	case errors.Is(err, fs.ErrPermission):
		g.unread = append(g.unread, printable(s.name)+"'s are shown as ?")
	case err != nil:
		return s, fmt.Errorf("%s: %w", c.Ref, err)
	}
	s.set = set
	return s, nil
}

// sayUnread is one line, however many processes it is about.
func (g *nsGathering) sayUnread() {
	const few = 3
	if len(g.unread) == 0 {
		return
	}
	what := strings.Join(g.unread[:min(few, len(g.unread))], ", ")
	if more := len(g.unread) - few; more > 0 {
		what += fmt.Sprintf(" and %d more", more)
	}
	fmt.Fprintf(g.err, "dx: some namespaces could not be read: %s; other users' take CAP_SYS_PTRACE: run with sudo\n", what)
}
