package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"dx/cmd/dx/output"
	"dx/cmpdiff/draw"
	"dx/dockerx"
	"dx/dockerx/namespaces"
)

// pictures are the formats of dx map.
var pictures = map[string]func(draw.Picture) string{
	"svg": draw.SVG, "html": draw.HTML, "text": draw.Text, "dot": draw.DOT, "mermaid": draw.Mermaid,
}

type mapOptions struct {
	to                pictureFlag
	all, unfold, open bool
	engines           engineFlag
}

func (a *app) mapCommand() *cobra.Command {
	o := mapOptions{to: pictureFlag{format: "svg"}}
	cmd := &cobra.Command{
		Use:   "map [OPTIONS] [CONTAINER...]",
		Short: "Draw which namespaces containers share",
		Long: "Draw containers as boxes in the namespaces that they share, the host around them,\n" +
			"with published ports, networks, volumes and what is paused. Pods are frames.\n" +
			"CONTAINER is a name, an ID or a unique prefix of one, or pid:N for any process.\n" +
			"Without one, all running containers are drawn.\n\n" +
			"Each box shows the types of namespaces of its container: grey is its own, a full\n" +
			"colour is shared with another, orange is the host's. Those that engines leave with\n" +
			"the host by default (cgroup, time, user) are orange at their border only. Four and\n" +
			"more containers that share no namespace, network or volume are in one box.\n\n" +
			"On a terminal the picture is a tree of text, else an SVG. With -o it goes to a file\n" +
			"whose name says the format: dx map -o map.html. On the page, a click on a container copies the dx exec that gets\n" +
			"into it. --open shows the page in a browser of the user's, behind sudo of the user who\n" +
			"called it; a browser is never started as root.",
		DisableFlagsInUseLine: true,
		RunE:                  func(cmd *cobra.Command, refs []string) error { return a.runMap(cmd.Context(), o, refs) },
	}
	f := cmd.Flags()
	o.engines.register(f)
	f.VarP(&o.to, "output", "o", "Format of the picture, or a file called like one (map.svg, .html, .txt, .dot, .mmd):\n"+
		"'svg':     an image\n"+
		"'html':    a page of one file that filters and highlights\n"+
		"'text':    a tree\n"+
		"'dot':     for Graphviz\n"+
		"'mermaid': for Markdown")
	f.BoolVarP(&o.all, "all", "a", false, "Show containers that do not run, too")
	f.BoolVar(&o.unfold, "unfold", false, "Draw a box for each container, also where several share nothing")
	f.BoolVar(&o.open, "open", false, "Show the picture in a browser: a page, unless -o says an SVG")
	return cmd
}

// pictureFlag is a format, and where a picture of it goes.
type pictureFlag struct {
	format, file string
	set          bool
}

func (p *pictureFlag) String() string { return p.format }
func (p *pictureFlag) Type() string   { return "string" }

// Set takes a format, or a file by whose name it is seen.
func (p *pictureFlag) Set(s string) error {
	if pictures[s] != nil {
		*p = pictureFlag{format: s, set: true}
		return nil
	}
	format, ok := map[string]string{
		".svg": "svg", ".html": "html", ".htm": "html", ".txt": "text", ".dot": "dot", ".gv": "dot", ".mmd": "mermaid", ".mermaid": "mermaid",
	}[filepath.Ext(s)]
	if !ok || strings.TrimSuffix(filepath.Base(s), filepath.Ext(s)) == "" {
		return errors.New("it must be svg, html, text, dot or mermaid, or a file that ends in .svg, .html, .txt, .dot or .mmd")
	}
	*p = pictureFlag{format: format, file: s, set: true}
	return nil
}

func (a *app) runMap(ctx context.Context, o mapOptions, refs []string) error {
	write := a.writeResult
	switch {
	case len(o.engines) > 0 && len(refs) > 0:
		return &clientError{err: errors.New("--engine draws all containers of an engine: leave out CONTAINER, or --engine"), code: exitDx}
	case o.all && len(refs) > 0:
		return &clientError{err: errors.New("--all draws all containers: leave out CONTAINER, or --all"), code: exitDx}
	case o.open:
		v, err := newViewer(&o.to)
		if err != nil {
			return &clientError{err: err, code: exitDx}
		}
		write = func(text string) error { return a.view(v, o.to, text) }
	case o.to.file != "":
		write = func(text string) error { return os.WriteFile(o.to.file, []byte(text), 0o666) }
	case !o.to.set && a.printsToTerminal():
		o.to.format = "text"
	default:
		if err := a.checkPicture(o.to.format); err != nil {
			return err
		}
	}
	return a.withResolver(func(r *dockerx.Resolver) error { return a.drawMap(ctx, r, o, refs, write) })
}

func (a *app) writeResult(text string) error {
	_, err := a.out.WriteString(text)
	return err
}

func (a *app) printsToTerminal() bool { return output.NewScreen(a.out, "auto", os.Getenv).Terminal }

// checkPicture refuses what nobody could look at.
func (a *app) checkPicture(format string) error {
	if (format == "svg" || format == "html") && a.printsToTerminal() {
		return &clientError{err: errors.New("a terminal does not show " + format + ": show it in a browser, dx map --open, or write it to a file, dx map -o map." + format), code: exitDx}
	}
	return nil
}

// mapFinder finds what is drawn.
type mapFinder interface {
	Resolve(ctx context.Context, ref string) (*dockerx.Container, error)
	Running(ctx context.Context) ([]*dockerx.Container, error)
	List(ctx context.Context, all bool) ([]dockerx.Listed, error)
}

func (a *app) drawMap(ctx context.Context, find mapFinder, o mapOptions, refs []string, write func(string) error) error {
	g, err := a.gather(ctx, o.engines.finder(find), refs, namespaces.Wish{Paused: true})
	if err != nil {
		return err
	}
	var stopped []dockerx.Listed
	var unseen error
	if o.all {
		list, err := find.List(ctx, true)
		var some *dockerx.UnseenError
		if err != nil && !errors.As(err, &some) {
			return err
		}
		stopped, unseen = o.engines.of(list), err
	}
	if len(refs) == 0 || len(g.Found) > 0 {
		p := newPicture(a.commandPrefix(), g.Host, g.Found, stopped)
		p.Origin, p.Unfold = madeNow(), o.unfold
		if err := write(pictures[o.to.format](p)); err != nil {
			return err
		}
	}
	if g.Failed {
		return &statusError{code: exitFailure}
	}
	return unseen
}
