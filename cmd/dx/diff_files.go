package main

import (
	"context"

	"dx/cmd/dx/output"
	"dx/nsops/overlay"
)

// changeRecord is one line of dx diff CONTAINER --format json, with docker's names.
type changeRecord struct {
	Type overlay.Kind // A, C or D
	Path string
}

func (r changeRecord) Short() changeRecord { return r }
func (r changeRecord) Quiet() string       { return r.Path }

// runChanges lists the changed files of a container.
func (a *app) runChanges(ctx context.Context, o output.Options, ref string) error {
	return a.list(o, func(l *listing) error {
		if err := checkRef(ref); err != nil {
			return err
		}
		layers, _, err := l.resolver.Layers(ctx, ref)
		if err != nil {
			return err
		}
		defer layers.Close()
		changes, err := overlay.Compare(layers)
		if err != nil {
			return err
		}
		a.sayIncomplete(changes)
		records := make([]changeRecord, 0, len(changes.List))
		for _, c := range changes.List {
			records = append(records, changeRecord{c.Kind, c.Path})
		}
		if l.out.IsTable() {
			return printChanges(l.out, records)
		}
		return output.Render(l.out, records, nil)
	})
}

// printChanges is docker's look: no headings, and nothing is cut.
func printChanges(out *output.Printer, records []changeRecord) error {
	card := out.NewCard()
	for _, r := range records {
		card.Line(string(r.Type) + " " + r.Path)
	}
	return card.Print()
}

func (a *app) sayIncomplete(c *overlay.Changes) {
	if c.Truncated {
		a.say("there are more changes than dx lists: what lies in more than 200 directories, or after 64 MiB of paths, is left out")
	}
	const few = 3
	for _, path := range c.Renamed[:min(few, len(c.Renamed))] {
		a.say("%s has been renamed: what it has of the image is added too, and is not listed", path)
	}
	if more := len(c.Renamed) - few; more > 0 {
		a.say("%d more directories have been renamed", more)
	}
}
