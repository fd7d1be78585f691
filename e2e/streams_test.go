package e2e

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"dx/e2e/await"
	"dx/e2e/engine"
)

func TestExecStreams(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox)
	same(t, e, c, nil, "sh", "-c", "echo out; echo err >&2; exit 3")
	same(t, e, c, []string{"-t"}, "sh", "-c", "echo out; echo err >&2; exit 3")
	same(t, e, c, nil, "sh", "-c", "cat; echo eof")
	same(t, e, c, nil, "printf", `a\0b\r\n\377`)
	for _, stdin := range []string{"", "one line\n", "no newline", strings.Repeat("x", 1<<20)} {
		for _, flags := range [][]string{nil, {"-i"}} {
			sameWithInput(t, e, c, stdin, flags, "sh", "-c", "wc -c; echo done")
		}
	}
}

func sameWithInput(t *testing.T, e *engine.Engine, c engine.Container, stdin string, flags []string, command ...string) {
	t.Helper()
	run := func(tool ...string) engine.Result {
		args := slices.Concat(tool, []string{"exec"}, flags, []string{c.Name}, command)
		return e.Do(t, engine.Command{Args: args, Stdin: strings.NewReader(stdin)})
	}
	if want, got := run("docker"), run(e.DxArgs(t)...); want != got {
		t.Errorf("%d bytes into exec %q %q\ndocker: %+v\ndx:     %+v", len(stdin), flags, command, want, got)
	}
}

// TestExecKeepsEveryByte sends more than any pipe holds both ways at once.
func TestExecKeepsEveryByte(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox)
	data := make([]byte, 8<<20)
	io.ReadFull(rand.NewChaCha8([32]byte{1}), data)
	r := e.Do(t, engine.Command{Args: append(e.DxArgs(t), "exec", "-i", c.Name, "cat"), Stdin: bytes.NewReader(data)})
	if r.Code != 0 || checksum(data) != checksum([]byte(r.Stdout)) {
		t.Errorf("cat gave back %d of %d bytes, or others: exit %d, stderr %q", len(r.Stdout), len(data), r.Code, r.Stderr)
	}
}

// TestExecEndsWithItsProcess: a grandchild that holds the streams does not hold
// exec for longer than docker's two seconds. It sleeps longer than a command may
// last here.
func TestExecEndsWithItsProcess(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox)
	if r := e.Dx(t, "exec", c.Name, "sh", "-c", "sleep 1000 & echo started"); r.Stdout != "started\n" || r.Code != 0 {
		t.Errorf("exec of what leaves a sleep behind: %v, want started", r)
	}
}

func TestExecExitCodes(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox)
	for _, command := range []string{"true", "false", "exit 3", "exit 255", "kill -TERM $$", "kill -KILL $$", "kill -SEGV $$"} {
		same(t, e, c, nil, "sh", "-c", command)
		same(t, e, c, []string{"-t"}, "sh", "-c", command)
	}
}

// TestExecDetached: exec -d returns before the command ends, which waits for a file
// that comes after that.
func TestExecDetached(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	for i, run := range []program{withDocker, withDx} {
		c := e.Run(t, engine.Busybox)
		script := "echo text; echo err >&2; until [ -e /tmp/go ]; do sleep 0.05; done; echo $$ >/tmp/done; sleep 1000"
		if r := run(t, e, c, []string{"-d"}, []string{"sh", "-c", script}); r != (engine.Result{}) {
			t.Errorf("program %d: exec -d: %v, want exit code 0 and no output", i, r)
		}
		e.MustDocker(t, "exec", c.Name, "touch", "/tmp/go")
		eventually(t, "the detached process runs on", func() bool {
			return e.Docker(t, "exec", c.Name, "test", "-s", "/tmp/done").Code == 0
		})
	}
}

func eventually(t *testing.T, what string, true func() bool) {
	t.Helper()
	await.Until(t, what, true)
}

func checksum(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }

// TestExecPaths: under which path a command runs that is found in PATH, and what is said
// of one that cannot run.
func TestExecPaths(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox)
	e.MustDocker(t, "exec", c.Name, "sh", "-c",
		"printf '#!/bin/sh\necho $0\n' >/probe; echo '#!/nosuch' >/bin/nosh; echo text >/bin/noprogram; chmod +x /probe /bin/nosh /bin/noprogram")
	for _, path := range []string{"/:/bin", "/bin/..:/bin", "//:/bin", "/bin//:/bin"} {
		for _, command := range []string{"probe", "nosh", "noprogram", "/bin/nosh", "/bin/../probe"} {
			same(t, e, c, []string{"-e", "PATH=" + path}, command)
		}
	}
}
