package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"dx/cmd/dx/output"
	"dx/dockerx"
	"dx/dockerx/top"
)

// topOptions are the flags of dx top.
type topOptions struct {
	output.Options
	sort     string
	tree     bool
	sample   time.Duration
	watch    bool
	interval time.Duration
}

func (a *app) topCommand() *cobra.Command {
	var o topOptions
	cmd := &cobra.Command{
		Use:   "top [OPTIONS] CONTAINER [CONTAINER...] [ps OPTIONS]",
		Short: "Show the processes of a container by their PIDs on the host and in it",
		Long: "Show the processes of containers: those in a container's cgroup, its PID namespace or\n" +
			"its mount namespace. PID is a process's number here, CPID the one in the container;\n" +
			"users are those of the container's own /etc/passwd. VIA shows who did not descend\n" +
			"from the container's init: exec was put into its cgroup (docker exec, dx exec),\n" +
			"nsenter joined its namespaces and not its cgroup.\n\n" +
			"CONTAINER is a name, an ID or a unique prefix of one, pid:N for any process, or host.\n" +
			"%CPU is that of one CPU over a process's life, as ps has it, of the --sample, or since\n" +
			"the last look of --watch, which ctrl-c ends.\n\n" +
			"With options of ps the host's ps prints the same processes, as for docker top: what\n" +
			"begins with one dash behind CONTAINER, or is made of ps's letters as aux is, unless a\n" +
			"container is called so; all words behind that, and all behind --. Long options of dx\n" +
			"top may stand in front of them. The column PID must be among those of ps.",
		Args:                  a.orPick(atLeast(1)),
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, words []string) error {
			w, err := takeTopWords(cmd.Flags(), words)
			switch {
			case err != nil:
				return usage(cmd, err, exitDx)
			case cmd.Flags().Changed("help"):
				return cmd.Help()
			}
			if err := a.checkTop(cmd, o, w.ps); err != nil {
				return conflict(cmd, err)
			}
			if w.refs, err = a.picked(cmd.Context(), w.refs); err != nil {
				return err
			}
			return a.runTop(cmd.Context(), o, w)
		},
	}
	f := cmd.Flags()
	f.SetInterspersed(false) // as docker top: behind the container they are ps's
	o.Register(f)
	f.Lookup("quiet").Usage = "Only display PIDs on the host, instead of the table"
	f.Var(newChoice(&o.sort, "pid", "cpu", "rss", "time"), "sort", "Sort by pid, cpu, rss or time")
	f.BoolVar(&o.tree, "tree", false, "Show children below their parents")
	f.Var(periodFlag{&o.sample}, "sample", "Measure the use of the CPU for that long (1s), instead of over each process's life")
	f.BoolVarP(&o.watch, "watch", "w", false, "Look again and again, and draw the table anew, on a terminal")
	f.Var(newPeriod(&o.interval, 2*time.Second), "interval", "Pause between two looks of --watch")
	return cmd
}

// checkTop refuses what would be without effect.
func (a *app) checkTop(cmd *cobra.Command, o topOptions, ps []string) error {
	changed := cmd.Flags().Changed
	switch {
	case changed("interval") && !o.watch:
		return errors.New("--interval requires --watch")
	case o.watch && (o.Quiet || o.Format != "" && o.Format != "table"):
		return errors.New("--watch draws the table: it goes with neither --format nor --quiet")
	case o.watch && changed("sample"):
		return errors.New("--watch measures from one look to the next: --interval says how long, not --sample")
	case o.watch && !isTerminal(a.out):
		return errors.New("--watch draws on a terminal, and the output is none: on a pipe, run dx top again and again")
	case len(ps) > 0 && (o.tree || o.Quiet || o.Format != "" || changed("sort") || changed("sample")):
		return errors.New("with options of ps the columns and their order are ps's: --format, --quiet, --sample, --sort and --tree are for dx's own")
	}
	return nil
}

