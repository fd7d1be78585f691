package dockerx

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"dx/dockerx/docker"
	"dx/dockerx/host"
	"dx/e2e/fakeengine"
	"dx/nsops"
)

// at is a made engine.
func dockerAt(n uint64) host.Engine { return host.Engine{Docker: true, At: nsops.ID{Inode: n}} }
func containerdAt(n uint64, namespace string) host.Engine {
	return host.Engine{Namespace: namespace, At: nsops.ID{Inode: n}}
}

func of(e host.Engine, id, name string, pid int) *host.Found {
	if !e.Docker {
		return host.FoundBy(e, id, nil, pid)
	}
	return host.FoundBy(e, id, &docker.Container{ID: id, Name: name}, pid)
}

// TestRules is DESIGN's table of whose container may be meant, case by case.
func TestRules(t *testing.T) {
	a, b, ctr := dockerAt(1), dockerAt(2), containerdAt(3, "default")
	webA, webB, webC := of(a, fakeengine.ID("aa"), "web", 10), of(b, fakeengine.ID("bb"), "web", 20), of(ctr, "web", "", 30)
	stopped := of(a, fakeengine.ID("cc"), "ab", 0) // is called like the beginning of an ID
	long := of(a, fakeengine.ID("ab"), "long", 40)
	onlyB, onlyC := of(b, fakeengine.ID("dd"), "onlyb", 50), of(ctr, "onlyc", "", 60)
	twin := of(containerdAt(4, "k8s.io"), webA.ID, "", 70) // an ID in two namespaces
	all := []*host.Found{webC, webB, webA, stopped, long, onlyB, onlyC, twin}
	liveA, liveB := map[host.Engine]bool{a: true}, map[host.Engine]bool{b: true}
	const none, several = "none", "several"
	for _, c := range []struct {
		what string
		s    situation
		ref  string
		want any
	}{
		{"a named engine hangs: its own", situation{named: true, own: a, live: liveA}, "web", webA},
		{"a named engine hangs: no other's", situation{named: true, own: a, live: liveA}, "onlyb", none},
		{"a named engine hangs: not containerd's", situation{named: true, own: a, live: liveA}, "onlyc", none},
		{"a named engine is gone, another lives", situation{named: true, live: liveB}, "web", webA},
		{"a named engine is gone, another claims it", situation{named: true, live: liveB}, "onlyb", none},
		{"a named engine is gone: nobody lives", situation{named: true}, "web", several},
		{"a named engine is gone: containerd's is not Docker's", situation{named: true}, "onlyc", none},
		{"a named engine has said no", situation{named: true, denied: true}, "web", none},
		{"a named engine that is known has said no", situation{named: true, denied: true, own: b}, "onlyc", none},
		{"a named engine has said no to one in its files", situation{named: true, denied: true, own: a}, "web", webA},
		{"docker's default hangs: its own first", situation{own: b}, "web", webB},
		{"docker's default hangs: then another's", situation{own: b}, "onlyc", onlyC},
		{"docker's default has said no", situation{denied: true}, "onlyc", onlyC},
		{"docker's default has said no, two others know it", situation{denied: true}, "web", several},
		{"docker's default is gone", situation{}, "web", several},
		{"docker's default is gone, one bears it", situation{}, "onlyb", onlyB},
		{"host only, a named engine is known", situation{named: true, forced: true, own: b}, "web", webB},
		{"host only", situation{named: true, forced: true}, "web", several},
		{"a name before a prefix, though it does not run", situation{own: a}, "ab", stopped},
		{"a prefix of two engines", situation{}, "a", several},
		{"an ID in two namespaces, the engine is known", situation{own: a}, webA.ID, webA},
		{"an ID in two namespaces", situation{}, webA.ID, several},
		{"qualified: containerd", situation{named: true, own: a}, "containerd:default/web", webC},
		{"qualified: that namespace alone", situation{}, "containerd:k8s.io/" + webA.ID, twin},
		{"qualified: no such namespace", situation{}, "containerd:other/web", none},
		{"qualified: docker, the engine's first", situation{own: b}, "docker:web", webB},
		{"qualified: docker, of two", situation{}, "docker:web", several},
		{"qualified: docker by ID", situation{named: true, own: a}, "docker:" + webB.ID[:12], webB},
		{"an ID of containerd's has no prefix", situation{}, "onl", none},
	} {
		ref, err := ParseReference(c.ref)
		if err != nil {
			t.Fatal(err)
		}
		f, _, err := choose(all, ref, c.s.rules(ref))
		var got any = f
		switch {
		case isA[*NotFoundError](err):
			got = none
		case isA[*AmbiguousError](err):
			got = several
		}
		if got != c.want {
			t.Errorf("%s: %q is %v (%v), want %v", c.what, c.ref, describeFound(got), err, describeFound(c.want))
		}
	}
}

