package dockerx

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dx/dockerx/internal/testengine"
	"dx/e2e/fakeengine"
)

// serveContainers is an engine that only says things: its containers are nowhere.
func serveContainers(t *testing.T, list []fakeengine.Container) string {
	t.Helper()
	return fakeengine.Serve(t, &fakeengine.Engine{Containers: list})
}

// stateOf is what an engine says of a container, in the fields of inspect.
func stateOf(id, name string, state map[string]any) fakeengine.Container {
	return fakeengine.Container{ID: id, Name: name, State: state}
}

func madeList() []fakeengine.Container {
	return []fakeengine.Container{
		fakeengine.Running(fakeengine.ID("ab1"), "made-gone", fakeengine.NoPID),
		stateOf(fakeengine.ID("ab2"), "made-stopped", map[string]any{"Status": "exited", "ExitCode": 3}),
		stateOf(fakeengine.ID("cd3"), "made-restarting", map[string]any{"Status": "restarting", "Running": true, "Restarting": true, "Pid": 0}),
		fakeengine.Running(fakeengine.ID("ef4"), "made-empty", 0),
	}
}

// resolverOf asks that engine alone, with all the time that it needs.
func resolverOf(t *testing.T, host string, from Source) (*Resolver, func() []string) {
	t.Helper()
	var mu sync.Mutex
	var warnings []string
	r, err := NewResolver(Options{Host: host, From: from, APITimeout: time.Minute, Warn: func(s string) {
		mu.Lock()
		defer mu.Unlock()
		warnings = append(warnings, s)
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(warnings)
	}
}

// TestWhatAnEngineSays: the errors are moby's (daemon/container.go, daemon/exec.go).
func TestWhatAnEngineSays(t *testing.T) {
	r, _ := resolverOf(t, serveContainers(t, madeList()), SourceEngine)
	for ref, want := range map[string]string{
		"made-none": "No such container: made-none", "/made-none": "No such container: /made-none", "../x": "no container can be called so: No such container: ../x",
		"ab":              "multiple IDs found with provided prefix: ab",
		"made-stopped":    "container ab2" + strings.Repeat("0", 61) + " is not running",
		"ab2":             "container ab2" + strings.Repeat("0", 61) + " is not running",
		"made-restarting": "Container cd3" + strings.Repeat("0", 61) + " is restarting, wait until the container is running",
		"made-empty":      "container ef4" + strings.Repeat("0", 61) + " is not running",
		"made-gone":       "engine says that made-gone is pid 2147483646, but that process is gone or a zombie",
	} {
		c, err := r.Resolve(context.Background(), ref)
		if c != nil {
			c.Close()
		}
		if err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", ref, err, want)
		}
	}
	if v := r.Versions(context.Background()); v.Engine != "28.2.2" {
		t.Errorf("the versions are %+v, want 28.2.2 of the engine", v)
	}
}

// TestListOfAnEngine: what runs only by its word is marked, and all else is as it says. It
// is no dockerd of this host: that its processes are gone is more than dx can know.
func TestListOfAnEngine(t *testing.T) {
	host := serveContainers(t, madeList())
	for all, want := range map[bool]string{
		false: "made-empty -; made-gone -; made-restarting -",
		true:  "made-empty -; made-gone -; made-restarting -; made-stopped -",
	} {
		r, warnings := resolverOf(t, host, "")
		list, err := r.List(context.Background(), all)
		if err != nil {
			t.Fatal(err)
		}
		// Containers of others run on this machine, too.
		list = slices.DeleteFunc(list, func(l Listed) bool { return !strings.HasPrefix(l.Name, "made-") })
		slices.SortFunc(list, func(a, b Listed) int { return cmp.Compare(a.Name, b.Name) })
		var got []string
		for _, l := range list {
			pid := "-"
			if l.PID != 0 {
				pid = fmt.Sprint(l.PID)
			}
			got = append(got, l.Name+" "+pid)
			if marked := strings.HasSuffix(l.Status, "(unverified)"); marked != (l.State == "running") || l.Engine != host {
				t.Errorf("all %v: %s is %q (%s), of %s", all, l.Name, l.Status, l.State, l.Engine)
			}
		}
		if text := strings.Join(got, "; "); text != want {
			t.Errorf("all %v: %s, want %s; warnings %q", all, text, want, warnings())
		}
	}
}

// TestRunningOfAnEngine: one that cannot be had is left out, with a warning.
func TestRunningOfAnEngine(t *testing.T) {
	r, warnings := resolverOf(t, serveContainers(t, madeList()), SourceEngine)
	list, err := r.Running(context.Background())
	if err != nil || len(list) > 0 {
		t.Errorf("%d run, %v, want none", len(list), err)
	}
	text := strings.Join(warnings(), "\n")
	if strings.Count(text, "made-gone is left out: ") != 1 || !strings.Contains(text, "is pid 2147483646") {
		t.Errorf("the warnings are %q, want one about made-gone", text)
	}
}

// TestSources: the three that the command line has, and no other.
func TestSources(t *testing.T) {
	for text, want := range map[string]Source{"auto": "", "engine": SourceEngine, "host": SourceHost} {
		if got, err := ParseSource(text); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	if got, err := ParseSource("kernel"); err == nil {
		t.Errorf("kernel is taken for %v", got)
	}
}

// TestNotRunningHere: a container that an engine calls stopped is not that of another
// engine, which has the same ID since its data root was copied.
func TestNotRunningHere(t *testing.T) {
	e := requireEngine(t)
	root := t.TempDir()
	for _, dir := range []string{"containers", "volumes"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	open, err := os.Create(filepath.Join(root, "volumes", "metadata.db")) // by which a dockerd is known
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	name := e.Run(testengine.Default...)
	id, real := e.Inspect(name, "{{.Id}}"), e.Inspect(name, "{{.State.Pid}}")
	for state, pid := range map[string]int{"exited": 0, "running": 1<<31 - 2} {
		stopped := stateOf(id, "made-web", map[string]any{"Status": state, "Running": pid != 0, "Pid": pid})
		r, _ := resolverOf(t, serveContainers(t, []fakeengine.Container{stopped}), "")
		c, err := r.Resolve(context.Background(), "made-web")
		if err == nil {
			t.Errorf("%s: pid %d of another engine was taken for it", state, c.Process.PID)
			c.Close()
		}
		list, err := r.List(context.Background(), true)
		if err != nil {
			t.Fatal(err)
		}
		rows := map[bool]int{} // PIDs, by whether the engine's own list has it
		for _, l := range list {
			if l.ID == id {
				rows[l.Name == "made-web"] = l.PID
			}
		}
		if rows[true] != 0 || fmt.Sprint(rows[false]) != real {
			t.Errorf("%s: the list has PIDs %v, want none for the engine's own and %s for the other's", state, rows, real)
		}
	}
}
