package execspec

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"dx/dockerx/host"
)

func vars(list ...string) []variable {
	var out []variable
	for _, e := range list {
		out = append(out, variable{entry: e})
	}
	return out
}

// What moby's TestReplaceAndAppendEnvVars (container/env_test.go) and docker exec
// against dockerd 20.10 show.
func TestOverride(t *testing.T) {
	for _, c := range []struct{ base, overrides, want []string }{
		{[]string{"HOME=/", "FOO=foo_default"}, []string{"HOME=/root", "TERM=xterm", "FOO", "BAR"}, []string{"HOME=/root", "TERM=xterm"}},
		{[]string{"A=1", "B=2"}, []string{"B=3", "C=4"}, []string{"A=1", "B=3", "C=4"}},
		{[]string{"P=1"}, []string{"A=1", "A=2"}, []string{"P=1", "A=1", "A=2"}},
		{[]string{"P=1"}, []string{"A=1", "A"}, []string{"P=1", "A=1"}},
		{[]string{"P=1", "Q=2"}, []string{"P", "P=3"}, []string{"P=3", "Q=2"}},
		{[]string{"P=1"}, []string{"P=", "E=a=b"}, []string{"P=", "E=a=b"}},
	} {
		if diff := cmp.Diff(c.want, entries(override(vars(c.base...), c.overrides, ""))); diff != "" {
			t.Errorf("%v over %v: %s", c.overrides, c.base, diff)
		}
	}
}

// runc 1.1 and 1.3 as their sources say: see keepFirstPlace and keepLast.
func TestDuplicates(t *testing.T) {
	list := vars("A=1", "B=2", "A=3", "C=4", "B=5")
	if diff := cmp.Diff([]string{"A=3", "B=5", "C=4"}, entries(keepFirstPlace(list))); diff != "" {
		t.Errorf("runc 1.1: %s", diff)
	}
	if diff := cmp.Diff([]string{"A=3", "C=4", "B=5"}, entries(keepLast(list))); diff != "" {
		t.Errorf("runc 1.3: %s", diff)
	}
}

func TestRuncGeneration(t *testing.T) {
	for version, want := range map[string]bool{
		"1.0.2-dev": false, "1.2.0": false, "1.2.1": true, "1.3.0": true, "1.10.0": true, "": false, "x": false, "1.x.0": false,
	} {
		if got := sinceRunc13(&host.State{SpecVersion: version}); got != want {
			t.Errorf("%q: %v, want %v", version, got, want)
		}
	}
	if sinceRunc13(nil) {
		t.Error("without a state the runtime counts as old")
	}
}

// The variables of legacy links stand between dockerd's own and those that the
// configuration appends (moby container/container.go, CreateDaemonEnvironment).
func TestLinkVariables(t *testing.T) {
	links := []string{"DB_PORT=tcp://172.17.0.2:5432", "DB_NAME=/web/db"}
	for name, c := range map[string]struct {
		tty     bool
		started []string
	}{
		"plain":         {false, append(append([]string{"PATH=/bin", "HOSTNAME=h"}, links...), "A=1", "B=2")},
		"with terminal": {true, append(append([]string{"PATH=/bin", "HOSTNAME=h", "TERM=xterm"}, links...), "A=1", "B=2")},
	} {
		got := linkVariables(&config{Linked: true, Tty: c.tty, Env: []string{"PATH=/bin", "A=1", "B=2"}}, c.started)
		if diff := cmp.Diff(links, got); diff != "" {
			t.Errorf("%s: the variables of links (-want +got):\n%s", name, diff)
		}
	}
	if got := linkVariables(&config{Linked: true, Env: []string{"A=1"}}, []string{"PATH=/bin", "HOSTNAME=h", "A=1"}); len(got) != 0 {
		t.Errorf("no link variables, but %q", got)
	}
}
