package dockerx

import (
	"context"
	"slices"
	"strings"

	"dx/dockerx/docker"
	"dx/dockerx/engine"
	"dx/dockerx/host"
)

// Docker Compose has no record of its own: it knows its containers by labels (docker/compose,
// pkg/api/labels.go).
const (
	composeProject = "com.docker.compose.project"
	composeService = "com.docker.compose.service"
	composeNumber  = "com.docker.compose.container-number"
	composeOneOff  = "com.docker.compose.oneoff" // of docker compose run: none of the service's
)

// composed is what Compose calls a container.
type composed struct{ project, service, number string }

// String returns the reference.
func (s composed) String() string {
	return "compose:" + s.project + "/" + s.service + "/" + s.number
}

// composedBy reads the labels; ok is false for a container that is no part of a service.
func composedBy(labels map[string]string) (s composed, ok bool) {
	s = composed{labels[composeProject], labels[composeService], labels[composeNumber]}
	for _, part := range []string{s.project, s.service, s.number} {
		if part == "" || strings.ContainsRune(part, '/') {
			return composed{}, false
		}
	}
	return s, !strings.EqualFold(labels[composeOneOff], "true")
}

// ComposeReference returns the reference to a container by its service; empty: it has none.
func (l *Listed) ComposeReference() string {
	s, ok := composedBy(l.Labels)
	if !ok {
		return ""
	}
	return s.String()
}

// means reports whether a reference to a service means a container with those labels.
func (ref Reference) means(labels map[string]string) bool {
	s, ok := composedBy(labels)
	return ok && s.project == ref.namespace && s.service == ref.name && (ref.inPod == "" || s.number == ref.inPod)
}

// serviceID asks the engine for the ID of the service's container: of the one that runs, if
// one does.
func (r *Resolver) serviceID(ctx context.Context, ref Reference) (string, error) {
	list, err := r.list(ctx, true)
	if err != nil {
		return "", err
	}
	f, err := match(foundOf(list), ref)
	if err != nil {
		return "", err
	}
	return f.ID, nil
}

// foundOf puts an engine's list in the terms of the matcher.
func foundOf(list []engine.Summary) []*host.Found {
	found := make([]*host.Found, len(list))
	for i, s := range list {
		d := &docker.Container{ID: s.ID, Name: s.Name}
		d.Config.Labels, d.State.Running = s.Labels, runs(s.State)
		found[i] = host.FoundIn(d)
	}
	return found
}

// running reports whether a container runs, by whoever tells of it.
func isRunning(f *host.Found) bool {
	d := f.Docker()
	return f.Runs() || d != nil && d.State.Running && d.State.Pid == 0
}

// composeCandidates are references to the containers of a service; one whose number another has
// too, as where two engines run the project, is called by its ID.
func composeCandidates(hits []*host.Found) []Candidate {
	bearers := map[string]int{}
	for _, f := range hits {
		s, _ := composedBy(labelsOf(f))
		bearers[s.String()]++
	}
	var out []Candidate
	for _, f := range hits {
		c := Candidate{Reference: f.Qualified(), ID: f.ID, PID: f.PID, running: isRunning(f)}
		if s, _ := composedBy(labelsOf(f)); bearers[s.String()] == 1 {
			c.Reference = s.String()
		}
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b Candidate) int { return strings.Compare(a.Reference, b.Reference) })
	return out
}
