package dockerx

import (
	"bufio"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const listenVariable = "DX_TEST_LISTEN"

// TestListens is no test, but a process that listens and answers nobody, for the others.
func TestListens(t *testing.T) {
	path := os.Getenv(listenVariable)
	if path == "" {
		t.Skip("it is run by others")
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	os.Stdout.WriteString("\nlistens\n")
	for open := []net.Conn{}; ; {
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, conn)
	}
}

// listens starts a process that listens on a socket of its own.
func listens(t *testing.T) (address string, p *os.Process) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	cmd := exec.Command(os.Args[0], "-test.run", "^TestListens$")
	cmd.Env = append(os.Environ(), listenVariable+"="+path)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if lines.Text() == "listens" {
			return "unix://" + path, cmd.Process
		}
	}
	t.Fatal("the process ended before it listened")
	return "", nil
}

// TestStoppedEngineIsNotWaitedFor: with a deadline of a day, dx goes on as soon as the
// kernel says that who listens there is stopped.
func TestStoppedEngineIsNotWaitedFor(t *testing.T) {
	address, p := listens(t)
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var lines []string
	r, err := NewResolver(Options{Host: address, APITimeout: 24 * time.Hour, Warn: func(s string) { lines = append(lines, s) }})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	_, err = r.Resolve(context.Background(), "no-such-container")
	if said := strings.Join(lines, "\n"); !isA[*NotFoundError](err) || !strings.Contains(said, "is stopped (") || !strings.Contains(said, "falling back to host discovery") {
		t.Errorf("%v, %q, want that the host was asked instead, as the engine is stopped", err, lines)
	}
	forced, err := NewResolver(Options{Host: address, APITimeout: 24 * time.Hour, From: SourceEngine})
	if err != nil {
		t.Fatal(err)
	}
	defer forced.Close()
	var halted *haltedError
	if _, err := forced.Resolve(context.Background(), "web"); !isA[*EngineError](err) || !errors.As(err, &halted) || halted.PID != p.Pid {
		t.Errorf("%v, want that pid %d is stopped", err, p.Pid)
	}
}

// TestSilentEngineIsWaitedFor: of a process that runs, or sleeps, nothing is known before
// its time is over.
func TestSilentEngineIsWaitedFor(t *testing.T) {
	address, _ := listens(t)
	r, err := NewResolver(Options{Host: address, APITimeout: 300 * time.Millisecond, From: SourceEngine})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Resolve(context.Background(), "web"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want that it did not answer in time", err)
	}
}
