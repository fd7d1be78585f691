package dockerx

import (
	"testing"

	"dx/dockerx/docker"
	"dx/dockerx/host"
	"dx/e2e/fakeengine"
	"dx/nsops/proc"
)

// TestNestedReferences: how a container in a container is called.
func TestNestedReferences(t *testing.T) {
	for text, want := range map[string][2]string{
		"a//b": {"a", "b"}, "a//b//c": {"a//b", "c"}, "docker:a//b/": {"docker:a", "b"}, "k8s:n/p/c//b": {"k8s:n/p/c", "b"},
		"a": {}, "/a": {}, "//a": {}, "a//": {}, "/a//b": {}, "./a//b": {}, "a/b": {}, "": {},
	} {
		outer, inner, ok := nestedIn(text)
		if outer != want[0] || inner != want[1] || ok != (want[0] != "") {
			t.Errorf("%q is %q in %q, %v; want %q", text, inner, outer, ok, want)
		}
	}
	one := func(id, name string, pid int) host.Inner {
		in := host.Inner{ID: fakeengine.ID(id), Process: &proc.Process{PID: pid}}
		if name != "" {
			in.Docker = &docker.Container{ID: in.ID, Name: name}
		}
		return in
	}
	list := []host.Inner{one("a1", "web", 1), one("a2", "db", 2), one("b1", "", 3), one("c1", "a", 4)}
	for inner, pid := range map[string]int{"web": 1, "a2": 2, "b1": 3, "a": 4, fakeengine.ID("a1"): 1} {
		if in, err := matchInner(list, "x//"+inner, "x", inner); err != nil || in.Process.PID != pid {
			t.Errorf("%s: %+v, %v, want pid %d", inner, in, err, pid)
		}
	}
	if _, err := matchInner(list, "x//nosuch", "x", "nosuch"); !isA[*NotFoundError](err) {
		t.Errorf("one that is not there: %v", err)
	}
	_, err := matchInner(append(list, one("d1", "web", 5)), "x//web", "x", "web")
	const want = "x//web is ambiguous: x//a10000000000 (pid 1), x//d10000000000 (pid 5)"
	if !isA[*AmbiguousError](err) || err.Error() != want {
		t.Errorf("two of a name: %v, want %s", err, want)
	}
}
