// Package e2e tests dx on real containers of real engines. What is expected
// comes from docker exec, nsenter, lsns and the kernel.
package e2e

import (
	"os"
	"testing"

	"dx/e2e/engine"
)

var suite engine.Suite

func TestMain(m *testing.M) { os.Exit(suite.Main(m)) }

// cgroups are the versions on which everything is tested.
var cgroups = map[string]engine.Cgroup{"v1": engine.V1, "v2": engine.V2}

// onBoth runs a test on an engine of each cgroup version, side by side.
func onBoth(t *testing.T, test func(*testing.T, *engine.Engine)) {
	for name, c := range cgroups {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, suite.Engine(t, c))
		})
	}
}

// onOneThenOther is onBoth for a test that sets what is dx's environment.
func onOneThenOther(t *testing.T, test func(*testing.T, *engine.Engine)) {
	for name, c := range cgroups {
		t.Run(name, func(t *testing.T) { test(t, suite.Engine(t, c)) })
	}
}
