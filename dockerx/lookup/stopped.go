package lookup

import (
	"fmt"
	"strings"

	"dx/dockerx"
	"dx/nsops"
)

// Kept is what is known of containers that do not run.
type Kept struct {
	List []dockerx.Listed // may have others too
	// LayerOf returns the ID of the container in whose writable layer a path lies; empty: in
	// none's.
	LayerOf func(path string) string
}

// AskOfStopped lets the Finder look for containers that do not run where no other has a path.
func (t *Finder) AskOfStopped(kept func() Kept) { t.kept = kept }

// stopped finds the containers that do not run and whose volumes, binds, layer or files are
// at one of the names of a path.
func (t *Finder) stopped(names []string) []Hit {
	if t.kept == nil {
		return nil
	}
	kept := t.kept()
	var hits []Hit
	for _, l := range kept.List {
		if l.PID != 0 {
			continue
		}
		how, _ := first(names, func(name string) (string, error) { return ofStopped(l, name, kept.LayerOf), nil })
		if how != "" {
			c := &dockerx.Container{Ref: l.Name, ID: l.ID, Name: l.Name, Image: l.Image, Engine: l.Engine, Source: l.Source}
			hits = append(hits, Hit{Path, c, fmt.Sprintf("%s; it does not run (%s)", how, l.State)})
		}
	}
	return hits
}

func ofStopped(l dockerx.Listed, name string, layerOf func(string) string) string {
	for _, m := range l.Mounts {
		switch {
		case m.Source != "" && nsops.Below(name, m.Source):
		case m.Name != "" && strings.Contains(name+"/", "/volumes/"+m.Name+"/_data/"): // by Docker's files, which do not say where
		default:
			continue
		}
		return "it has that mounted at " + m.Destination + " when it runs"
	}
	switch {
	case l.ID != "" && layerOf(name) == l.ID:
		return "the layer that it writes to"
	case l.ID != "" && strings.Contains(name+"/", "/"+l.ID+"/"):
		return "its ID is in the path"
	}
	return ""
}
