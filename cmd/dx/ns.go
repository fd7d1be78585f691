package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dx/cmd/dx/output"
	"dx/dockerx"
	"dx/dockerx/membership"
	"dx/nsops"
	"dx/nsops/census"
	"dx/nsops/escape"
	"dx/nsops/proc"
)

// nsOptions are the flags of dx ns.
type nsOptions struct {
	output.Options
	tree, procs, all bool
}

func (a *app) nsCommand() *cobra.Command {
	var o nsOptions
	cmd := &cobra.Command{
		Use:   "ns [OPTIONS] [CONTAINER...|NAMESPACE...]",
		Short: "Show the namespaces of containers next to the host's",
		Long: "Show which namespaces containers have of their own, by inode number, and which\n" +
			"they share with the host or with each other. CONTAINER is a name, an ID or a\n" +
			"unique prefix of one, pid:N for any process, or host. Without one, all running\n" +
			"containers are listed. Processes in a container that are in other namespaces\n" +
			"than its init are shown below it.\n\n" +
			"A namespace shared with the host is marked with * and is red on a terminal;\n" +
			"? could not be read, - is a type that this kernel does not have. Where a process's\n" +
			"children will be born into another namespace than its own, that is shown too.\n\n" +
			"NAMESPACE is inode:N, inode:DEVICE:N, net:[N] as readlink prints it, or a path:\n" +
			"/proc/PID/ns/net, /run/netns/NAME. It is shown with its owner, who is in it, and\n" +
			"what else keeps it. --tree and --procs show all namespaces that can be seen, or\n" +
			"those that the containers are in; with -q, these three print inode numbers.",
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, refs []string) error {
			if err := o.check(refs); err != nil {
				return conflict(cmd, err)
			}
			return a.runNS(cmd.Context(), o, refs)
		},
	}
	o.Register(cmd.Flags())
	f := cmd.Flags()
	f.BoolVar(&o.tree, "tree", false, "Show PID and user namespaces as trees: which is in which, and who owns them")
	f.BoolVar(&o.procs, "procs", false, "Show the processes of each namespace")
	f.BoolVarP(&o.all, "all", "a", false, "With --tree, show all types; with --tree or --procs, include namespaces without processes\n(mounted, or kept by an open file or a single thread)")
	return cmd
}

// check refuses flags that would say nothing.
func (o nsOptions) check(refs []string) error {
	spaces := 0
	for _, ref := range refs {
		if isSpaceRef(ref) {
			spaces++
		}
	}
	switch {
	case o.tree && o.procs:
		return errors.New("--tree and --procs cannot be used together")
	case o.all && !o.tree && !o.procs:
		return errors.New("--all requires --tree or --procs")
	case spaces > 0 && (o.tree || o.procs):
		return errors.New("--tree and --procs take containers: omit them to show a namespace")
	case spaces > 0 && spaces < len(refs):
		return errors.New("containers and namespaces cannot be mixed: show one, then the other")
	}
	return nil
}

func (a *app) runNS(ctx context.Context, o nsOptions, refs []string) error {
	out, err := output.New(a.out, o.Options)
	if err != nil {
		return err
	}
	resolver, err := a.sourceFor(refs).resolver()
	if err != nil {
		return err
	}
	defer resolver.Close()
	if o.tree || o.procs || (len(refs) > 0 && isSpaceRef(refs[0])) {
		return a.showSpaces(ctx, resolver, out, o, refs)
	}
	return a.showNamespaces(ctx, resolver, out, refs)
}

// sourceFor is a itself, or where no reference needs an engine, one that asks none:
// the names of who shares are on the host too.
func (a *app) sourceFor(refs []string) *app {
	needless := func(ref string) bool {
		return ref == "host" || ref == "host:" || strings.HasPrefix(ref, "pid:") || isSpaceRef(ref)
	}
	if len(refs) == 0 || a.source != "auto" || slices.ContainsFunc(refs, func(ref string) bool { return !needless(ref) }) {
		return a
	}
	b := *a
	b.source = string(dockerx.SourceHost)
	return &b
}

// finder is the part of dockerx.Resolver that listing verbs need.
type finder interface {
	Resolve(ctx context.Context, ref string) (*dockerx.Container, error)
	Running(ctx context.Context) ([]*dockerx.Container, error)
}

func (a *app) showNamespaces(ctx context.Context, find finder, out *output.Printer, refs []string) error {
	g, err := a.gather(ctx, find, refs, true)
	if err != nil {
		return err
	}
	v := newNSView(g.host, g.found, g.others, out.NoTrunc)
	switch {
	case len(refs) == 0:
		err = output.Render(out, append([]nsRecord{v.hostRecord()}, v.records()...), v.list)
	case len(g.found) > 0:
		err = output.Render(out, v.records(), v.columns)
		if err == nil && out.IsTable() {
			err = v.writeInside(out)
		}
	}
	if err == nil && g.failed {
		err = &statusError{code: exitFailure}
	}
	return err
}

// nsSubject is a process whose namespaces are shown.
type nsSubject struct {
	id, name string
	engine   string // whose it is; empty for pid:N and host
	image    string
	pid      int
	source   dockerx.Source
	set      nsops.Set // Own is nil where it could not be read
	inside   []census.Process
}

