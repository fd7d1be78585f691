package main

import (
	"context"
	"errors"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"dx/cmd/dx/output"
	"dx/dockerx"
	"dx/dockerx/engine"
)

type psOptions struct {
	output.Options
	all, latest bool
	last        int
	filters     psFilters
	engines     engineFlag
}

func (a *app) psCommand() *cobra.Command {
	o := psOptions{filters: psFilters{}}
	cmd := &cobra.Command{
		Use:     "ps [OPTIONS]",
		Aliases: []string{"ls", "list"},
		Short:   "List containers, with or without their engine",
		Long: "List containers: what the kernel runs, beside what the engine says. Where the\n" +
			"two contradict each other, STATUS says so: \"no such process\" is a container\n" +
			"that Docker calls running and the kernel does not know, \"unknown to the engine\"\n" +
			"one that the kernel runs and Docker does not know, \"unverified\" one that dx may not\n" +
			"look at. The columns ENGINE and SOURCE are there if there are several; a name such as\n" +
			"containerd:default/web or podman:web means that container to every verb. A pod's\n" +
			"sandbox is shown with -a. POD and NAMESPACE are there where there are pods.\n\n" +
			"Filters are engine (docker, podman, k8s) and those of docker ps: ancestor, before,\n" +
			"exited, expose, health, id, is-task, label, name (a regular expression),\n" +
			"network, publish, since, status, volume. Templates have the fields of docker ps,\n" +
			".Label \"KEY\" among them, and .Name, .Pid, .StartedAt, .Engine, .Source, .Pod and .Namespace. .Size is not known: docker ps --size has it. Without --format,\n" +
			"psFormat of docker's config file counts.",
		Args:                  noArguments(exitFailure),
		DisableFlagsInUseLine: true,
		RunE:                  func(cmd *cobra.Command, _ []string) error { return a.runPS(cmd.Context(), o) },
	}
	o.Register(cmd.Flags())
	cmd.Flags().BoolVarP(&o.all, "all", "a", false, "Show all containers (default shows just running)")
	o.engines.register(cmd.Flags())
	cmd.Flags().VarP(o.filters, "filter", "f", "Filter output based on conditions provided, as name=REGEXP")
	cmd.Flags().IntVarP(&o.last, "last", "n", -1, "Show n last created containers (includes all states)")
	cmd.Flags().BoolVarP(&o.latest, "latest", "l", false, "Show the latest created container (includes all states)")
	return cmd
}

func (a *app) runPS(ctx context.Context, o psOptions) error {
	if o.Format == "" && !o.Quiet {
		o.Format = engine.PSFormat(os.Getenv)
	}
	if o.latest && o.last == -1 {
		o.last = 1
	}
	out, err := a.printer(o.Options)
	if err != nil {
		return err
	}
	o.engines.filter(o.filters)
	if err := dockerx.Filters(o.filters).Check(); err != nil {
		return err
	}
	if strings.Contains(o.Format, ".Size") {
		a.say("sizes are not known without the daemon, and not asked for with it: docker ps --size has them")
	}
	return a.withResolver(func(r *dockerx.Resolver) error {
		list, errList := r.Select(ctx, o.all, dockerx.Filters(o.filters), max(o.last, 0))
		var unseen *dockerx.UnseenError
		if errList != nil && !errors.As(errList, &unseen) {
			return errList
		}
		records := psRecords(list)
		err := output.Render(out, records, func() output.Table { return psTable(output.Shorten(records, out.Options)) })
		return errors.Join(err, errList)
	})
}

// psFilters are the values of --filter by their keys.
type psFilters dockerx.Filters

func (f psFilters) String() string { return "" }
func (f psFilters) Type() string   { return "filter" }

// Set has docker's text for what is no filter (docker/cli, opts: FilterOpt).
func (f psFilters) Set(s string) error {
	key, value, ok := strings.Cut(s, "=")
	if !ok {
		return errors.New("bad format of filter (expected name=value)")
	}
	key = strings.ToLower(strings.TrimSpace(key))
	f[key] = append(f[key], strings.TrimSpace(value))
	return nil
}
