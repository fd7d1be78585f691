package dockerx

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dx/dockerx/internal/testengine"
)

// saying is an engine that only says things: its containers are nowhere.
type saying struct {
	ID, Name string
	State    map[string]any
}

// serve answers as moby does, without Docker.
func serve(t *testing.T, list []saying) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "docker.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.41")
		path := regexp.MustCompile(`^/v[0-9.]+`).ReplaceAllString(r.URL.Path, "")
		switch path {
		case "/_ping":
			io.WriteString(w, "OK")
		case "/version":
			io.WriteString(w, `{"Version":"28.2.2"}`)
		case "/containers/json":
			var out []map[string]any
			for _, c := range list {
				out = append(out, map[string]any{"Id": c.ID, "Names": []string{"/" + c.Name}, "Image": "made", "State": c.State["Status"], "Status": "as made"})
			}
			json.NewEncoder(w).Encode(out)
		default:
			inspect(w, list, strings.TrimSuffix(strings.TrimPrefix(path, "/containers/"), "/json"))
		}
	})}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	return "unix://" + socket
}

func inspect(w http.ResponseWriter, list []saying, ref string) {
	var hits []saying
	for _, c := range list {
		if c.Name == ref || strings.HasPrefix(c.ID, ref) {
			hits = append(hits, c)
		}
	}
	switch len(hits) {
	case 0:
		w.WriteHeader(http.StatusNotFound)
		json.NewEncoder(w).Encode(map[string]string{"message": "No such container: " + ref})
	case 1:
		json.NewEncoder(w).Encode(map[string]any{
			"Id": hits[0].ID, "Name": "/" + hits[0].Name, "State": hits[0].State, "Config": map[string]any{"Image": "made"}, "HostConfig": map[string]any{},
		})
	default:
		w.WriteHeader(http.StatusBadRequest)
		json.NewEncoder(w).Encode(map[string]string{"message": "multiple IDs found with provided prefix: " + ref})
	}
}

func madeList() []saying {
	id := func(head string) string { return head + strings.Repeat("0", 64-len(head)) }
	const nobody = 2147483646 // above PID_MAX_LIMIT
	return []saying{
		{id("ab1"), "made-gone", map[string]any{"Status": "running", "Running": true, "Pid": nobody}},
		{id("ab2"), "made-stopped", map[string]any{"Status": "exited", "ExitCode": 3}},
		{id("cd3"), "made-restarting", map[string]any{"Status": "restarting", "Running": true, "Restarting": true, "Pid": 0}},
		{id("ef4"), "made-empty", map[string]any{"Status": "running", "Running": true, "Pid": 0}},
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
	r, _ := resolverOf(t, serve(t, madeList()), SourceEngine)
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
	host := serve(t, madeList())
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
	r, warnings := resolverOf(t, serve(t, madeList()), SourceEngine)
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
	id := e.Inspect(e.Run(testengine.Default...), "{{.Id}}")
	for state, pid := range map[string]int{"exited": 0, "running": 1<<31 - 2} {
		stopped := saying{id, "made-web", map[string]any{"Status": state, "Running": pid != 0, "Pid": pid}}
		r, _ := resolverOf(t, serve(t, []saying{stopped}), "")
		c, err := r.Resolve(context.Background(), "made-web")
		if err == nil {
			t.Errorf("%s: pid %d of another engine was taken for it", state, c.Process.PID)
			c.Close()
		}
	}
}
