package engine

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"dx/dockerx/plain"
	"dx/dockerx/plain/plaintest"
	"dx/e2e/await"
	"dx/e2e/fakeengine"
)

// timeout is for engines that do not answer; those that do have await.Patience.
const timeout = 200 * time.Millisecond

// serve answers HTTP on a unix socket.
func serve(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	return dial(t, strings.TrimPrefix(fakeengine.Serve(t, h), "unix://"))
}

func dial(t *testing.T, socket string) *Client {
	t.Helper()
	c, err := New(Address{Host: "unix://" + socket}, await.Patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func file(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// recorded answers as dockerd 20.10 did when the files were recorded.
func recorded(t *testing.T) http.HandlerFunc {
	inspect, list := file(t, "inspect.json"), file(t, "list.json")
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.41")
		w.Header().Set("Content-Type", "application/json")
		switch {
		case strings.HasSuffix(r.URL.Path, "/_ping"):
			w.Write([]byte("OK"))
		case strings.HasSuffix(r.URL.Path, "/containers/json"):
			w.Write(list)
		case strings.HasSuffix(r.URL.Path, "/containers/web/json"):
			w.Write(inspect)
		case strings.HasSuffix(r.URL.Path, "/version"):
			w.Write([]byte(`{"Version":"20.10.24","Components":[{"Name":"Engine","Version":"20.10.24"},{"Name":"containerd","Version":"1.6.20"},{"Name":"runc","Version":"1.1.5"}]}`))
		default:
			w.WriteHeader(http.StatusNotFound)
			w.Write([]byte(`{"message":"No such container: x"}`))
		}
	}
}

func TestAnswers(t *testing.T) {
	c := serve(t, recorded(t))
	ctx := context.Background()
	d, err := c.Inspect(ctx, "web")
	if err != nil {
		t.Fatal(err)
	}
	config := d.Config
	if d.Name != "web" || d.State.Pid != 24445 || !d.State.Running || config.Hostname != "box" || config.User != "app" || config.WorkingDir != "/etc" ||
		len(config.Env) != 2 || d.HostConfig.GroupAdd[0] != "staff" || config.Image != "dx-test" {
		t.Errorf("inspect says %+v, want what testdata/inspect.json has", d)
	}
	list, err := c.List(ctx, false)
	if err != nil || len(list) != 1 || list[0].Name != "web" || list[0].ID != d.ID || list[0].State != "running" || list[0].Labels["tier"] != "front" {
		t.Errorf("list says %+v, %v, want what testdata/list.json has", list, err)
	}
	if v, err := c.Versions(ctx); v != (Versions{Engine: "20.10.24", Containerd: "1.6.20", Runc: "1.1.5"}) || err != nil {
		t.Errorf("versions are %q, %v, want those that the engine was asked to give", v, err)
	}
	if err := c.Ping(ctx); err != nil {
		t.Error(err)
	}
	if _, err := c.Inspect(ctx, "absent"); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v, want not found", err)
	}
}

// TestTCP: what goes past the API client must meet the same engine, and for TLS ask for
// the name that its certificate has.
func TestTCP(t *testing.T) {
	plain, secure := httptest.NewServer(recorded(t)), httptest.NewTLSServer(recorded(t))
	t.Cleanup(plain.Close)
	t.Cleanup(secure.Close)
	roots := x509.NewCertPool()
	roots.AddCert(secure.Certificate())
	for _, a := range []Address{
		{Host: "tcp://" + plain.Listener.Addr().String()},
		{Host: "tcp://" + secure.Listener.Addr().String(), TLS: &tls.Config{RootCAs: roots}},
	} {
		c, err := New(a, await.Patience)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if d, err := c.Inspect(context.Background(), "web"); err != nil || d.Name != "web" {
			t.Errorf("inspect at %s: %+v, %v", a.Host, d, err)
		}
		if list, err := c.List(context.Background(), false); err != nil || len(list) != 1 {
			t.Errorf("list at %s: %+v, %v", a.Host, list, err)
		}
	}
}

// TestPartOfAnAnswer: an engine that leaves out State has not said that the container
// does not run.
func TestPartOfAnAnswer(t *testing.T) {
	id := strings.Repeat("ab", 32)
	for _, answer := range []string{
		`null`, `{}`, `{"Id":"` + id + `"}`, `{"Id":"` + id + `","State":null,"Config":{},"HostConfig":{}}`,
		`{"Id":"` + id + `","State":{"Running":true},"Config":{}}`,
	} {
		c := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(answer)) })
		var e *Error
		if d, err := c.Inspect(context.Background(), "web"); !errors.As(err, &e) {
			t.Errorf("%s: %+v, %v, want an engine error", answer, d, err)
		}
		if list, err := c.List(context.Background(), false); !errors.As(err, &e) {
			t.Errorf("%s, as a list: %+v, %v, want an engine error", answer, list, err)
		}
	}
}

