package dockerx

import (
	"testing"
	"time"

	"dx/dockerx/internal/testengine"
)

// testEngine is a real engine, and what these tests do with one.
type testEngine struct{ *testengine.Engine }

func requireEngine(t *testing.T) testEngine {
	t.Helper()
	return testEngine{testengine.Require(t)}
}

func (e testEngine) resolver() *Resolver {
	e.T.Helper()
	r, err := NewResolver(Options{Host: e.Host, From: SourceEngine, APITimeout: 10 * time.Second, Warn: func(s string) { e.T.Error("warning: ", s) }})
	if err != nil {
		e.T.Fatal(err)
	}
	e.T.Cleanup(func() { r.Close() })
	return r
}
