package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"dx/cmd/dx/output"
	"dx/dockerx/top"
)

// topOptions are the flags of dx top.
type topOptions struct {
	output.Options
	sort   string
	tree   bool
	sample time.Duration
}

func (a *app) topCommand() *cobra.Command {
	var o topOptions
	cmd := &cobra.Command{
		Use:   "top [OPTIONS] CONTAINER",
		Short: "Show the processes of a container by their PIDs on the host and in it",
		Long: "Show the processes of a container: those in its cgroup, its PID namespace or its\n" +
			"mount namespace. PID is a process's number here, CPID the one in the container;\n" +
			"users are those of the container's own /etc/passwd. VIA shows who did not descend\n" +
			"from the container's init: exec was put into its cgroup (docker exec, dx exec),\n" +
			"nsenter joined its namespaces and not its cgroup.\n\n" +
			"CONTAINER is a name, an ID or a unique prefix of one, pid:N for any process, or host.\n" +
			"%CPU is that of one CPU over a process's life, as ps has it, or of the --sample.",
		Args:                  a.orPick(exactly(1, exitFailure)),
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, refs []string) error {
			refs, err := a.picked(cmd.Context(), refs)
			if err != nil {
				return err
			}
			return a.runTop(cmd.Context(), o, refs[0])
		},
	}
	f := cmd.Flags()
	o.Register(f)
	f.Lookup("quiet").Usage = "Only display PIDs on the host, instead of the table"
	f.Var(newChoice(&o.sort, "pid", "cpu", "rss", "time"), "sort", "Sort by pid, cpu, rss or time")
	f.BoolVar(&o.tree, "tree", false, "Show children below their parents")
	f.Var(periodFlag{&o.sample}, "sample", "Measure the use of the CPU for that long (1s), instead of over each process's life")
	return cmd
}

func (a *app) runTop(ctx context.Context, o topOptions, ref string) error {
	return a.list(o.Options, func(l *listing) error {
		if err := checkRef(ref); err != nil {
			return err
		}
		c, err := l.resolver.Resolve(ctx, ref)
		if err != nil {
			return err
		}
		defer c.Close()
		list, err := top.Of(ctx, c, top.Options{Sample: o.sample})
		if err != nil {
			return err
		}
		if list.Hidden > 0 {
			a.say("%d processes of other users may or may not be this container's: looking at them takes CAP_SYS_PTRACE%s", list.Hidden, withSudo())
		}
		records := topRecords(c, list.Tasks, taskOrder(o.sort), o.tree)
		return output.Render(l.out, records, func() output.Table { return topTable(output.Shorten(records, o.Options)) })
	})
}
