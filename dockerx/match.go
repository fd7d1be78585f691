package dockerx

import (
	"errors"
	"slices"
	"strings"

	"dx/dockerx/docker"
	"dx/dockerx/engine"
	"dx/dockerx/host"
)

// match picks the container that a reference stands for: the one matcher, whoever tells of
// the containers. An AmbiguousError if there are several of the same rank, a NotFoundError
// if there is none.
func match(found []*host.Found, ref Reference) (*host.Found, error) {
	for _, called := range ref.ranks() {
		var hits []*host.Found
		for _, f := range found {
			if ref.mayMean(f) && called(f) {
				hits = append(hits, f)
			}
		}
		switch len(hits) {
		case 0:
		case 1:
			return hits[0], nil
		default:
			return nil, ambiguous(ref, hits)
		}
	}
	return nil, &NotFoundError{Ref: ref.Text}
}

// matchSummary is match among what an engine lists.
func matchSummary(list []engine.Summary, ref Reference) (string, error) {
	if ref.kind != composeOnly {
		ref = Reference{Text: ref.Text, name: ref.name}
	}
	f, err := match(foundOf(list), ref)
	if err != nil {
		return "", err
	}
	return f.ID, nil
}

func ambiguous(ref Reference, hits []*host.Found) *AmbiguousError {
	e := &AmbiguousError{Ref: ref.Text}
	if ref.kind == composeOnly {
		e.Candidates = composeCandidates(hits)
		return e
	}
	bearers := map[string]int{}
	for _, f := range hits {
		bearers[f.Called()]++
	}
	for _, f := range hits {
		c := Candidate{Reference: f.Qualified(), PID: f.PID}
		if docker.IsID(f.ID) && f.Scheme() != "containerd" {
			c.ID = f.ID
		}
		if called := f.Called(); bearers[called] == 1 && (f.Scheme() == "k8s" || named(f, ref)) {
			c.Reference = called
		}
		e.Candidates = append(e.Candidates, c)
	}
	slices.SortFunc(e.Candidates, func(a, b Candidate) int { return strings.Compare(a.Reference, b.Reference) })
	return e
}

// named reports whether an error may call a container by its name: one of Docker's is called
// as it was asked for.
func named(f *host.Found, ref Reference) bool {
	if f.Engine().Docker {
		return f.Name() == strings.TrimPrefix(ref.name, "/")
	}
	return f.Name() != f.ID
}

// situation is what decides whose container may be meant when the host has to tell.
type situation struct {
	named  bool                 // the engine was named, not docker's default
	forced bool                 // --source host: no engine is asked
	denied bool                 // the engine was asked, and knows no such container
	own    host.Engine          // whose the engine's containers are; zero: it could not be found out
	live   map[host.Engine]bool // data roots in which a dockerd runs
}

// rules are two sets of containers: those of the second are meant only if none of the
// first is.
type rules struct{ first, second func(*host.Found) bool }

func (s situation) rules(ref Reference) rules {
	all := func(f *host.Found) bool { return ref.owner != "" || !f.Engine().Foreign() }
	own := func(f *host.Found) bool { return f.Engine() == s.own }
	// Whom no dockerd claims may be one of the engine's that was named, and is gone.
	unclaimed := func(f *host.Found) bool { return f.Engine().Docker && !s.live[f.Engine()] }
	identified := s.own != host.Engine{}
	only := s.named && !s.forced && !ref.Qualified()
	switch {
	case identified && only:
		return rules{first: own}
	case identified:
		return rules{own, all}
	case only && s.denied:
		return rules{}
	case only:
		return rules{first: unclaimed}
	case s.denied:
		return rules{second: all}
	}
	return rules{first: all}
}

// choose picks the container that the rules give a reference. foreign says that it is of
// the second set.
func choose(all []*host.Found, ref Reference, r rules) (f *host.Found, foreign bool, err error) {
	err = &NotFoundError{Ref: ref.Text}
	for i, set := range []func(*host.Found) bool{r.first, r.second} {
		if set == nil {
			continue
		}
		var in []*host.Found
		for _, f := range all {
			if set(f) {
				in = append(in, f)
			}
		}
		f, err = match(in, ref)
		var notFound *NotFoundError
		if !errors.As(err, &notFound) {
			return f, i == 1, err
		}
	}
	return nil, false, err
}
