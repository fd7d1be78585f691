package main

import (
	"cmp"
	"context"
	"errors"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dx/cmd/dx/output"
	"dx/cmpdiff"
	"dx/cmpdiff/draw"
	"dx/dockerx"
	"dx/dockerx/namespaces"
)

// pictures are the formats of dx map.
var pictures = map[string]func(draw.Picture) string{
	"svg": draw.SVG, "html": draw.HTML, "dot": draw.DOT, "mermaid": draw.Mermaid,
}

func (a *app) mapCommand() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "map [OPTIONS] [CONTAINER...]",
		Short: "Draw which namespaces containers share",
		Long: "Draw containers as boxes in the namespaces that they share, the host around them.\n" +
			"CONTAINER is a name, an ID or a unique prefix of one, or pid:N for any process.\n" +
			"Without one, all running containers are drawn.\n\n" +
			"Each box shows the kinds of namespaces of its container: grey is its own, a full\n" +
			"colour is shared with another, orange is the host's. Those that engines leave with\n" +
			"the host by default (cgroup, time, user) are orange at their border only.\n\n" +
			"The picture goes to the standard output: dx map -o html > map.html",
		DisableFlagsInUseLine: true,
		RunE:                  func(cmd *cobra.Command, refs []string) error { return a.runMap(cmd.Context(), format, refs) },
	}
	cmd.Flags().VarP(newChoice(&format, "svg", "html", "dot", "mermaid"), "output", "o", "Format of the picture:\n"+
		"'svg':     an image\n"+
		"'html':    a page of one file that filters and highlights\n"+
		"'dot':     for Graphviz\n"+
		"'mermaid': for Markdown")
	return cmd
}

func (a *app) runMap(ctx context.Context, format string, refs []string) error {
	if err := a.checkPicture(format); err != nil {
		return err
	}
	return a.withResolver(func(r *dockerx.Resolver) error {
		return a.drawMap(ctx, r, pictures[format], refs)
	})
}

// checkPicture refuses what nobody could look at.
func (a *app) checkPicture(format string) error {
	if (format == "svg" || format == "html") && output.NewScreen(a.out, "auto", os.Getenv).Terminal {
		return &clientError{err: errors.New("a terminal does not show " + format + ": write it to a file, as in dx map -o " + format + " > map." + format), code: exitDx}
	}
	return nil
}

func (a *app) drawMap(ctx context.Context, find namespaces.Finder, picture func(draw.Picture) string, refs []string) error {
	g, err := a.gather(ctx, find, refs, false)
	if err != nil {
		return err
	}
	if len(refs) == 0 || len(g.Found) > 0 {
		if _, err := a.out.WriteString(picture(newPicture(g.Host, g.Found))); err != nil {
			return err
		}
	}
	if g.Failed {
		return &statusError{code: exitFailure}
	}
	return nil
}

// newPicture has each process once, by name; the host is around them.
func newPicture(host namespaces.Subject, found []namespaces.Subject) draw.Picture {
	seen := map[int]bool{host.PID: true}
	var subjects []cmpdiff.Subject
	var p draw.Picture
	for _, s := range slices.SortedFunc(slices.Values(found), byName) {
		if seen[s.PID] {
			continue
		}
		seen[s.PID] = true
		subjects = append(subjects, cmpdiff.Subject{Name: s.Name, Namespaces: s.Set})
		p.Boxes = append(p.Boxes, draw.Box{ID: s.ID, PID: s.PID, Image: s.Image})
	}
	p.Map = cmpdiff.Compare(cmpdiff.Subject{Name: host.Name, Namespaces: host.Set}, subjects...).Map()
	return p
}

func byName(a, b namespaces.Subject) int {
	return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID), cmp.Compare(a.PID, b.PID))
}