// gather reads the host's namespaces and those of refs, by default of all running
// containers. With neighbours it also finds out who shares them, and what in the
// containers is elsewhere than their init.
func (a *app) gather(ctx context.Context, find finder, refs []string, neighbours bool) (*nsGathering, error) {
	g := &nsGathering{app: a, find: find, host: nsSubject{name: "host", pid: 1, source: dockerx.SourcePID}}
	if err := g.readHost(); err != nil {
		return nil, err
	}
	switch {
	case len(refs) == 0:
		g.running(ctx)
	case neighbours:
		g.named(ctx, refs)
	default:
		g.resolved(ctx, refs)
	}
	g.sayUnread()
	return g, nil
}

// nsGathering reads namespaces and says on stderr what it could not have.
type nsGathering struct {
	*app
	find   finder
	host   nsSubject
	found  []nsSubject
	others []nsSubject // running containers that were not asked for
	unread []string    // for whom rights are missing, in words
	hidden int         // processes in containers for which rights are missing
	failed bool        // a reference has failed, which was reported
}

func (g *nsGathering) readHost() (err error) {
	var pid int
	if g.host.set, pid, err = nsops.ReadHost(); pid == os.Getpid() {
		g.unread = append(g.unread, "the host's (dx's own are shown instead)")
	}
	return err
}

// running takes all running containers. One that has just gone is not missed.
func (g *nsGathering) running(ctx context.Context) {
	list, err := g.find.Running(ctx)
	if err != nil {
		g.exitCode(fmt.Errorf("only the host is listed: %w", err))
	}
	sets := make([]nsops.Set, len(list))
	errs := make([]error, len(list))
	nsops.Spread(len(list), func(i int) {
		sets[i], errs[i] = nsops.Read(list[i].Process)
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
func (g *nsGathering) resolved(ctx context.Context, refs []string) {
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

// named is resolved with neighbours. The other running containers are read too,
// to say who shares.
func (g *nsGathering) named(ctx context.Context, refs []string) {
	running, err := g.find.Running(ctx)
	if err != nil {
		running = nil // Resolve fails with the same reason
	}
	defer closeAll(running)
	asked := map[int]bool{} // PIDs
	for _, ref := range refs {
		c, err := g.find.Resolve(ctx, ref)
		if err != nil {
			g.take(nsSubject{}, err)
			continue
		}
		defer c.Close()
		asked[c.Process.PID] = true
		s, err := g.read(c)
		if err == nil && s.set.Own != nil && !isHost(c) {
			s.inside = g.inside(c, s)
		}
		g.take(s, err)
	}
	for _, c := range running {
		if !asked[c.Process.PID] {
			g.other(c)
		}
	}
}

func closeAll(list []*dockerx.Container) {
	for _, c := range list {
		c.Close()
	}
}

// other reads a container only to say what it shares.
func (g *nsGathering) other(c *dockerx.Container) {
	set, err := nsops.Read(c.Process)
	if errors.Is(err, fs.ErrPermission) {
		g.unread = append(g.unread, escape.Line(c.Name)+"'s, so that what it shares is not shown")
	}
	if err == nil {
		g.others = append(g.others, nsSubject{id: c.ID, name: c.Name, pid: c.Process.PID, set: set})
	}
}

// inside finds the processes of a container that are in other namespaces than its
// init.
func (g *nsGathering) inside(c *dockerx.Container, s nsSubject) []census.Process {
	container := membership.Container{ID: c.ID, Init: c.Process}
	pids, whole, err := membership.PIDs(container)
	if err != nil {
		g.say("the processes in %s are not known: %s", s.name, err)
		return nil
	}
	if !whole {
		g.say("%s has so many processes that not all were looked at", s.name)
	}
	found, err := census.Of(pids)
	if err != nil {
		g.say("the processes in %s are not known: %s", s.name, err)
		return nil
	}
	g.hidden += found.Hidden
	var out []census.Process
	own := census.PlacesOf(s.set)
	for i, in := range membership.New([]membership.Container{container}).Attribute(found) {
		if p := found.Processes[i]; in == 0 && p.Places != own {
			out = append(out, p)
		}
	}
	return out
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
	if isHost(c) {
		return g.subject(c, g.host.set, nil)
	}
	set, err := nsops.Read(c.Process)
	return g.subject(c, set, err)
}

func isHost(c *dockerx.Container) bool { return c.Ref == "host" && c.Source == dockerx.SourcePID }

func (g *nsGathering) subject(c *dockerx.Container, set nsops.Set, err error) (nsSubject, error) {
	s := nsSubject{id: c.ID, name: c.Name, engine: c.Engine, image: c.Image, pid: c.Process.PID, source: c.Source, set: set}
	switch {
	case errors.Is(err, fs.ErrPermission):
		g.unread = append(g.unread, escape.Line(s.name)+"'s are shown as ?")
	case err != nil:
		return s, fmt.Errorf("%s: %w", c.Ref, err)
	}
	return s, nil
}

// sayUnread is one line, however many processes it is about.
func (g *nsGathering) sayUnread() {
	const few = 3
	if g.hidden > 0 {
		g.unread = append(g.unread, fmt.Sprintf("those of %d processes in containers", g.hidden))
	}
	if len(g.unread) == 0 {
		return
	}
	what := strings.Join(g.unread[:min(few, len(g.unread))], ", ")
	if more := len(g.unread) - few; more > 0 {
		what += fmt.Sprintf(" and %d more", more)
	}
	g.say("some namespaces could not be read: %s; other users' take CAP_SYS_PTRACE: run with sudo", what)
}
