package dockerx

import (
	"testing"

	"dx/dockerx/engine"
	"dx/dockerx/host"
	"dx/e2e/fakeengine"
)

func labels(project, service, number string) map[string]string {
	return map[string]string{composeProject: project, composeService: service, composeNumber: number}
}

// TestComposeReferences: a service's container by its labels, the one that runs; of several,
// none.
func TestComposeReferences(t *testing.T) {
	oneOff := labels("shop", "web", "1")
	oneOff[composeOneOff] = "True"
	list := []engine.Summary{
		{ID: fakeengine.ID("a1"), Name: "shop-web-1", State: "exited", Labels: labels("shop", "web", "1")},
		{ID: fakeengine.ID("a2"), Name: "shop-web-2", State: "running", Labels: labels("shop", "web", "2")},
		{ID: fakeengine.ID("a3"), Name: "shop-web-run", State: "running", Labels: oneOff},
		{ID: fakeengine.ID("b1"), Name: "shop-db-1", State: "running", Labels: labels("shop", "db", "1")},
		{ID: fakeengine.ID("b2"), Name: "shop-db-2", State: "paused", Labels: labels("shop", "db", "2")},
		{ID: fakeengine.ID("c1"), Name: "other-web-1", State: "running", Labels: labels("other", "web", "1")},
		{ID: fakeengine.ID("d1"), Name: "shop-old-1", State: "exited", Labels: labels("shop", "old", "1")},
		{ID: fakeengine.ID("e1"), Name: "web", State: "running", Labels: labels("a/b", "web", "1")},
	}
	const none = ""
	for ref, want := range map[string]string{
		"compose:shop/web": "a2", "compose:shop/web/1": "a1", "compose:shop/web/2": "a2", "compose:other/web": "c1", "compose:shop/old": "d1",
		"compose:shop/db/2": "b2", "compose:shop/cache": none, "compose:shop/web/3": none, "compose:a/web": none,
	} {
		parsed, err := ParseReference(ref)
		if err != nil {
			t.Fatal(err)
		}
		f, err := match(foundOf(list), parsed)
		if want == none && !isA[*NotFoundError](err) || want != none && (err != nil || f.ID != fakeengine.ID(want)) {
			t.Errorf("%s: %v, %v, want %q", ref, f, err, want)
		}
	}
	parsed, err := ParseReference("compose:shop/db")
	if err != nil {
		t.Fatal(err)
	}
	_, err = match(foundOf(list), parsed)
	const want = "compose:shop/db is ambiguous: compose:shop/db/1 (b10000000000), compose:shop/db/2 (b20000000000)"
	if !isA[*AmbiguousError](err) || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	twins := append(foundOf(list[3:4]), host.FoundIn(foundOf(list[3:4])[0].Docker()))
	if got := composeCandidates(twins); got[0].Reference != "docker:b10000000000" {
		t.Errorf("two of a number are called %v", got)
	}
	for _, text := range []string{"compose:web", "compose:/web", "compose:shop/", "compose:a/b/c/d", "compose:a/b/"} {
		if _, err := ParseReference(text); !isA[*ReferenceError](err) {
			t.Errorf("%s: %v, want a refusal", text, err)
		}
	}
	if got := (&Listed{Labels: labels("shop", "web", "2")}).ComposeReference(); got != "compose:shop/web/2" {
		t.Errorf("the reference is %q", got)
	}
}
