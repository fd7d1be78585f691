package dockerx

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dx/dockerx/internal/testengine"
	"dx/e2e/await"
	"dx/e2e/fakeengine"
)

// edited is the real engine with another text in its answers.
func (e testEngine) edited(old, text string) string {
	e.T.Helper()
	return fakeengine.Edited(e.T, e.Host, func(body []byte) []byte { return bytes.ReplaceAll(body, []byte(old), []byte(text)) })
}

func TestOneHungContainerHidesNoOther(t *testing.T) {
	e := requireEngine(t)
	hung, well := e.Run(testengine.Default...), e.Run(testengine.Default...)
	id := e.Inspect(hung, "{{.Id}}")
	host := fakeengine.Proxy(t, e.Host, func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		if strings.Contains(r.URL.Path, id) || strings.Contains(r.URL.Path, hung) {
			fakeengine.Hung(w, r)
			return
		}
		pass.ServeHTTP(w, r)
	})
	var warnings []string
	r, err := NewResolver(Options{Host: host, From: SourceEngine, APITimeout: 5 * time.Second, Warn: func(s string) { warnings = append(warnings, s) }})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var list []*Container
	await.Returns(t, "a list of which one container hangs", func() { list, err = r.Running(context.Background()) })
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, c := range list {
		names[c.Name] = true
		c.Close()
	}
	if names[hung] || !names[well] {
		t.Errorf("%v, want %s and not %s", names, well, hung)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], hung) {
		t.Errorf("warnings %q, want one about %s", warnings, hung)
	}
	if _, err := r.Resolve(context.Background(), hung); !isA[*EngineError](err) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want a late engine", err)
	}
}

func TestLyingEngine(t *testing.T) {
	e := requireEngine(t)
	name, other := e.Run(testengine.Default...), e.Run(testengine.Default...)
	pid := `"Pid":` + e.Inspect(name, "{{.State.Pid}}")
	for what, lie := range map[string]string{
		"a host process": fmt.Sprint(os.Getpid()),
		"another":        e.Inspect(other, "{{.State.Pid}}"),
		"nobody":         "2147483646",
	} {
		host := e.edited(pid+",", `"Pid":`+lie+",")
		r, err := NewResolver(Options{Host: host, From: SourceEngine, APITimeout: 10 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		c, err := r.Resolve(context.Background(), name)
		if !isA[*StaleError](err) || !strings.Contains(err.Error(), lie) {
			t.Errorf("%s: %+v, %v, want a refusal that names pid %s", what, c, err, lie)
		}
		r.Close()
	}
	host := e.edited(pid+",", `"Pid":0,`)
	r, err := NewResolver(Options{Host: host, From: SourceEngine, APITimeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var state *StateError
	if _, err := r.Resolve(context.Background(), name); !errors.As(err, &state) || state.State != NotRunning {
		t.Errorf("pid 0: %v, want not running", err)
	}
}

func TestNoEngine(t *testing.T) {
	r, err := NewResolver(Options{From: SourceEngine, Host: "unix://" + filepath.Join(t.TempDir(), "absent.sock")})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Resolve(context.Background(), "web"); !isA[*EngineError](err) || !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if _, err := r.Running(context.Background()); !isA[*EngineError](err) {
		t.Error(err)
	}
}
