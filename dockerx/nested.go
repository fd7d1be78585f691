package dockerx

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"dx/dockerx/docker"
	"dx/dockerx/host"
)

// IsNested reports whether a reference is OUTER//INNER.
func IsNested(text string) bool {
	_, _, ok := nestedIn(text)
	return ok
}

// nestedIn divides OUTER//INNER: the inner one is what comes behind the last two slashes, so
// that there may be several. What begins like a path is one.
func nestedIn(text string) (outer, inner string, ok bool) {
	text = strings.TrimRight(text, "/")
	i := strings.LastIndex(text, "//")
	if i <= 0 || text[0] == '/' || text[0] == '.' {
		return "", "", false
	}
	return strings.TrimRight(text[:i], "/"), text[i+2:], true
}

// nested finds a container that runs in another one, by its name, its ID or a prefix of that.
func (r *Resolver) nested(ctx context.Context, text, outer, inner string) (*Container, error) {
	if !docker.IsName(inner) {
		return nil, &NotFoundError{Ref: text, Asked: "no container can be called so"}
	}
	out, err := r.Resolve(ctx, outer)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	if err := out.Believed(); err != nil {
		return nil, err
	}
	root, err := out.Root()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	list, err := host.Nested(out.Process, root)
	if err != nil {
		return nil, fmt.Errorf("containers in %s: %w", out, err)
	}
	in, err := matchInner(list, text, outer, inner)
	for _, other := range list {
		if err != nil || other.Process != in.Process {
			other.Process.Close()
		}
	}
	if err != nil {
		return nil, err
	}
	c := &Container{
		Ref: text, ID: in.ID, Name: out.Name + "//" + nameOf(in), Source: SourcePID, Engine: "in " + out.Name,
		Process: in.Process, Nested: true, Inner: in.Docker, warn: r.warn,
		Proof: fmt.Sprintf("pid %d is the first process of a PID namespace that was made in that of %s", in.Process.PID, out),
	}
	if in.Docker != nil {
		c.Image = in.Docker.Config.Image
	}
	return c, nil
}

func nameOf(in host.Inner) string {
	if in.Docker != nil {
		return in.Docker.Name
	}
	return in.ID[:12]
}

// matchInner is match among containers of one outer one.
func matchInner(list []host.Inner, text, outer, inner string) (host.Inner, error) {
	found := make([]*host.Found, len(list))
	for i, in := range list {
		d := in.Docker
		if d == nil {
			d = &docker.Container{ID: in.ID, Name: in.ID}
		}
		found[i] = host.FoundIn(d)
	}
	f, err := match(found, Reference{Text: text, name: inner})
	var several *AmbiguousError
	switch {
	case errors.As(err, &several):
		several.Candidates = nil
		for i, in := range list {
			if f := found[i]; f.Name() == inner || strings.HasPrefix(in.ID, inner) {
				several.Candidates = append(several.Candidates, Candidate{Reference: outer + "//" + in.ID[:12], PID: in.Process.PID})
			}
		}
		return host.Inner{}, err
	case err != nil:
		return host.Inner{}, &NotFoundError{Ref: text, Asked: fmt.Sprintf("%d containers run in %s", len(list), outer)}
	}
	return list[slices.Index(found, f)], nil
}
