package main

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

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
	to := pictureFlag{format: "svg"}
	cmd := &cobra.Command{
		Use:   "map [OPTIONS] [CONTAINER...]",
		Short: "Draw which namespaces containers share",
		Long: "Draw containers as boxes in the namespaces that they share, the host around them.\n" +
			"CONTAINER is a name, an ID or a unique prefix of one, or pid:N for any process.\n" +
			"Without one, all running containers are drawn.\n\n" +
			"Each box shows the kinds of namespaces of its container: grey is its own, a full\n" +
			"colour is shared with another, orange is the host's. Those that engines leave with\n" +
			"the host by default (cgroup, time, user) are orange at their border only.\n\n" +
			"The picture goes to the standard output, or to a file that says its format by its name:\n" +
			"dx map -o map.html",
		DisableFlagsInUseLine: true,
		RunE:                  func(cmd *cobra.Command, refs []string) error { return a.runMap(cmd.Context(), to, refs) },
	}
	cmd.Flags().VarP(&to, "output", "o", "Format of the picture, or a file called like one (map.svg, .html, .dot, .mmd):\n"+
		"'svg':     an image\n"+
		"'html':    a page of one file that filters and highlights\n"+
		"'dot':     for Graphviz\n"+
		"'mermaid': for Markdown")
	return cmd
}

// pictureFlag is a format, and where a picture of it goes.
type pictureFlag struct{ format, file string }

func (p *pictureFlag) String() string { return p.format }
func (p *pictureFlag) Type() string   { return "string" }

// Set takes a format, or a file by whose name it is seen.
func (p *pictureFlag) Set(s string) error {
	if pictures[s] != nil {
		p.format, p.file = s, ""
		return nil
	}
	format, ok := map[string]string{
		".svg": "svg", ".html": "html", ".htm": "html", ".dot": "dot", ".gv": "dot", ".mmd": "mermaid", ".mermaid": "mermaid",
	}[filepath.Ext(s)]
	if !ok || strings.TrimSuffix(filepath.Base(s), filepath.Ext(s)) == "" {
		return errors.New("it must be svg, html, dot or mermaid, or a file that ends in .svg, .html, .dot or .mmd")
	}
	p.format, p.file = format, s
	return nil
}

func (a *app) runMap(ctx context.Context, to pictureFlag, refs []string) error {
	write := a.writeResult
	if to.file != "" {
		write = func(text string) error { return os.WriteFile(to.file, []byte(text), 0o666) }
	} else if err := a.checkPicture(to.format); err != nil {
		return err
	}
	return a.withResolver(func(r *dockerx.Resolver) error {
		return a.drawMap(ctx, r, pictures[to.format], refs, write)
	})
}

func (a *app) writeResult(text string) error {
	_, err := a.out.WriteString(text)
	return err
}

// checkPicture refuses what nobody could look at.
func (a *app) checkPicture(format string) error {
	if (format == "svg" || format == "html") && output.NewScreen(a.out, "auto", os.Getenv).Terminal {
		return &clientError{err: errors.New("a terminal does not show " + format + ": write it to a file, as in dx map -o map." + format), code: exitDx}
	}
	return nil
}

func (a *app) drawMap(ctx context.Context, find namespaces.Finder, picture func(draw.Picture) string, refs []string, write func(string) error) error {
	g, err := a.gather(ctx, find, refs, false)
	if err != nil {
		return err
	}
	if len(refs) == 0 || len(g.Found) > 0 {
		p := newPicture(g.Host, g.Found)
		p.Origin = madeNow()
		if err := write(picture(p)); err != nil {
			return err
		}
	}
	if g.Failed {
		return &statusError{code: exitFailure}
	}
	return nil
}

// madeNow is on which host a picture was made, and when.
func madeNow() string {
	name, err := os.Hostname()
	if err != nil {
		name = "an unnamed host"
	}
	return name + ", " + time.Now().Format("2006-01-02 15:04 MST")
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
