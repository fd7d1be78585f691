package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"dx/cmd/dx/output"
	"dx/cmpdiff"
	"dx/nsops/posture"
	"dx/nsops/session"
)

func (a *app) diffCommand() *cobra.Command {
	var o output.Options
	var all bool
	cmd := &cobra.Command{
		Use:   "diff [OPTIONS] A [B]",
		Short: "Compare the kernel state of two containers, or list the changed files of one",
		Long: "Compare two containers, a container and the host, or two processes, in all that\n" +
			"dx inspect shows, and print what differs. A and B are names, IDs or unique prefixes\n" +
			"of them, pid:N for any process, or host.\n\n" +
			"With A alone, list the files that differ from its image, as docker diff does, whether\n" +
			"it runs or not: A was added, C changed, D deleted. They are found in the layers of\n" +
			"its root file system, without dockerd. Templates have .Type and .Path, -q prints\n" +
			"paths, and the exit status is 0, or 1 if they could not be read.\n\n" +
			"Values that always differ are ignored: PIDs, inode numbers, usage counters, the\n" +
			"container's ID in a path, its address within a network (the network itself is\n" +
			"compared). --all also shows these, and values that are the same.\n\n" +
			"Of two, the exit status is 0 if nothing differs, 1 if something does, with and without\n" +
			"--all; 125 if A or B could not be read, or something that cannot be read leaves\n" +
			"it open.",
		Args:                  oneOrTwo,
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, refs []string) error {
			if len(refs) == 1 {
				if all {
					return conflict(cmd, errors.New("--all compares two containers: name another one"))
				}
				return a.runChanges(cmd.Context(), o, refs[0])
			}
			return a.asFailure(a.runDiff(cmd.Context(), o, all, refs[0], refs[1]))
		},
	}
	o.Register(cmd.Flags())
	cmd.Flags().Lookup("quiet").Usage = "Of two, print nothing and only set the exit status; of one, only display paths"
	cmd.Flags().BoolVar(&all, "all", false, "Also show values that are the same, and those that always differ")
	return cmd
}

// asFailure gives every failure a code that cannot be taken for "they differ", or for a
// verdict of dx doctor.
func (a *app) asFailure(err error) error {
	var status *statusError
	var interrupted *session.Interrupted
	if err == nil || errors.As(err, &status) || errors.As(err, &interrupted) {
		return err
	}
	a.exitCode(err)
	return &statusError{code: exitDx}
}

func (a *app) runDiff(ctx context.Context, o output.Options, all bool, refA, refB string) error {
	return a.list(o, func(l *listing) error {
		g := &postureGathering{app: a, find: l.resolver}
		if err := g.readHost(); err != nil {
			return err
		}
		first, errA := g.read(ctx, refA)
		second, errB := g.read(ctx, refB)
		if errA != nil || errB != nil {
			return a.both(errA, errB)
		}
		g.sayUnread()
		report := cmpdiff.ComparePostures(sideOf(first), sideOf(second))
		v := diffView{report: report, all: all, noTrunc: o.NoTrunc}
		if err := output.Render(l.out, v.records(), v.table); err != nil {
			return err
		}
		return diffStatus(report)
	})
}

func diffStatus(report cmpdiff.PostureReport) error {
	switch {
	case report.Differ():
		return &statusError{code: exitFailure}
	case report.Unsure():
		return &statusError{code: exitDx}
	}
	return nil
}

// both reports what is wrong with either side.
func (a *app) both(errA, errB error) error {
	if errA == nil {
		return errB
	}
	if errB != nil {
		a.exitCode(errA)
		return errB
	}
	return errA
}

func sideOf(s *postureSubject) cmpdiff.PostureSubject {
	side := cmpdiff.PostureSubject{Name: s.name, Facts: s.facts}
	for _, u := range s.posture.Unread {
		side.Unread = append(side.Unread, u.Section)
	}
	if s.posture.Mounts != nil && s.posture.Mounts.Truncated {
		side.Unread = append(side.Unread, posture.SectionMounts)
	}
	if s.posture.Network != nil && s.posture.Network.Truncated {
		side.Unread = append(side.Unread, posture.SectionNetwork)
	}
	return side
}
