package doctor

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// listenAt has f serve each connection to a unix socket.
func listenAt(t *testing.T, f func(net.Conn)) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "containerd.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go f(c)
		}
	}()
	return path
}

// serveHTTP2 serves HTTP/2 without TLS by net/http's own server.
func serveHTTP2(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "containerd.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	srv := &http.Server{Handler: h, Protocols: &protocols}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	return path
}

func askAt(t *testing.T, path string, patience time.Duration) (version, tasks error) {
	t.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return askContainerd(ctx, conn)
}

// TestAskContainerdAsGRPC: the requests are as gRPC over HTTP2 (PROTOCOL-HTTP2.md) has
// them, and an error is an answer.
func TestAskContainerdAsGRPC(t *testing.T) {
	paths := make(chan string, 2)
	path := serveHTTP2(t, func(w http.ResponseWriter, r *http.Request) {
		paths <- r.URL.Path
		b, err := io.ReadAll(r.Body)
		if err != nil || !bytes.Equal(b, []byte{0, 0, 0, 0, 0}) || r.ProtoMajor != 2 || r.Method != http.MethodPost ||
			r.Header.Get("Content-Type") != "application/grpc" || r.Header.Get("Te") != "trailers" || r.Header.Get("Containerd-Namespace") != "moby" {
			t.Errorf("%s %s %q %v (%v) is no call of gRPC", r.Method, r.Proto, b, r.Header, err)
		}
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Grpc-Status", "12") // unimplemented
	})
	if version, tasks := askAt(t, path, answers); version != nil || tasks != nil {
		t.Errorf("version %v, tasks %v: an answer with an error is none", version, tasks)
	}
	close(paths)
	var got []string
	for p := range paths {
		got = append(got, strings.TrimPrefix(p, "/containerd.services."))
	}
	if want := []string{"version.v1.Version/Version", "tasks.v1.Tasks/List"}; !slices.Equal(got, want) {
		t.Errorf("asked for %q, want %q", got, want)
	}
}

func TestAskContainerdSilence(t *testing.T) {
	hold := make(chan struct{})
	path := serveHTTP2(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/List") {
			select {
			case <-r.Context().Done():
			case <-hold:
			}
		}
	})
	defer close(hold)
	if version, tasks := askAt(t, path, mute); version != nil || tasks == nil || !strings.Contains(tasks.Error(), "Tasks/List: no answer") {
		t.Errorf("version %v, tasks %v, want only tasks silent", version, tasks)
	}
	for name, serve := range map[string]func(net.Conn){
		"silent":   func(c net.Conn) { _, _ = io.Copy(io.Discard, c) },
		"closing":  func(c net.Conn) { c.Close() },
		"HTTP/1.1": func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n"); c.Close() },
		"endless":  func(c net.Conn) { _, _ = io.Copy(c, endless{}); c.Close() },
	} {
		if version, _ := askAt(t, listenAt(t, serve), mute); version == nil {
			t.Errorf("%s: taken for an answer", name)
		}
	}
}

// endless is an HTTP/2 peer that sends settings and never anything else.
type endless struct{}

func (endless) Read(b []byte) (int, error) {
	frame := []byte{0, 0, 0, 4, 0, 0, 0, 0, 0}
	n := len(b) / len(frame)
	return copy(b, bytes.Repeat(frame, n)), nil
}