func describeFound(v any) string {
	if f, ok := v.(*host.Found); ok && f != nil {
		return fmt.Sprintf("pid %d", f.PID)
	}
	return fmt.Sprint(v)
}

// TestUsersContainersAreNamedInFull: a container of another user's engine answers to no reference
// that does not name the user, so that nobody takes a name from root's, or makes it ambiguous.
func TestUsersContainersAreNamedInFull(t *testing.T) {
	const stranger = 54399
	docker := host.Engine{Manager: "docker", Owner: stranger}
	podman := host.Engine{Manager: "podman", Owner: stranger}
	root := dockerAt(1)
	rooted := of(root, fakeengine.ID("aa"), "web", 10)
	users, twin := of(docker, fakeengine.ID("aa"), "web", 20), of(podman, "web", "", 30)
	only := of(podman, "mine", "", 40)
	all := []*host.Found{users, twin, rooted, only}
	const none = "none"
	for _, c := range []struct {
		s    situation
		ref  string
		want any
	}{
		{situation{}, "web", rooted}, {situation{forced: true}, "web", rooted}, {situation{denied: true}, "web", rooted},
		{situation{}, rooted.ID[:12], rooted}, {situation{}, "docker:web", rooted}, {situation{}, "mine", none}, {situation{forced: true}, "podman:mine", none},
		{situation{}, "podman:54399/mine", only}, {situation{}, "docker:54399/" + users.ID[:12], users}, {situation{}, "podman:54399/web", twin},
		{situation{}, "docker:54399/mine", none}, {situation{}, "podman:54398/mine", none}, {situation{named: true, own: root}, "podman:54399/mine", only},
		// Who names the user's engine means its containers.
		{situation{named: true, own: podman}, "mine", only}, {situation{named: true, own: docker}, "mine", none},
	} {
		ref, err := ParseReference(c.ref)
		if err != nil {
			t.Fatal(err)
		}
		f, _, err := choose(all, ref, c.s.rules(ref))
		var got any = f
		if isA[*NotFoundError](err) {
			got = none
		}
		if got != c.want {
			t.Errorf("%+v: %q is %v (%v), want %v", c.s, c.ref, describeFound(got), err, describeFound(c.want))
		}
	}
}

// TestCandidates: an ambiguous reference lists what to type instead, and each of that
// means one container.
func TestCandidates(t *testing.T) {
	a, b := dockerAt(1), dockerAt(2)
	all := []*host.Found{of(a, fakeengine.ID("17"), "web", 26390), of(containerdAt(3, "default"), "web", "", 8520)}
	_, _, err := choose(all, Reference{Text: "web", name: "web"}, situation{}.rules(Reference{}))
	if want := "web is ambiguous: containerd:default/web (pid 8520), docker:web (170000000000, pid 26390)"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	all = append(all, of(b, fakeengine.ID("18"), "web", 0))
	_, _, err = choose(all, Reference{Text: "web", name: "web"}, situation{}.rules(Reference{}))
	var several *AmbiguousError
	if !errors.As(err, &several) || len(several.Candidates) != 3 {
		t.Fatalf("%v, want three candidates", err)
	}
	met := map[*host.Found]bool{}
	for _, c := range several.Candidates {
		ref, err := ParseReference(c.Reference)
		if err != nil {
			t.Fatal(err)
		}
		f, _, err := choose(all, ref, situation{}.rules(ref))
		if err != nil || met[f] {
			t.Errorf("%s means %v, %v, want one of its own", c.Reference, describeFound(f), err)
		}
		met[f] = true
	}
}

// world is a random host: engines, their containers, and which of them is asked.
type world struct {
	all       []*host.Found
	situation situation
	ref       Reference
}

