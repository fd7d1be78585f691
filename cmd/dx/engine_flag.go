package main

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"dx/dockerx"
	"dx/dockerx/namespaces"
)

// engineFlag is --engine of the verbs that list: whose containers are meant. Of several, any.
type engineFlag []string

const engineUsage = "Only the containers of this engine: docker, podman, containerd, k8s, cri-o, lxc, machine, runc,\nor as the column ENGINE has it"

func (e *engineFlag) register(f *pflag.FlagSet) { f.Var(e, "engine", engineUsage) }

func (e *engineFlag) String() string { return "" }
func (e *engineFlag) Type() string   { return "engine" }

func (e *engineFlag) Set(s string) error {
	*e = append(*e, s)
	return nil
}

// filter is --engine as a filter of docker's kind.
func (e engineFlag) filter(to psFilters) {
	if len(e) > 0 {
		to["engine"] = append(to["engine"], e...)
	}
}

// finder leaves of all running containers those that are meant.
func (e engineFlag) finder(all namespaces.Finder) namespaces.Finder {
	if len(e) == 0 {
		return all
	}
	return ofEngines{all, e}
}

// of leaves of a list those that are meant.
func (e engineFlag) of(list []dockerx.Listed) []dockerx.Listed {
	return slices.DeleteFunc(list, func(l dockerx.Listed) bool { return !e.meant(l.Engine, l.Name) })
}

// meant reports whether a container, by its engine and its name, is.
func (e engineFlag) meant(its, name string) bool {
	return len(e) == 0 || slices.ContainsFunc(e, func(engine string) bool { return dockerx.OfEngine(its, name, engine) })
}

type ofEngines struct {
	namespaces.Finder
	engines engineFlag
}

func (o ofEngines) Running(ctx context.Context) ([]*dockerx.Container, error) {
	list, err := o.Finder.Running(ctx)
	return slices.DeleteFunc(list, func(c *dockerx.Container) bool {
		if o.engines.meant(c.Engine, c.Name) {
			return false
		}
		c.Close()
		return true
	}), err
}

// engineNames are what --engine may be for what a list has.
func engineNames(list []dockerx.Listed) []string {
	var out []string
	for _, l := range list {
		kind, _, _ := strings.Cut(l.Engine, ":")
		if dockerx.OfEngine(l.Engine, l.Name, "docker") {
			out = append(out, "docker")
			continue
		}
		if out = append(out, l.Engine, kind); l.Pod != "" {
			out = append(out, "k8s")
		}
	}
	return plain(out)
}
