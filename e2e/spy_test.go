package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os/exec"
	"path"
	"sync"
	"testing"
	"time"

	"dx/e2e/await"
	"dx/e2e/engine"
)

// watching is how many times the patience of others a test has with a spy, which sees
// only those processes for which it is quick enough.
const watching = 5

// lineSpy runs in a container and prints an observation a line.
type lineSpy[T any] struct {
	cmd   *exec.Cmd
	stdin io.Closer
	ended chan struct{}

	mu   sync.Mutex
	seen []T
}

// spy runs a program of this tree in the container while do is done over and over,
// until what the program saw is enough.
func spy[T any](t *testing.T, e *engine.Engine, c engine.Container, pkg string, args []string, enough func([]T) bool, do func()) []T {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), watching*await.Patience)
	defer cancel()
	s := startSpy[T](ctx, t, e, c, pkg, args)
	for !enough(s.soFar()) {
		if ctx.Err() != nil {
			t.Fatalf("%s has not seen enough in %v: %d observations", pkg, watching*await.Patience, len(s.soFar()))
		}
		do()
		time.Sleep(time.Millisecond) // what it saw is on its way
	}
	s.stdin.Close()
	<-s.ended
	if err := s.cmd.Wait(); err != nil {
		t.Fatalf("%s: %v", pkg, err)
	}
	return s.soFar()
}

func startSpy[T any](ctx context.Context, t *testing.T, e *engine.Engine, c engine.Container, pkg string, args []string) *lineSpy[T] {
	t.Helper()
	name := "/" + path.Base(pkg)
	e.MustDocker(t, "cp", suite.Build(t, pkg), c.Name+":"+name)
	s := &lineSpy[T]{cmd: e.Command(ctx, append([]string{"docker", "exec", "-i", c.Name, name}, args...)...), ended: make(chan struct{})}
	stdin, err := s.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.stdin = stdin
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	out := bufio.NewScanner(stdout)
	out.Buffer(nil, 1<<20)
	if !out.Scan() || out.Text() != "ready" {
		t.Fatalf("%s says %q", pkg, out.Text())
	}
	go s.read(out)
	return s
}

func (s *lineSpy[T]) read(out *bufio.Scanner) {
	defer close(s.ended)
	for out.Scan() {
		var o T
		if err := json.Unmarshal(out.Bytes(), &o); err == nil {
			s.mu.Lock()
			s.seen = append(s.seen, o)
			s.mu.Unlock()
		}
	}
}

func (s *lineSpy[T]) soFar() []T {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen[:len(s.seen):len(s.seen)]
}