func randomWorld(r *rand.Rand) world {
	engines := []host.Engine{dockerAt(1), dockerAt(2), containerdAt(3, "default"), containerdAt(4, "k8s.io")}
	names := []string{"web", "db", "host", "a", "ab", fakeengine.ID("a"), fakeengine.ID("b")}
	ids := []string{fakeengine.ID("a"), fakeengine.ID("ab"), fakeengine.ID("b"), fakeengine.ID("ba"), fakeengine.ID("c")}
	var w world
	for _, e := range engines {
		taken, called := map[string]bool{}, map[string]bool{}
		for range r.IntN(4) {
			id, name := ids[r.IntN(len(ids))], names[r.IntN(len(names))]
			if !e.Docker && r.IntN(2) == 0 {
				id = names[r.IntN(4)]
			}
			if taken[id] || called[name] {
				continue // one engine has no two
			}
			taken[id], called[name] = true, true
			w.all = append(w.all, of(e, id, name, r.IntN(3)))
		}
	}
	r.Shuffle(len(w.all), func(i, j int) { w.all[i], w.all[j] = w.all[j], w.all[i] })
	w.situation = situation{named: r.IntN(2) == 0, forced: r.IntN(4) == 0, denied: r.IntN(3) == 0, live: map[host.Engine]bool{}}
	for _, e := range engines[:2] {
		w.situation.live[e] = r.IntN(2) == 0
	}
	if w.situation.own = engines[r.IntN(2)]; r.IntN(3) == 0 {
		w.situation.own = host.Engine{}
	}
	text := append(slices.Clone(names), "b", "/web", "c0", "zz", "we", "/a")[r.IntN(len(names)+6)]
	switch r.IntN(5) {
	case 0:
		text = "docker:" + strings.TrimPrefix(text, "/")
	case 1:
		text = "containerd:default/" + strings.TrimPrefix(text, "/")
	}
	w.ref, _ = ParseReference(text)
	return w
}

// means says, in the words of docs/references.md and not of the code, whether a reference
// calls a container so, and how well: 3 its ID, 2 its name, 1 a prefix; 0 not at all.
func means(ref Reference, f *host.Found) int {
	e := f.Engine()
	text := ref.Text
	if rest, ok := strings.CutPrefix(text, "docker:"); ok {
		if !e.Docker {
			return 0
		}
		text = rest
	}
	if rest, ok := strings.CutPrefix(text, "containerd:default/"); ok {
		if e.Namespace != "default" {
			return 0
		}
		text = rest
	}
	hex := len(f.ID) == 64
	switch {
	case hex && text == f.ID:
		return 3
	case strings.TrimPrefix(text, "/") == f.Name():
		return 2
	case hex && strings.HasPrefix(f.ID, text):
		return 1
	}
	return 0
}

// TestNeverAnother: whatever engines there are, and whatever their containers are called,
// what is chosen is what meant says, and the one that is chosen is called so, is of an engine that may be meant, and no other of
// these has as good a claim.
func TestNeverAnother(t *testing.T) {
	chosen := 0
	for seed := range uint64(200000) {
		w := randomWorld(rand.New(rand.NewPCG(seed, 14)))
		f, _, err := choose(w.all, w.ref, w.situation.rules(w.ref))
		if want := meant(w); len(want) == 1 && f != want[0] || len(want) == 0 && !isA[*NotFoundError](err) || len(want) > 1 && !isA[*AmbiguousError](err) {
			t.Fatalf("seed %d: %q in %+v is %v (%v), want one of %d", seed, w.ref.Text, w.situation, describeFound(f), err, len(want))
		}
		if err != nil {
			continue
		}
		chosen++
		if why := wrong(w, f); why != "" {
			t.Fatalf("seed %d: %q in %+v is the container %s (%s) of %+v: %s", seed, w.ref.Text, w.situation, f.ID, f.Name(), f.Engine(), why)
		}
	}
	if chosen < 1000 {
		t.Errorf("only %d worlds had an answer: the test tests little", chosen)
	}
}

// meant are the containers that a reference means by the numbered rules of
// docs/references.md: none, one, or several of which none is to be entered.
func meant(w world) []*host.Found {
	s, qualified := w.situation, strings.Contains(w.ref.Text, ":")
	known := s.own != host.Engine{}
	onlyTheirs := s.named && !s.forced && !qualified // rule 1
	var asked, others []*host.Found
	for _, f := range w.all {
		e := f.Engine()
		switch {
		case known && e == s.own:
			asked = append(asked, f)
		case onlyTheirs && !known && !s.denied && e.Docker && !s.live[e]: // "containers that no living dockerd has"
			asked = append(asked, f)
		case !onlyTheirs: // rule 2
			others = append(others, f)
		}
	}
	for _, list := range [][]*host.Found{asked, others} {
		var best []*host.Found
		rank := 1
		for _, f := range list {
			switch n := means(w.ref, f); {
			case n < rank:
			case n > rank:
				best, rank = []*host.Found{f}, n
			default:
				best = append(best, f)
			}
		}
		if best != nil {
			return best
		}
	}
	return nil
}

