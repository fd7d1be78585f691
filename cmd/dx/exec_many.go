package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dx/dockerx"
)

// manyOptions are the flags of an exec in several containers (docs/decisions/019).
type manyOptions struct {
	all      bool
	filters  psFilters
	engines  engineFlag
	each     namesFlag
	parallel int
	format   string
}

const manyHelp = "\n\n" +
	"With --all, --filter or --each, COMMAND is run in several containers at a time, and\n" +
	"everything behind -- is COMMAND: dx exec --all -- uptime. Lines are printed behind the\n" +
	"container's name, its stdout on stdout and its stderr on stderr. A container that cannot\n" +
	"be entered does not keep the others from it. Exit codes other than 0 are listed on stderr at\n" +
	"the end, and the highest is the exit code of dx; it is 125 if no container is meant.\n" +
	"Signals go to every command; after SIGINT, SIGTERM, SIGHUP or SIGQUIT no more are\n" +
	"started."

func (o *manyOptions) flags(f *pflag.FlagSet) {
	f.BoolVar(&o.all, "all", false, "Run the command in all running containers")
	f.Var(o.filters, "filter", "Run the command in the running containers that match: id=ID, name=REGEXP, label=KEY[=VALUE], status=STATE")
	f.Var(&o.engines, "engine", "Run the command in the running containers of this engine: docker, podman, k8s")
	f.Var(&o.each, "each", "Run the command in each of these containers, comma separated")
	f.IntVar(&o.parallel, "parallel", 4*runtime.NumCPU(), "With several containers: how many to run the command in at a time")
	f.Lookup("parallel").DefValue = "4 for each processor"
	f.Var(newChoice(&o.format, "lines", "json"), "format", "With several containers: lines, or json: one object for each container, once its command has ended")
}

// asked reports whether several containers are meant.
func (o *manyOptions) asked() bool { return o.all || o.chosen() || len(o.each) > 0 }

// chosen reports whether a rule says which containers are meant.
func (o *manyOptions) chosen() bool { return len(o.filters) > 0 || len(o.engines) > 0 }

// check refuses what has no meaning for several containers, or for one.
func (o *manyOptions) check(cmd *cobra.Command) error {
	given := cmd.Flags().Changed
	if !o.asked() {
		for _, name := range []string{"parallel", "format"} {
			if given(name) {
				return fmt.Errorf("--%s requires --all, --filter or --each", name)
			}
		}
		return nil
	}
	for _, name := range []string{"interactive", "tty", "detach-keys", "explain"} {
		if given(name) {
			return fmt.Errorf("--%s is for one container: there is one standard input, and one terminal", name)
		}
	}
	for key := range o.filters {
		if !slices.Contains([]string{"engine", "id", "name", "label", "status"}, key) {
			return fmt.Errorf("--filter %s is not known to dx exec: it takes engine, id, name, label and status", key)
		}
	}
	switch args := cmd.Flags().Args(); {
	case len(o.each) > 0 && (o.all || o.chosen()):
		return errors.New("--each names the containers: it cannot be combined with --all, --filter or --engine")
	case o.parallel < 1:
		return errors.New("--parallel must be at least 1")
	case cmd.ArgsLenAtDash() != 0 && len(args) > 0:
		return fmt.Errorf("%q would be taken for a container: with --all, --filter or --each, put -- before the command", args[0])
	case len(args) == 0:
		return errors.New("the command is missing: dx exec --all -- COMMAND [ARG...]")
	}
	return nil
}

// namesFlag is a list of references, each once.
type namesFlag []string

func (n *namesFlag) String() string { return "" }
func (n *namesFlag) Type() string   { return "containers" }

func (n *namesFlag) Set(s string) error {
	for _, name := range strings.Split(s, ",") {
		if strings.TrimSpace(name) == "" {
			return errors.New("a name is empty")
		}
		if !slices.Contains(*n, name) {
			*n = append(*n, name)
		}
	}
	return nil
}

// match reports whether a running container is meant by --all or --filter.
func (o *manyOptions) match(t *dockerx.Target) bool {
	l := dockerx.Listed{Name: t.Name, Labels: t.Labels, State: "running", Engine: t.Engine}
	if t.Paused {
		l.State = "paused"
	}
	l.ID = t.ID
	return o.engines.meant(l.Engine, l.Name) && dockerx.Filters(o.filters).Match(l)
}

// meant lends run the containers that are meant.
func (o *manyOptions) meant(ctx context.Context, r *dockerx.Resolver, run func([]*dockerx.Target) error) error {
	if len(o.each) > 0 {
		var list []*dockerx.Target
		for _, ref := range o.each {
			list = append(list, r.Target(ref))
		}
		return run(list)
	}
	targets, err := r.Targets(ctx)
	if err != nil {
		return err
	}
	defer targets.Close()
	list := slices.DeleteFunc(targets.List, func(t *dockerx.Target) bool { return !o.match(t) })
	if len(list) == 0 {
		// What looks at nothing must not end as if all were well.
		return &clientError{code: exitDx, err: errors.New("dx: no running container is meant: the command was run nowhere")}
	}
	return run(list)
}

// runMany runs a command in several containers.
func (a *app) runMany(ctx context.Context, o execOptions, many manyOptions, args []string) error {
	env, _, err := o.read()
	if err != nil {
		return &clientError{err: err, code: exitFailure}
	}
	return a.withResolver(func(r *dockerx.Resolver) error {
		return many.meant(ctx, r, func(list []*dockerx.Target) error {
			s := &spread{app: a, resolver: r, options: o, env: env, args: args, stop: catchStop()}
			defer s.stop.close()
			s.print = a.linesOf(list)
			if many.format == "json" {
				s.print, s.quiet = a.jsonOf(), true
			}
			return s.run(ctx, list, many.parallel)
		})
	})
}
