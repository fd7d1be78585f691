package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dx/cmd/dx/output"
	"dx/dockerx"
	"dx/dockerx/namespaces"
)

// nsOptions are the flags of dx ns.
type nsOptions struct {
	output.Options
	tree, procs, all, inodes bool
	engines                  engineFlag
}

func (a *app) nsCommand() *cobra.Command {
	var o nsOptions
	cmd := &cobra.Command{
		Use:   "ns [OPTIONS] [CONTAINER...|NAMESPACE...]",
		Short: "Show the namespaces of containers next to the host's",
		Long: "Show which namespaces containers have of their own, by inode number, and which\n" +
			"they share with the host or with each other. CONTAINER is a name, an ID or a\n" +
			"unique prefix of one, pid:N for any process, or host. Without one, all running\n" +
			"containers are listed: own is a namespace of the container's own, host the host's, and\n" +
			"=web one that it shares with web; --inodes lists numbers. Processes in a container\n" +
			"that are in other namespaces than its init are shown below it.\n\n" +
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
	o.engines.register(f)
	f.BoolVar(&o.tree, "tree", false, "Show PID and user namespaces as trees: which is in which, and who owns them")
	f.BoolVar(&o.procs, "procs", false, "Show the processes of each namespace")
	f.BoolVar(&o.inodes, "inodes", false, "In the list of all containers, show the inode numbers of namespaces, and the host's")
	f.BoolVarP(&o.all, "all", "a", false, "With --tree, show all types; with --tree or --procs, include namespaces without processes\n(mounted, or kept by an open file or a single thread)")
	return cmd
}

// check refuses flags that would say nothing.
func (o nsOptions) check(refs []string) error {
	spaces := 0
	for _, ref := range refs {
		if namespaces.IsRef(ref) {
			spaces++
		}
	}
	switch {
	case o.tree && o.procs:
		return errors.New("--tree and --procs cannot be used together")
	case len(o.engines) > 0 && (o.tree || o.procs || len(refs) > 0):
		return errors.New("--engine is for the list of all containers")
	case o.inodes && (o.tree || o.procs || len(refs) > 0):
		return errors.New("--inodes is for the list of all containers: the others show numbers without it")
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
	out, err := a.printer(o.Options)
	if err != nil {
		return err
	}
	return a.sourceFor(refs).withResolver(func(r *dockerx.Resolver) error {
		if o.tree || o.procs || (len(refs) > 0 && namespaces.IsRef(refs[0])) {
			return a.showSpaces(ctx, r, out, o, refs)
		}
		return a.showNamespaces(ctx, o.engines.finder(r), out, o.inodes, refs)
	})
}

// sourceFor is a itself, or where no reference needs an engine, one that asks none:
// the names of who shares are on the host too.
func (a *app) sourceFor(refs []string) *app {
	needless := func(ref string) bool {
		return ref == "host" || ref == "host:" || strings.HasPrefix(ref, "pid:") || namespaces.IsRef(ref)
	}
	if len(refs) == 0 || a.source != "auto" || slices.ContainsFunc(refs, func(ref string) bool { return !needless(ref) }) {
		return a
	}
	b := *a
	b.source = string(dockerx.SourceHost)
	return &b
}

func (a *app) showNamespaces(ctx context.Context, find namespaces.Finder, out *output.Printer, inodes bool, refs []string) error {
	g, err := a.gather(ctx, find, refs, namespaces.Wish{Neighbours: true})
	if err != nil {
		return err
	}
	v := newNSView(g.Host, g.Found, g.Others, out.NoTrunc)
	v.inodes = inodes
	switch {
	case len(refs) == 0:
		err = output.Render(out, v.listRecords(out), v.list)
	case len(g.Found) > 0:
		err = output.Render(out, v.records(), v.columns)
		if err == nil && out.IsTable() {
			err = v.writeInside(out)
		}
	}
	if err == nil && g.Failed {
		err = &statusError{code: exitFailure}
	}
	return err
}

// listRecords are the host's and those of all containers; none for the table, which is made of
// the comparison.
func (v *nsView) listRecords(out *output.Printer) []nsRecord {
	if out.IsTable() {
		return nil
	}
	return append([]nsRecord{v.hostRecord()}, v.records()...)
}

// gather reads namespaces, and says on stderr what it could not have.
func (a *app) gather(ctx context.Context, find namespaces.Finder, refs []string, wish namespaces.Wish) (*namespaces.Gathering, error) {
	g, err := namespaces.Gather(ctx, find, refs, wish, namespaces.Report{Error: func(err error) { a.exitCode(err) }, Say: a.say})
	if err == nil {
		a.sayUnread(g)
	}
	return g, err
}

// sayUnread is one line, however many processes it is about.
func (a *app) sayUnread(g *namespaces.Gathering) {
	const few = 3
	unread := g.Unread
	if g.Hidden > 0 {
		unread = append(unread, fmt.Sprintf("those of %d processes in containers", g.Hidden))
	}
	if len(unread) == 0 {
		return
	}
	what := strings.Join(unread[:min(few, len(unread))], ", ")
	if more := len(unread) - few; more > 0 {
		what += fmt.Sprintf(" and %d more", more)
	}
	a.say("some namespaces could not be read: %s; other users' take CAP_SYS_PTRACE%s", what, withSudo())
}