func (a *app) runTop(ctx context.Context, o topOptions, w topWords) error {
	if err := top.CheckPS(w.ps); err != nil {
		return err
	}
	return a.list(o.Options, func(l *listing) error {
		t := topRun{listing: l, o: o}
		defer t.close()
		if err := t.resolve(ctx, w); err != nil || len(t.of) == 0 {
			return err
		}
		if o.watch {
			return t.watch(ctx)
		}
		if err := t.look(ctx); err != nil {
			return err
		}
		if o.sample > 0 {
			if err := top.Sample(ctx, o.sample, t.tasks()...); err != nil {
				return err
			}
		}
		return t.render(ctx, l.out)
	})
}

// topRun is a run of dx top.
type topRun struct {
	*listing
	o      topOptions
	ps     []string
	of     []topSubject
	silent bool // what could not be seen has been said
}

// topSubject is a container and the processes that were seen last.
type topSubject struct {
	*dockerx.Container
	top.Top
}

func (t *topRun) close() {
	for _, s := range t.of {
		s.Close()
	}
}

// resolve finds the containers. One that cannot be shown does not hide the others.
func (t *topRun) resolve(ctx context.Context, w topWords) error {
	for _, ref := range w.refs {
		c, err := t.resolved(ctx, ref)
		switch {
		case err == nil:
			t.of = append(t.of, topSubject{Container: c})
		case len(w.refs) == 1:
			return err
		default:
			t.add(err)
		}
	}
	for ; len(w.ps) > 0 && w.mayBeCalled; w.ps = w.ps[1:] {
		c := t.called(ctx, w.ps[0])
		if c == nil {
			break
		}
		t.of = append(t.of, topSubject{Container: c})
	}
	t.ps = w.ps
	return nil
}

func (t *topRun) resolved(ctx context.Context, ref string) (*dockerx.Container, error) {
	if err := checkRef(ref); err != nil {
		return nil, err
	}
	return t.resolver.Resolve(ctx, ref)
}

// called returns the container that bears that name, where the word may be options of ps.
func (t *topRun) called(ctx context.Context, word string) *dockerx.Container {
	if !isPSLetters(word) {
		return nil
	}
	c, err := t.resolver.Resolve(ctx, word)
	if err == nil && c.Name != word {
		c.Close() // a prefix of its ID
		c, err = nil, errors.New("another name")
	}
	if err != nil {
		return nil
	}
	return c
}

// look lists the processes of all of them.
func (t *topRun) look(ctx context.Context) error {
	var shown []topSubject
	for _, s := range t.of {
		list, err := top.Of(ctx, s.Container)
		if err != nil {
			t.add(err)
			s.Close()
			continue
		}
		if list.Hidden > 0 && !t.silent {
			t.say("%d processes of other users may or may not be this container's: looking at them takes CAP_SYS_PTRACE%s", list.Hidden, withSudo())
			t.silent = true
		}
		if t.o.watch && !s.At.IsZero() {
			list.Since(s.Top)
		}
		s.Top = list
		shown = append(shown, s)
	}
	t.of = shown
	return ctx.Err()
}

func (t *topRun) tasks() (out [][]top.Task) {
	for _, s := range t.of {
		out = append(out, s.Tasks)
	}
	return out
}

func (t *topRun) render(ctx context.Context, out *output.Printer) error {
	if len(t.ps) > 0 {
		return t.renderPS(ctx, out)
	}
	var records []topRecord
	for _, s := range t.of {
		records = append(records, topRecords(s.Container, s.Tasks, taskOrder(t.o.sort), t.o.tree)...)
	}
	return output.Render(out, records, func() output.Table { return topTable(output.Shorten(records, t.o.Options)) })
}

// renderPS has a row of titles for each container, whose columns need not be equally wide.
func (t *topRun) renderPS(ctx context.Context, out *output.Printer) error {
	card := out.NewCard()
	for i, s := range t.of {
		ps, err := top.RunPS(ctx, t.ps, s.Tasks)
		if err != nil {
			return err
		}
		if len(t.of) > 1 {
			if i > 0 {
				card.Blank()
			}
			card.Line(s.Name)
		}
		table := output.Table{Header: slices.Clone(ps.Titles)}
		for _, row := range ps.Rows {
			table.Rows = append(table.Rows, output.Row(row...))
		}
		card.Table(table)
	}
	return card.Print()
}
