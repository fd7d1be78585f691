package e2e

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"dx/e2e/engine"
)

var updateTour = flag.Bool("update", false, "write the output of docs/tour.md")

const tourPath = "../docs/tour.md"

// tourStep is a command of docs/tour.md and what the reader is told it prints.
type tourStep struct {
	section int
	command string
	output  []string
}

// readTour takes the blocks that begin with ```console. A line "# …" is a command.
func readTour(text string) (steps []tourStep) {
	inside, section := false, 0
	for _, line := range strings.Split(text, "\n") {
		command, isCommand := strings.CutPrefix(line, "# ")
		switch {
		case strings.HasPrefix(line, "## "):
			section++
		case strings.HasPrefix(line, "```"):
			inside = line == "```console"
		case inside && isCommand:
			steps = append(steps, tourStep{section: section, command: command})
		case inside:
			last := &steps[len(steps)-1]
			last.output = append(last.output, line)
		}
	}
	return steps
}

// runTour runs the commands in one shell, which has dx, docker and busybox.
func runTour(t *testing.T, e *engine.Engine, steps []tourStep) [][]string {
	t.Helper()
	dir, err := os.MkdirTemp("", "dxt-") // not TempDir: everybody must be able to pass
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	dx := fmt.Sprintf("#!/bin/sh\nexec %s \"$@\"\n", strings.Join(e.DxArgs(t), " "))
	if err := os.WriteFile(filepath.Join(dir, "dx"), []byte(dx), 0o755); err != nil {
		t.Fatal(err)
	}
	// Whatever fails half-way leaves nothing.
	script := "umask 022; PATH=" + dir + ":$PATH; cd " + dir + "; trap 'kill -KILL $pid 2>/dev/null; docker rm -f web >/dev/null 2>&1' EXIT\n"
	for i, s := range steps {
		script += fmt.Sprintf("echo; echo @@%d\n%s\n", i, s.command)
	}
	r := e.Do(t, engine.Command{Args: []string{"bash", "-c", "exec 2>&1\n" + script}})
	var outputs [][]string
	for i, part := range regexp.MustCompile(`\n@@\d+\n`).Split(r.Stdout, -1) {
		if part = strings.TrimRight(part, "\n"); i == 0 {
			continue
		}
		var lines []string
		for _, line := range strings.Split(part, "\n") {
			if line = strings.TrimRight(line, " "); part != "" {
				lines = append(lines, line)
			}
		}
		outputs = append(outputs, lines)
	}
	if len(outputs) != len(steps) {
		t.Fatalf("%d of %d commands ran, and then: %v", len(outputs), len(steps), r)
	}
	return outputs
}

var (
	changing = regexp.MustCompile(`\b([0-9a-f]{12,}|[0-9]{3,})\b`)
	spaces   = regexp.MustCompile(` +`)
)

// renumber replaces PIDs, inodes and container IDs by the order of their first
// appearance in the section: two that were the same have to be the same again, and
// two that differed have to differ. Not so across sections: what one shows may be
// gone in the next, and then the kernel may give its number to something new.
func renumber(steps []tourStep, outputs [][]string) (out [][]string) {
	var seen map[string]string
	section := -1
	for i, lines := range outputs {
		if steps[i].section != section {
			section, seen = steps[i].section, map[string]string{}
		}
		var to []string
		for _, line := range lines {
			line = changing.ReplaceAllStringFunc(line, func(id string) string {
				if seen[id] == "" {
					seen[id] = fmt.Sprintf("<%d>", len(seen)+1)
				}
				return seen[id]
			})
			to = append(to, strings.TrimSpace(spaces.ReplaceAllString(line, " ")))
		}
		out = append(out, to)
	}
	return out
}

// TestTour: docs/tour.md prints what its commands print.
func TestTour(t *testing.T) {
	e := suite.Start(t, engine.Options{})
	e.MustDocker(t, "tag", engine.Busybox, "busybox")
	text, err := os.ReadFile(tourPath)
	if err != nil {
		t.Fatal(err)
	}
	steps := readTour(string(text))
	got := runTour(t, e, steps)
	if *updateTour {
		writeTour(t, string(text), got)
		return
	}
	var want [][]string
	for _, s := range steps {
		want = append(want, s.output)
	}
	want, renumbered := renumber(steps, want), renumber(steps, got)
	for i, s := range steps {
		if w, g := strings.Join(want[i], "\n"), strings.Join(renumbered[i], "\n"); w != g {
			t.Errorf("# %s\ndocs/tour.md says\n%s\nand it is\n%s\n(%q)", s.command, w, g, got[i])
		}
	}
}

// writeTour puts the outputs below their commands.
func writeTour(t *testing.T, text string, outputs [][]string) {
	t.Helper()
	var out []string
	inside, next := false, 0
	for _, line := range strings.Split(text, "\n") {
		switch {
		case strings.HasPrefix(line, "```"):
			inside = line == "```console"
			out = append(out, line)
		case inside && strings.HasPrefix(line, "# "):
			out = append(append(out, line), outputs[next]...)
			next++
		case !inside:
			out = append(out, line)
		}
	}
	if err := os.WriteFile(tourPath, []byte(strings.Join(out, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
}