// TestPlainList: what is read of an engine's list without encoding/json is what that reads.
func TestPlainList(t *testing.T) {
	read := func(l *listed, r *plain.Reader) { l.read(r) }
	if text := plaintest.Filled[listed](t); !plaintest.Same(t, text, read) {
		t.Errorf("%s is left to encoding/json", text)
	}
	for _, text := range []string{string(file(t, "list.json")), "[]", `[null,{"Id":"x","Ports":null,"Labels":null}]`, `[{"NetworkSettings":{"Networks":{"a":null}}}]`} {
		var got kept
		if !plain.Read([]byte(text), got.read) {
			t.Errorf("%s is left to encoding/json", text)
		}
		want, err := decodeList(newBounded(nil, maxAnswer), strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got.all); diff != "" || got.err != nil {
			t.Errorf("%s: %v (-encoding/json +plain):\n%s", text, got.err, diff)
		}
	}
}

func FuzzList(f *testing.F) {
	f.Add([]byte(`[{"Id":"x","Names":["/web"],"Ports":[{"PrivatePort":80,"Type":"tcp"}],"Labels":{"a":"b"}}]`))
	f.Add([]byte(`[{"NetworkSettings":{"Networks":{"a":null,"b":{"NetworkID":"y"}}},"Mounts":[{"Name":"v"}]}, null]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		plaintest.Same(t, text, func(l *listed, r *plain.Reader) { l.read(r) })
		var got kept
		if !plain.Read(text, got.read) {
			return
		}
		want, err := decodeList(newBounded(nil, maxAnswer), bytes.NewReader(text))
		if diff := cmp.Diff(want, got.all); diff != "" || fmt.Sprint(err) != fmt.Sprint(got.err) {
			t.Errorf("%q: %v, want %v (-encoding/json +plain):\n%s", text, got.err, err, diff)
		}
	})
}

// TestLongList: what follows the part that is read at once belongs to the list too.
func TestLongList(t *testing.T) {
	const n = 40
	entry := `{"Id":"x","Labels":{"a":"` + strings.Repeat("b", maxAtOnce/n) + `"}}`
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "[%s%s]", entry, strings.Repeat(","+entry, n))
	})
	list, err := c.List(context.Background(), true)
	if err != nil || len(list) != n+1 {
		t.Errorf("%d containers, %v, want %d", len(list), err, n+1)
	}
}

func TestOwnName(t *testing.T) {
	for _, name := range []string{"host:", "pid:1", "docker:web", "-v", "", "a b"} {
		if got := ownName([]string{"/" + name}); got != "" {
			t.Errorf("an engine's container is called %q, which might be a reference of another kind", got)
		}
	}
	if got := ownName([]string{"/web/db", "/db"}); got != "db" {
		t.Errorf("own name is %q, want that without a link's slash, db", got)
	}
}

// calls are all that can hang.
func calls(c *Client) map[string]func() error {
	ctx := context.Background()
	return map[string]func() error{
		"inspect": func() error { _, err := c.Inspect(ctx, "web"); return err },
		"list":    func() error { _, err := c.List(ctx, false); return err },
		"version": func() error { _, err := c.Versions(ctx); return err },
		"ping":    func() error { return c.Ping(ctx) },
	}
}

// fails fails unless every call ends, with an Error that is want.
func fails(t *testing.T, c *Client, want error) {
	t.Helper()
	for name, call := range calls(c) {
		var err error
		await.Returns(t, name+" of an engine that gives no answer", func() { err = call() })
		var e *Error
		if !errors.As(err, &e) || e.Host != c.Host() || (want != nil && !errors.Is(err, want)) {
			t.Errorf("%s: %v, want an engine error with %v", name, err, want)
		}
	}
}

// impatient is a client that waits no longer than timeout.
func impatient(c *Client) *Client {
	c.timeout = timeout
	return c
}

func TestSilentEngine(t *testing.T) {
	fails(t, impatient(serve(t, fakeengine.Hung)), context.DeadlineExceeded)
}

func TestSlowEngine(t *testing.T) {
	fails(t, impatient(serve(t, func(w http.ResponseWriter, r *http.Request) {
		if fakeengine.IsPing(r) { // a ping has no body
			fakeengine.Hung(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fakeengine.Sick["slow"](w, r)
	})), context.DeadlineExceeded)
}

func TestInspectHangsWhileListAnswers(t *testing.T) {
	answer := recorded(t)
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/web/json") {
			fakeengine.Hung(w, r)
		}
		answer(w, r)
	})
	c.timeout = timeout
	if _, err := c.Inspect(context.Background(), "web"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("inspect: %v, want an exceeded deadline", err)
	}
	c.timeout = await.Patience
	if list, err := c.List(context.Background(), false); err != nil || len(list) != 1 {
		t.Errorf("list after it: %v, %v", list, err)
	}
}

func TestBadAnswers(t *testing.T) {
	bodies := map[string]http.HandlerFunc{
		"garbage": func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("\x00\xffgarbage")) },
		"half": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			w.Write([]byte(`{"Id":"x",`))
		},
		"empty object": func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("{}")) },
	}
	for name, h := range bodies {
		t.Run(name, func(t *testing.T) {
			_, err := serve(t, h).Inspect(context.Background(), "web")
			var e *Error
			if !errors.As(err, &e) {
				t.Errorf("%v, want an engine error", err)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	for _, code := range []int{http.StatusBadRequest, http.StatusInternalServerError} {
		c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(code)
			w.Write([]byte(`{"message":"no"}`))
		})
		if _, err := c.Inspect(context.Background(), "web"); !errors.Is(err, ErrRefused) {
			t.Errorf("status %d: %v, want a refusal", code, err)
		}
	}
}

// TestEndlessAnswerIsBounded: whatever it is that an engine sends without end, the
// reason is its size, not the deadline.
func TestEndlessAnswerIsBounded(t *testing.T) {
	list := func(c *Client) error { _, err := c.List(context.Background(), false); return err }
	inspect := func(c *Client) error { _, err := c.Inspect(context.Background(), "web"); return err }
	versions := func(c *Client) error { _, err := c.Versions(context.Background()); return err }
	for name, test := range map[string]struct {
		ask         func(*Client) error
		status      int
		begin, more string
		want        string
	}{
		"spaces":     {list, 200, "", " ", "one container's part"},
		"containers": {list, 200, "[{}", `,{"Id":"x"}`, "the list, with more than"},
		"no fields":  {list, 200, "[{}", `,{}`, "the list, with more than"},
		"a name":     {list, 200, `[{"Id":"`, "x", "one container's part of the answer is larger than 1 MiB"},
		"labels":     {list, 200, `[{"Labels":{"a":""`, `,"a":""`, "one container's part"},
		"unknown":    {list, 200, `[{"Unknown":[0`, ",0", "one container's part"},
		"details":    {inspect, 200, `{"Id":"`, "x", "larger than 2 MiB"},
		"versions":   {versions, 200, `{"Version":"`, "x", "larger than 256 KiB"},
		"an error":   {inspect, 500, `{"message":"`, "x", "larger than 64 KiB"},
	} {
		t.Run(name, func(t *testing.T) {
			c := serve(t, func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(test.status)
				chunk := []byte(test.begin)
				for r.Context().Err() == nil {
					if _, err := w.Write(chunk); err != nil {
						return
					}
					chunk = []byte(strings.Repeat(test.more, 64<<10/len(test.more)))
				}
			})
			if err := test.ask(c); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want an error that says %q", err, test.want)
			}
		})
	}
}

func TestFullBacklog(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "docker.sock")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: socket}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	for { // fill it up
		conn, err := net.DialTimeout("unix", socket, 100*time.Millisecond)
		if err != nil {
			break
		}
		defer conn.Close()
	}
	fails(t, impatient(dial(t, socket)), nil)
}

func TestUnreachable(t *testing.T) {
	dir := t.TempDir()
	fails(t, dial(t, filepath.Join(dir, "absent.sock")), fs.ErrNotExist)
	fails(t, dial(t, strings.TrimPrefix(fakeengine.Dead(t), "unix://")), syscall.ECONNREFUSED)
	if os.Getuid() == 0 {
		return // nothing is forbidden to root
	}
	locked := filepath.Join(dir, "locked")
	if err := os.Mkdir(locked, 0); err != nil {
		t.Fatal(err)
	}
	fails(t, dial(t, filepath.Join(locked, "docker.sock")), fs.ErrPermission)
}

func TestCallerCancels(t *testing.T) {
	done := make(chan struct{})
	t.Cleanup(func() { close(done) })
	ctx, cancel := context.WithCancel(context.Background())
	c := serve(t, func(http.ResponseWriter, *http.Request) { cancel(); <-done })
	if _, err := c.List(ctx, false); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want canceled", err)
	}
}
