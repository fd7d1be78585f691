package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"dx/cmd/dx/output"
	"dx/dockerx"
	"dx/dockerx/lookup"
	"dx/nsops/escape"
)

func (a *app) whoCommand() *cobra.Command {
	var o output.Options
	cmd := &cobra.Command{
		Use:   "who [OPTIONS] THING...",
		Short: "Show which container a PID, namespace, interface, address, cgroup, path or port belongs to",
		Long: "Show which container something on this host belongs to, and by what evidence:\n\n" +
			"  4711  pid:4711                   a process, by its PID here; else a port\n" +
			"  net:[4026532250]  inode:4026532250  a namespace, as readlink prints it\n" +
			"  veth12ab  veth12ab@if7  if:7     an interface of the host, or in a container\n" +
			"  172.17.0.2  ip:172.17.0.2        an address\n" +
			"  /docker/1791…  cgroup:/docker/1791…  a cgroup, also below /sys/fs/cgroup\n" +
			"  /var/lib/docker/…  path:FILE     a volume, a bind, an overlay directory, or below one\n" +
			"  :8080  127.0.0.1:8080  tcp:8080  udp:53  a port published, or listened on inside\n" +
			"  socket:[34912]  socket:34912     a socket that is open, as /proc/PID/fd has it\n\n" +
			"A thread's ID means its process, docker-proxy's PID the container that it forwards to.\n" +
			"Volumes, binds and layers of containers that do not run are found as well.\n" +
			"The type is inferred from the argument's form; a prefix makes it explicit.",
		Args:                  atLeast(1),
		DisableFlagsInUseLine: true,
		RunE:                  func(cmd *cobra.Command, args []string) error { return a.runWho(cmd.Context(), o, args) },
	}
	o.Register(cmd.Flags())
	return cmd
}

func (a *app) runWho(ctx context.Context, o output.Options, args []string) error {
	return a.list(o, func(l *listing) error {
		containers, err := l.resolver.Running(ctx)
		if err != nil {
			return err
		}
		defer dockerx.CloseAll(containers)
		finder := lookup.New(containers)
		finder.AskOfStopped(func() lookup.Kept { return a.kept(ctx, l.resolver) })
		var records []whoRecord
		for _, arg := range args {
			hits, err := finder.Find(arg)
			if err != nil {
				l.add(err)
			}
			records = append(records, whoRecords(arg, hits)...)
		}
		a.sayUnsearched(finder.Unread())
		if len(records) == 0 {
			return nil
		}
		return output.Render(l.out, records, func() output.Table { return whoTable(output.Shorten(records, o)) })
	})
}

// kept is what does not run. That it cannot be seen is said: it may have been the answer.
func (a *app) kept(ctx context.Context, r *dockerx.Resolver) lookup.Kept {
	list, layerOf, err := r.Stopped(ctx)
	if err != nil {
		a.say("containers that do not run are not searched: %v", err)
		return lookup.Kept{}
	}
	return lookup.Kept{List: list, LayerOf: layerOf}
}

// sayUnsearched is one line, however many processes were not looked at.
func (a *app) sayUnsearched(unread []string) {
	const few = 3
	if len(unread) > 0 {
		a.say("%s could not be looked at (%d in all): other users' take CAP_SYS_PTRACE and CAP_SYS_ADMIN%s",
			escape.Line(strings.Join(unread[:min(few, len(unread))], ", ")), len(unread), withSudo())
	}
}