func wrong(w world, f *host.Found) string {
	s, own := w.situation, func(f *host.Found) bool { return f.Engine() == w.situation.own }
	strict := s.named && !s.forced && !strings.Contains(w.ref.Text, ":")
	switch {
	case means(w.ref, f) == 0:
		return "it is not called so"
	case strict && s.own != (host.Engine{}) && !own(f):
		return "another engine was named"
	case strict && s.own == (host.Engine{}) && (s.denied || !f.Engine().Docker || s.live[f.Engine()]):
		return "it is not one of an engine that is gone"
	}
	for _, other := range w.all {
		rival := other != f && means(w.ref, other) >= means(w.ref, f)
		switch {
		case other == f || means(w.ref, other) == 0:
		case strict && s.own == (host.Engine{}) && (!other.Engine().Docker || s.live[other.Engine()]):
		case own(other) && !own(f) && s.own != (host.Engine{}):
			return "the engine that is asked has one"
		case own(f) && !own(other) && s.own != (host.Engine{}):
		case rival:
			return "another is called so as well"
		}
	}
	return ""
}

// TestCopiedDataRoot: an ID that an engine tells means its own container, not that of an
// engine whose data root was copied from it.
func TestCopiedDataRoot(t *testing.T) {
	a, b := dockerAt(1), dockerAt(2)
	webA, webB := of(a, fakeengine.ID("aa"), "web", 10), of(b, fakeengine.ID("aa"), "web", 20)
	unread := host.FoundBy(host.Engine{Docker: true, At: nsops.ID{Inode: 3}}, fakeengine.ID("aa"), nil, 30)
	for _, c := range []struct {
		own       host.Engine
		all, want []*host.Found
	}{
		{a, []*host.Found{webA, webB}, []*host.Found{webA}},
		{a, []*host.Found{webB}, nil},
		{a, []*host.Found{unread}, []*host.Found{unread}},
		{host.Engine{}, []*host.Found{webB}, []*host.Found{webB}},
		{host.Engine{}, []*host.Found{webA, webB}, []*host.Found{webA, webB}},
	} {
		r := &Resolver{ownFound: c.own}
		r.ownOnce.Do(func() {})
		s := shown{byID: map[string][]*shownContainer{}}
		for _, f := range c.all {
			s.add(&shownContainer{Container: &Container{ID: f.ID}, found: f})
		}
		if got := r.ofEngine(slices.Clone(c.all), webA.ID); !slices.Equal(got, c.want) {
			t.Errorf("of %v, the engine %v has %v, want %v", c.all, c.own, got, c.want)
		}
		switch got := s.take(r, webA.ID); {
		case len(c.want) == 1 && (got == nil || got.found != c.want[0]), len(c.want) != 1 && got != nil:
			t.Errorf("of %v, a list of the engine %v takes %v, want %v", c.all, c.own, got, c.want)
		}
	}
}

// TestListedNames: what a list calls a container means that one, by the rules, and no other.
func TestListedNames(t *testing.T) {
	a, b, ctr := dockerAt(1), dockerAt(2), containerdAt(3, "default")
	found := []*host.Found{
		of(a, fakeengine.ID("aa"), "web", 10), of(b, fakeengine.ID("bb"), "web", 20), of(ctr, "web", "", 30),
		of(b, fakeengine.ID("dd"), "onlyb", 50), of(ctr, "onlyc", "", 60),
	}
	for what, s := range map[string]situation{
		"nobody named one, its default is known": {own: a}, "nobody named one": {}, "only the host is asked": {forced: true, own: a},
		"an engine was named": {named: true, own: a}, "it has said which it knows": {named: true, own: a, denied: true},
	} {
		names := (&Resolver{}).callers(s, found)
		for _, f := range found {
			name := names.call(f)
			ref, err := ParseReference(name)
			if err != nil {
				t.Fatalf("%s: %q: %v", what, name, err)
			}
			if got, _, err := choose(found, ref, s.rules(ref)); got != f {
				t.Errorf("%s: pid %d is called %s, which means %v, %v", what, f.PID, name, got, err)
			}
		}
	}
}
