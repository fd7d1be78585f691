package dockerx

import (
	"context"
	"path"
	"strings"
	"testing"

	"dx/e2e/standin"
)

// TestSandboxIsRefused: a shim that was told to run runsc serves no container that could be
// entered, by a name or by a process; one sentence says so.
func TestSandboxIsRefused(t *testing.T) {
	standin.NeedRoot(t)
	s := standin.NewShim(t, standin.ID(t, "5a5a"), "sleep 1000", "sleep 1000")
	r, err := NewResolver(Options{From: SourceHost, Warn: func(line string) { t.Log(line) }})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c, err := r.Resolve(context.Background(), s.ID)
	if err != nil {
		t.Fatalf("with runc: %v", err)
	}
	c.Close()
	root := path.Dir(path.Dir(s.State))
	for _, runtime := range []string{"/usr/bin/runsc", "/opt/kata/bin/kata-runtime"} {
		s.Write(t, s.Bundle+"/options.json", map[string]string{"root": root, "binary_name": runtime})
		c, err := r.Resolve(context.Background(), s.ID)
		name, _, _ := strings.Cut(path.Base(runtime), "-")
		if want := s.ID + " runs in a sandbox of " + name; !isA[*SandboxError](err) || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("with %s: %v, %v, want %q", runtime, c, err, want)
		}
	}
}
