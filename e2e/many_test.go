package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"dx/e2e/engine"
)

// oneOfMany is an object of dx exec --format json.
type oneOfMany struct {
	Name, ID, Stdout, Stderr string
	ExitCode                 int
}

// TestExecInMany: one command in five containers prints and ends in each as docker exec
// does, in a paused one and in one that ends meanwhile, too.
func TestExecInMany(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	label := e.Name("many")
	run := func(code string) engine.Container {
		return e.Run(t, engine.Busybox, "--label", label, "-e", "CODE="+code)
	}
	good, bad, paused, other, ends := run("0"), run("3"), run("4"), run("0"), run("ends")
	e.MustDocker(t, "pause", paused.Name)
	script := `echo out $CODE; echo err >&2; test $CODE != ends || sleep 600; exit $CODE`

	want, codes := map[string]engine.Result{}, map[string]int{ends.Name: 128 + int(syscall.SIGKILL)} // pid_namespaces(7)
	for _, c := range []engine.Container{good, bad, paused, other} {
		want[c.Name] = e.Docker(t, "exec", c.Name, "sh", "-c", script)
		codes[c.Name] = want[c.Name].Code
	}
	m := startMany(t, e, "--all", "--filter", "label="+label, "--", "sh", "-c", script)
	m.until("out ends")
	if err := syscall.Kill(ends.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	r := m.wait()
	if r.Code != codes[ends.Name] {
		t.Errorf("exit code %d, want the highest of %v", r.Code, codes)
	}
	checkLines(t, r, want)
	for name, code := range codes {
		if listed := strings.Contains(strings.Join(strings.Fields(r.Stderr), " "), fmt.Sprint(" ", name, " ", code)); listed != (code != 0) {
			t.Errorf("%s ended with %d, the table has:\n%s", name, code, r.Stderr)
		}
	}
	e.MustDocker(t, "wait", ends.Name)
	r = e.Dx(t, "exec", "--format", "json", "--filter", "label="+label, "--", "sh", "-c", script)
	if r.Code != codes[bad.Name] {
		t.Errorf("exit code %d, want the highest of %v", r.Code, want)
	}
	checkObjects(t, r.Stdout, want)
}

// checkLines compares what is behind a container's name with what docker exec printed.
func checkLines(t *testing.T, r engine.Result, want map[string]engine.Result) {
	t.Helper()
	for name, w := range want {
		if got := linesOf(r.Stdout, name); got != w.Stdout {
			t.Errorf("stdout of %s: %q, docker's %q", name, got, w.Stdout)
		}
		if got := linesOf(r.Stderr, name); got != w.Stderr {
			t.Errorf("stderr of %s: %q, docker's %q", name, got, w.Stderr)
		}
	}
}

func linesOf(out, name string) (text string) {
	for _, line := range lines(out) {
		if who, rest, ok := strings.Cut(line, " | "); ok && strings.TrimSpace(who) == name {
			text += rest + "\n"
		}
	}
	return text
}

func checkObjects(t *testing.T, out string, want map[string]engine.Result) {
	t.Helper()
	if got := len(lines(out)); got != len(want) {
		t.Errorf("%d objects, want %d:\n%s", got, len(want), out)
	}
	for _, line := range lines(out) {
		var one oneOfMany
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if got := (engine.Result{Stdout: one.Stdout, Stderr: one.Stderr, Code: one.ExitCode}); got != want[one.Name] {
			t.Errorf("%s: %v, docker's: %v", one.Name, got, want[one.Name])
		}
	}
}

// TestSignalToMany: a signal ends the commands that run, and no more are started.
func TestSignalToMany(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	names := []string{e.Run(t, engine.Busybox).Name, e.Run(t, engine.Busybox).Name, e.Run(t, engine.Busybox).Name}
	m := startMany(t, e, "--parallel", "2", "--each", strings.Join(names, ","), "--", "sh", "-c", "echo started; exec sleep 600")
	m.until("started")
	m.until("started")
	if err := m.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	r := m.wait()
	if r.Code != 128+int(syscall.SIGTERM) {
		t.Errorf("exit code %d, want 143", r.Code)
	}
	if want := names[2] + " | dx: interrupted by SIGTERM; the command was not started"; !strings.Contains(r.Stderr, want) || strings.Count(r.Stderr, "not started") != 1 {
		t.Errorf("stderr: %s, want %q once", r.Stderr, want)
	}
}

// many is a dx exec in several containers whose output is read while it runs.
type many struct {
	t      *testing.T
	cmd    *exec.Cmd
	lines  *bufio.Scanner
	result engine.Result
	stderr bytes.Buffer
}

func startMany(t *testing.T, e *engine.Engine, args ...string) *many {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	m := &many{t: t, cmd: e.Command(ctx, slices.Concat(e.DxArgs(t), []string{"exec"}, args)...)}
	stdout, err := m.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	m.cmd.Stderr = &m.stderr
	m.lines = bufio.NewScanner(stdout)
	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return m
}

// until reads lines to the next one that ends so.
func (m *many) until(end string) {
	m.t.Helper()
	for m.lines.Scan() {
		m.result.Stdout += m.lines.Text() + "\n"
		if strings.HasSuffix(m.lines.Text(), end) {
			return
		}
	}
	m.t.Fatalf("no line that ends with %q: %v\n%s", end, m.lines.Err(), m.result.Stdout)
}

// wait reads the rest.
func (m *many) wait() engine.Result {
	for m.lines.Scan() {
		m.result.Stdout += m.lines.Text() + "\n"
	}
	_ = m.cmd.Wait() // the exit code tells
	m.result.Stderr, m.result.Code = m.stderr.String(), m.cmd.ProcessState.ExitCode()
	return m.result
}
