package dockerx

import (
	"strings"
	"testing"

	"dx/dockerx/docker"
	"dx/dockerx/host"
)

// Docker's precedence (moby daemon/container.go, GetContainer): the whole ID, a
// name, a unique prefix.
func TestMatchPrecedence(t *testing.T) {
	id := func(prefix string) string { return prefix + strings.Repeat("0", 64-len(prefix)) }
	named := func(id, name string) *host.Found { return host.FoundIn(&docker.Container{ID: id, Name: name}) }
	found := []*host.Found{
		named(id("abc"), "web"), named(id("abd"), "db"), named(id("123"), "abc0"), named(id("777"), id("abd")),
		named(id("a1"), "twin"), named(id("b2"), "twin"), {ID: id("c3"), Namespace: "k8s.io"},
	}
	for ref, want := range map[string]string{
		"web": id("abc"), "/web": id("abc"), "abc": id("abc"), "abc0": id("123"), // a name wins over a prefix
		id("abd"): id("abd"), // and an ID over a name
		id("c3"):  id("c3"), "c3": id("c3"),
	} {
		f, err := match(found, Reference{Text: ref, name: ref})
		if err != nil || f.ID != want {
			t.Errorf("%q: %+v, %v; want %s", ref, f, err, want)
		}
	}
	for _, ref := range []string{"ab", "twin"} {
		if _, err := match(found, Reference{Text: ref, name: ref}); !isA[*AmbiguousError](err) {
			t.Errorf("%q: %v, want ambiguous", ref, err)
		}
	}
	for _, ref := range []string{"", "WEB", "zzz", "/abc"} {
		if _, err := match(found, Reference{Text: ref, name: ref}); !isA[*NotFoundError](err) {
			t.Errorf("%q: %v, want not found", ref, err)
		}
	}
}
