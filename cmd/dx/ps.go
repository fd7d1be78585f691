package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"dx/cmd/dx/output"
	"dx/dockerx"
)

// psRecord is one line of dx ps --format json.
type psRecord struct {
	ID        string `header:"CONTAINER ID"`
	Name      string
	Pid       int
	Image     string
	Status    string
	StartedAt time.Time
	Engine    string
	Source    dockerx.Source
}

func (r psRecord) Quiet() string { return r.ID }

func (r psRecord) Short() psRecord {
	r.ID = output.ShortID(r.ID)
	return r
}

func (a *app) psCommand() *cobra.Command {
	var o output.Options
	var all bool
	filters := psFilters{}
	cmd := &cobra.Command{
		Use:   "ps [OPTIONS]",
		Short: "List containers, with or without their engine",
		Long: "List containers: what the kernel runs, beside what the engine says. Where the\n" +
			"two contradict each other, STATUS says so: \"no such process\" is a container\n" +
			"that Docker calls running and the kernel does not know, \"unknown to the engine\"\n" +
			"one that the kernel runs and Docker does not know, \"unverified\" one that dx may not\n" +
			"look at. The column ENGINE is there if there are several; a name such as\n" +
			"containerd:default/web means that container to every verb.",
		Args:                  noArguments(exitFailure),
		DisableFlagsInUseLine: true,
		RunE:                  func(cmd *cobra.Command, _ []string) error { return a.runPS(cmd.Context(), o, all, filters) },
	}
	o.Register(cmd.Flags())
	cmd.Flags().BoolVarP(&all, "all", "a", false, "Show all containers (default shows just running)")
	cmd.Flags().VarP(filters, "filter", "f", "Filter output: name=TEXT, label=KEY[=VALUE], status=STATE")
	return cmd
}

func (a *app) runPS(ctx context.Context, o output.Options, all bool, keep psFilters) error {
	out, err := output.New(a.out, o)
	if err != nil {
		return err
	}
	r, err := a.resolver()
	if err != nil {
		return err
	}
	defer r.Close()
	// As in docker, a status that is asked for is shown without -a too.
	list, errList := r.List(ctx, all || len(keep["status"]) > 0)
	var unseen *dockerx.UnseenError
	if errList != nil && !errors.As(errList, &unseen) {
		return errList
	}
	list = slices.DeleteFunc(list, func(l dockerx.Listed) bool { return !keep.match(l) })
	records := psRecords(list)
	err = output.Render(out, records, func() output.Table { return psTable(output.Shorten(records, out.Options)) })
	return errors.Join(err, errList)
}

func psRecords(list []dockerx.Listed) []psRecord {
	out := make([]psRecord, 0, len(list))
	for _, l := range list {
		out = append(out, psRecord{
			ID: l.ID, Name: l.Name, Pid: l.PID, Image: l.Image, Status: l.Status,
			StartedAt: l.StartedAt, Engine: l.Engine, Source: l.Source,
		})
	}
	return out
}

func psTable(list []psRecord) output.Table {
	t := output.Table{Header: []string{"CONTAINER ID", "NAME", "PID", "IMAGE", "STATUS", "UPTIME", "SOURCE"}}
	for _, r := range list {
		pid, up := "-", "-"
		if r.Pid != 0 {
			pid, up = strconv.Itoa(r.Pid), units.HumanDuration(time.Since(r.StartedAt))
		}
		cells := output.Row(r.ID, r.Name, pid, r.Image, r.Status, up, string(r.Source))
		cells[4].Alert = strings.HasSuffix(r.Status, "(no such process)") || strings.HasSuffix(r.Status, "engine)")
		t.Rows = append(t.Rows, cells)
	}
	return withEngines(t, list, func(r psRecord) string { return r.Engine })
}

// psFilters are the values of --filter by their keys: one of a key's has to hold,
// and that for every key (docker's rule).
type psFilters map[string][]string

func (f psFilters) String() string { return "" }
func (f psFilters) Type() string   { return "filter" }

// Set has docker's text for what is no filter (docker/cli, opts: FilterOpt).
func (f psFilters) Set(s string) error {
	key, value, ok := strings.Cut(s, "=")
	switch {
	case !ok:
		return errors.New("bad format of filter (expected name=value)")
	case !slices.Contains([]string{"name", "label", "status"}, key):
		return fmt.Errorf("the filters are name, label and status, not %q", key)
	}
	f[key] = append(f[key], value)
	return nil
}

func (f psFilters) match(l dockerx.Listed) bool {
	holds := map[string]func(string) bool{
		"name":   func(v string) bool { return strings.Contains(l.Name, strings.TrimPrefix(v, "/")) },
		"status": func(v string) bool { return l.State == v },
		"label": func(v string) bool {
			key, want, exact := strings.Cut(v, "=")
			have, ok := l.Labels[key]
			return ok && (!exact || have == want)
		},
	}
	for key, values := range f {
		if !slices.ContainsFunc(values, holds[key]) {
			return false
		}
	}
	return true
}
