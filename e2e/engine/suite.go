package engine

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"sync"
	"testing"

	"dx/e2e/janitor"
	"dx/e2e/world"
)

// Suite is what the tests of one package share: the binaries built for them and
// an engine for each cgroup version. Everything is made when first asked for.
type Suite struct {
	mu       sync.Mutex
	scope    *janitor.Scope // holds the binaries
	binaries map[string]build
	engines  map[Cgroup]started
}

type build struct {
	path string
	err  error
}

type started struct {
	engine *Engine
	err    error
}

// AskedEnv is set by who wants the tests that start engines: they take minutes, and
// `go test ./...` is to be quick. NotAsked is what they say without.
const (
	AskedEnv = "DX_TEST_E2E"
	NotAsked = "skipped: these tests start engines; make e2e runs them, or " + AskedEnv + "=1"
)

// Main runs the tests in a world of their own and cleans up; TestMain exits with
// its result.
func (s *Suite) Main(m *testing.M) int {
	if os.Getenv(AskedEnv) == "" {
		fmt.Println(NotAsked)
		return 0
	}
	return world.Enter(func() int {
		code := m.Run()
		if err := s.close(); err != nil {
			fmt.Fprintln(os.Stderr, "left behind:", err)
			return 1
		}
		return code
	})
}

func (s *Suite) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, e := range s.engines {
		if e.engine != nil {
			errs = append(errs, e.engine.Close())
		}
	}
	if s.scope != nil {
		errs = append(errs, s.scope.Close())
	}
	return errors.Join(errs...)
}

// Engine is the shared engine on that cgroup version. A test that stops, kills
// or otherwise spoils an engine takes its own from Start.
func (s *Suite) Engine(t testing.TB, c Cgroup) *Engine {
	t.Helper()
	Require(t, Root, Dockerd, cgroupNeed(c))
	s.mu.Lock()
	defer s.mu.Unlock()
	got, ok := s.engines[c]
	if !ok {
		got.engine, got.err = Start(Options{Cgroup: c})
		if s.engines == nil {
			s.engines = map[Cgroup]started{}
		}
		s.engines[c] = got
	}
	if got.err != nil {
		t.Fatalf("engine on %v: %v", c, got.err)
	}
	got.engine.dx = s.Dx
	return got.engine
}

// Start starts an engine for one test alone.
func (s *Suite) Start(t testing.TB, o Options) *Engine {
	t.Helper()
	Require(t, Root, Dockerd, cgroupNeed(o.Cgroup))
	e, err := Start(o)
	if err != nil {
		t.Fatalf("engine on %v: %v", o.Cgroup, err)
	}
	e.dx = s.Dx
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("left behind: %v", err)
		}
	})
	return e
}

// Dx is the path of dx, built from this tree.
func (s *Suite) Dx(t testing.TB) string {
	t.Helper()
	return s.Build(t, "dx/cmd/dx")
}

// builtEnv names a directory of binaries that were built beforehand, for machines
// without Go.
const builtEnv = "DX_TEST_BIN"

// Build builds a main package as one static file and returns its path.
func (s *Suite) Build(t testing.TB, pkg string) string {
	t.Helper()
	if dir := os.Getenv(builtEnv); dir != "" {
		return filepath.Join(dir, path.Base(pkg))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.binaries[pkg]
	if !ok {
		b.path, b.err = s.build(pkg)
		if s.binaries == nil {
			s.binaries = map[string]build{}
		}
		s.binaries[pkg] = b
	}
	if b.err != nil {
		t.Fatal(b.err)
	}
	return b.path
}

func (s *Suite) build(pkg string) (string, error) {
	if s.scope == nil {
		dir, err := os.MkdirTemp("", "dxb-")
		if err != nil {
			return "", err
		}
		if err := os.Chmod(dir, 0o711); err != nil {
			return "", err
		}
		if s.scope, err = janitor.Start(janitor.Config{Dir: dir}); err != nil {
			return "", err
		}
	}
	out := filepath.Join(s.scope.Dir, path.Base(pkg))
	return out, Build(pkg, out)
}

// Build builds a main package as one static file; dx, so that it begins where the one that is
// published does (cmd/dx/packaging/ldflags).
func Build(pkg, out string) error {
	cmd := exec.Command("go", "build", "-o", out, pkg)
	if pkg == "dx/cmd/dx" {
		cmd = exec.Command("go", "build", "-ldflags", "-E _dx_start", "-o", out, pkg)
	}
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if b, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, b)
	}
	return nil
}
