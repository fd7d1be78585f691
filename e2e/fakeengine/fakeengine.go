// Package fakeengine is engines that a test serves itself: one that answers as dockerd
// does, with containers that are nowhere, and others that answer wrongly or not at
// all. A real engine is started by package e2e/engine; no program links either.
package fakeengine

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
)

// Version is what an engine says it is, unless a test wants another.
const Version = "28.2.2"

// NoPID is a PID that no Linux has: PID_MAX_LIMIT is 4194304.
const NoPID = 2147483646

// Container is what an engine says of a container. Nothing of it need be true.
type Container struct {
	ID, Name string
	Image    string            // empty: made
	State    map[string]any    // the field of inspect
	Config   map[string]any    // the field of inspect, in which Image is set
	Labels   map[string]string // in the list
	Ports    []map[string]any  // in the list
}

// ID returns a container's ID that begins so.
func ID(head string) string { return head + strings.Repeat("0", 64-len(head)) }

// Running returns a container that runs, with that init.
func Running(id, name string, pid int) Container {
	return Container{ID: id, Name: name, State: map[string]any{
		"Status": "running", "Running": true, "Pid": pid, "StartedAt": "2024-02-03T04:05:06.789Z",
	}}
}

// Engine answers GET requests as moby does (api/swagger.yaml). It may be served by
// several servers at once.
type Engine struct {
	Containers []Container
	Version    string // empty: Version
	Components string // more of the answer to /version, as `,"Components":[…]`

	// Instead is asked about each request before the engine is, if it is set, and
	// reports whether it has answered.
	Instead func(http.ResponseWriter, *http.Request) bool
	// States has the state of the first container, list after list; the last one stays.
	States []string

	lists atomic.Int64
}

var versionInPath = regexp.MustCompile(`^/v[0-9.]+`)

func (e *Engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Api-Version", "1.41")
	if e.Instead != nil && e.Instead(w, r) {
		return
	}
	w.Header().Set("Content-Type", "application/json")
	path := versionInPath.ReplaceAllString(r.URL.Path, "")
	ref, ok := strings.CutPrefix(path, "/containers/")
	switch {
	case path == "/_ping":
		io.WriteString(w, "OK")
	case path == "/version":
		version := e.Version
		if version == "" {
			version = Version
		}
		fmt.Fprintf(w, `{"Version":%q,"ApiVersion":"1.41"%s}`, version, e.Components)
	case path == "/containers/json":
		e.list(w, r.URL.Query().Get("all") == "1")
	case ok && strings.HasSuffix(ref, "/json"):
		e.inspect(w, strings.TrimSuffix(ref, "/json"))
	default:
		refuse(w, http.StatusNotFound, "page not found")
	}
}

// list answers as docker ps asks: without all, who runs (moby, daemon/list.go).
func (e *Engine) list(w http.ResponseWriter, all bool) {
	n := int(e.lists.Add(1)) - 1
	out := []map[string]any{}
	for i, c := range e.Containers {
		if c.State["Running"] != true && !all {
			continue
		}
		state := c.State["Status"]
		if i == 0 && len(e.States) > 0 {
			state = e.States[min(n, len(e.States)-1)]
		}
		out = append(out, map[string]any{
			"Id": c.ID, "Names": []string{"/" + c.Name}, "Image": c.image(), "State": state, "Status": "Up 5 minutes",
			"Labels": c.Labels, "Ports": c.ports(), "Command": "sleep 100000000000000000000",
			"Created": created - i,
		})
	}
	json.NewEncoder(w).Encode(out)
}

// inspect knows a name before a prefix of an ID (moby, daemon/container.go).
func (e *Engine) inspect(w http.ResponseWriter, ref string) {
	hits := slices.DeleteFunc(slices.Clone(e.Containers), func(c Container) bool { return c.Name != strings.TrimPrefix(ref, "/") })
	if len(hits) == 0 {
		hits = slices.DeleteFunc(slices.Clone(e.Containers), func(c Container) bool { return !strings.HasPrefix(c.ID, ref) })
	}
	switch len(hits) {
	case 0:
		refuse(w, http.StatusNotFound, "No such container: "+ref)
	case 1:
		json.NewEncoder(w).Encode(hits[0].details())
	default:
		refuse(w, http.StatusBadRequest, "multiple IDs found with provided prefix: "+ref)
	}
}

// created is when the first container was created; each other is a second older.
const created = 1706933106

func (c Container) ports() []map[string]any {
	if c.Ports == nil {
		return []map[string]any{}
	}
	return c.Ports
}

func (c Container) image() string {
	if c.Image == "" {
		return "made"
	}
	return c.Image
}

func (c Container) details() map[string]any {
	config := map[string]any{"Image": c.image()}
	for name, value := range c.Config {
		config[name] = value
	}
	return map[string]any{
		"Id": c.ID, "Name": "/" + c.Name, "Path": "sleep", "State": c.State, "Config": config, "HostConfig": map[string]any{},
	}
}

// refuse answers as moby refuses (api/server/httputils).
func refuse(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"message": text})
}

// IsPing reports whether a request only asks whether an engine is there.
func IsPing(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/_ping") }
