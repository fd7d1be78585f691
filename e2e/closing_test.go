package e2e

import (
	"os"
	"slices"
	"strings"
	"testing"

	"dx/e2e/engine"
)

// TestExecWhenOneSideCloses: either side may close any stream early, or have none.
func TestExecWhenOneSideCloses(t *testing.T) {
	t.Parallel()
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox)
	for _, script := range []string{
		"exec >&-; sleep 0.3; echo err >&2; exit 4",
		"exec 2>&-; echo out; sleep 0.3; exit 5",
		"exec >&- 2>&-; sleep 0.5; exit 6",
		"exec <&- >&- 2>&-; sleep 0.5; kill -TERM $$",
	} {
		same(t, e, c, nil, "sh", "-c", script)
		same(t, e, c, []string{"-t"}, "sh", "-c", script)
	}
	// More than a pipe holds, to a process that does not read it.
	for _, script := range []string{"exec <&-; echo ok", "head -c 5; exec <&-; sleep 0.3; echo ok", "exit 7"} {
		sameWithInput(t, e, c, strings.Repeat("x", 1<<20), []string{"-i"}, "sh", "-c", script)
	}
	for _, redirect := range []string{"<&-", "</dev/null"} {
		sameRedirected(t, e, c, redirect, nil, "sh", "-c", "wc -c; echo done")
		sameRedirected(t, e, c, redirect, []string{"-i"}, "sh", "-c", "wc -c; echo done")
		// Nobody types on this terminal: what reads it would wait for ever.
		sameRedirected(t, e, c, redirect, []string{"-t"}, "sh", "-c", "test -t 0; echo $?")
	}
	// Who has no stdout gets the exit code anyway.
	sameRedirected(t, e, c, ">/dev/full", nil, "sh", "-c", "sleep 0.2; exit 8")
}

// sameRedirected compares two runs from a shell that redirects the streams.
func sameRedirected(t *testing.T, e *engine.Engine, c engine.Container, redirect string, flags []string, command ...string) {
	t.Helper()
	run := func(tool ...string) engine.Result {
		args := slices.Concat([]string{"sh", "-c", `exec "$@" ` + redirect, "sh"}, tool, []string{"exec"}, flags, []string{c.Name}, command)
		return e.Do(t, engine.Command{Args: args, Stdin: strings.NewReader("from the caller\n")})
	}
	if want, got := run("docker"), run(e.DxArgs(t)...); want != got {
		t.Errorf("exec %q %q %s\ndocker: %+v\ndx:     %+v", flags, command, redirect, want, got)
	}
}

// TestExecDoesNotWaitForInput: that the caller's stdin stays open holds nothing up.
func TestExecDoesNotWaitForInput(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox)
	for _, tool := range [][]string{{"docker"}, e.DxArgs(t)} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		got := e.Do(t, engine.Command{Args: slices.Concat(tool, []string{"exec", "-i", c.Name, "echo", "done"}), Stdin: r})
		if want := (engine.Result{Stdout: "done\n"}); got != want {
			t.Errorf("%s with an open stdin: %v, want %v", tool[0], got, want)
		}
		r.Close()
		w.Close()
	}
}

// TestExecCutsStreams: what a grandchild writes soon after the end is delivered,
// what it writes later is not. It begins once the command is gone.
func TestExecCutsStreams(t *testing.T) {
	t.Parallel()
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox)
	const gone = "while kill -0 $$ 2>/dev/null; do sleep 0.05; done; "
	same(t, e, c, nil, "sh", "-c", "("+gone+"echo soon; sleep 1000; echo never) & echo first")
	same(t, e, c, []string{"-i"}, "sh", "-c", "("+gone+"echo soon >&2; sleep 1000; echo never) & exit 3")
}

// TestExecDetachedWith: -d takes the other flags and uses none of the streams.
func TestExecDetachedWith(t *testing.T) {
	t.Parallel()
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox)
	for _, flags := range [][]string{{"-d", "-i"}, {"-d", "-t"}, {"-d", "-it"}, {"-d", "-u", "app"}} {
		var seen []string
		for _, by := range []program{withDocker, withDx} {
			file := e.Name("/tmp/detached")
			script := "(readlink /proc/$$/fd/0; readlink /proc/$$/fd/1; id -u) >" + file + ".new; mv " + file + ".new " + file
			if r := by(t, e, c, flags, []string{"sh", "-c", script}); r != (engine.Result{}) {
				t.Errorf("exec %q: %v, want exit code 0 and no output", flags, r)
			}
			eventually(t, "the command has run", func() bool { return e.Docker(t, "exec", c.Name, "test", "-e", file).Code == 0 })
			seen = append(seen, pts.ReplaceAllString(inode.ReplaceAllString(e.MustDocker(t, "exec", c.Name, "cat", file).Stdout, "$1"), "pts"))
		}
		if seen[0] != seen[1] || seen[0] == "" {
			t.Errorf("%q\ndocker: %q\ndx:     %q", flags, seen[0], seen[1])
		}
	}
}
