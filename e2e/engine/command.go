package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// commandTime bounds every command that a test runs.
var commandTime = patience(60 * time.Second)

// apiTime is how long dx waits for each answer of an engine.
var apiTime = patience(20 * time.Second)

// Result is what a command did.
type Result struct {
	Stdout string
	Stderr string
	Code   int // as a shell has it: 128+n when killed by signal n
}

// String is the result in words, for messages.
func (r Result) String() string {
	return fmt.Sprintf("exit code %d, stdout %q, stderr %q", r.Code, clip(r.Stdout), clip(r.Stderr))
}

// clip keeps a message readable. What went wrong is said at the end.
func clip(s string) string {
	const most = 4000
	if len(s) <= most {
		return s
	}
	return fmt.Sprintf("(%d bytes) … %s", len(s), s[len(s)-most:])
}

// Command describes one run of a program against an engine.
type Command struct {
	Args  []string // program and arguments
	Stdin io.Reader
	Env   []string // added to the caller's environment
}

// Command prepares a program that runs where the engine's clients must run: in
// its mount namespace, with DOCKER_HOST set and without the caller's own docker
// configuration.
func (e *Engine) Command(ctx context.Context, args ...string) *exec.Cmd {
	if e.private {
		args = slices.Concat([]string{"nsenter", "-m", "-t", strconv.Itoa(e.scope.PID), "--"}, args)
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+e.Host, "DOCKER_CONFIG="+e.Dir+"/config")
	return cmd
}

// Do runs a command; a failure to run it at all ends the test.
func (e *Engine) Do(t testing.TB, c Command) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandTime)
	defer cancel()
	cmd := e.Command(ctx, c.Args...)
	cmd.Env = append(cmd.Env, c.Env...)
	cmd.Stdin = c.Stdin
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	// A grandchild that holds a stream must not hold the test.
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Run()
	if ctx.Err() != nil {
		t.Fatalf("%q does not end within %v\nstdout: %s\nstderr: %s", c.Args, commandTime, &stdout, &stderr)
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%q: %v", c.Args, err)
	}
	return Result{Stdout: stdout.String(), Stderr: stderr.String(), Code: exitCode(cmd.ProcessState)}
}

func exitCode(s *os.ProcessState) int {
	if ws, ok := s.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return s.ExitCode()
}

// Docker runs the docker CLI.
func (e *Engine) Docker(t testing.TB, args ...string) Result {
	t.Helper()
	return e.Do(t, Command{Args: slices.Concat([]string{"docker"}, args)})
}

// Dx runs the dx under test.
func (e *Engine) Dx(t testing.TB, args ...string) Result {
	t.Helper()
	return e.Do(t, Command{Args: slices.Concat(e.DxArgs(t), args)})
}

// DxArgs is how tests begin a command line of dx: an engine on a busy test
// machine may take longer than dx waits by default.
func (e *Engine) DxArgs(t testing.TB) []string {
	t.Helper()
	return []string{e.DxPath(t), "--api-timeout", apiTime.String()}
}

// DxPath is the dx under test.
func (e *Engine) DxPath(t testing.TB) string {
	t.Helper()
	if e.dx == nil {
		t.Fatal("this engine was started without a dx")
	}
	return e.dx(t)
}
