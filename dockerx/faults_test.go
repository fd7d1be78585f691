package dockerx

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dx/dockerx/internal/testengine"
	"dx/e2e/await"
)

// proxy stands before the real engine and spoils what spoil says.
func (e testEngine) proxy(spoil func(http.ResponseWriter, *http.Request) bool, edit func(string) string) string {
	e.T.Helper()
	p := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "engine"})
	network, addr, _ := strings.Cut(e.Host, "://")
	p.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}}
	p.ModifyResponse = func(r *http.Response) error {
		body, err := io.ReadAll(r.Body)
		if err != nil || edit == nil {
			r.Body = io.NopCloser(bytes.NewReader(body))
			return err
		}
		edited := edit(string(body))
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(edited)), int64(len(edited))
		r.Header.Set("Content-Length", fmt.Sprint(len(edited)))
		return nil
	}
	socket := filepath.Join(e.T.TempDir(), "docker.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		e.T.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if spoil == nil || !spoil(w, r) {
			p.ServeHTTP(w, r)
		}
	})}
	go srv.Serve(l)
	e.T.Cleanup(func() { srv.Close() })
	return "unix://" + socket
}

func TestOneHungContainerHidesNoOther(t *testing.T) {
	e := requireEngine(t)
	hung, well := e.Run(testengine.Default...), e.Run(testengine.Default...)
	id := e.Inspect(hung, "{{.Id}}")
	host := e.proxy(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, id) || strings.Contains(r.URL.Path, hung) {
			<-r.Context().Done()
			return true
		}
		return false
	}, nil)
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
		host := e.proxy(nil, func(body string) string { return strings.ReplaceAll(body, pid+",", `"Pid":`+lie+",") })
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
	host := e.proxy(nil, func(body string) string { return strings.ReplaceAll(body, pid+",", `"Pid":0,`) })
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
