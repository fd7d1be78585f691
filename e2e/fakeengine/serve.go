package fakeengine

import (
	"context"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Serve answers HTTP on a unix socket of the test's own, and returns its address.
func Serve(t testing.TB, h http.Handler) (host string) {
	t.Helper()
	l, host := listen(t)
	t.Cleanup(ServeOn(l, h))
	return host
}

// ServeRaw gives each connection to answer, below HTTP. Without answer it holds them
// open and says nothing.
func ServeRaw(t testing.TB, answer func(net.Conn)) (host string) {
	t.Helper()
	l, host := listen(t)
	t.Cleanup(ServeRawOn(l, answer))
	return host
}

// Proxy stands before the engine at address, a unix socket: handle answers, or passes
// a request on.
func Proxy(t testing.TB, address string, handle func(w http.ResponseWriter, r *http.Request, pass http.Handler)) (host string) {
	t.Helper()
	pass := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "docker"})
	pass.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", strings.TrimPrefix(address, "unix://"))
	}}
	return Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handle(w, r, pass) }))
}

// Edited is a proxy that changes each answer's body.
func Edited(t testing.TB, address string, edit func([]byte) []byte) (host string) {
	t.Helper()
	return Proxy(t, address, func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		answer := httptest.NewRecorder()
		pass.ServeHTTP(answer, r)
		maps.Copy(w.Header(), answer.Header())
		w.Header().Del("Content-Length")
		w.WriteHeader(answer.Code)
		w.Write(edit(answer.Body.Bytes()))
	})
}

// Dead returns the address of an engine that was killed: its socket is there, and
// nobody listens.
func Dead(t testing.TB) (host string) {
	t.Helper()
	l, host := listen(t)
	Kill(l)
	return host
}

func listen(t testing.TB) (net.Listener, string) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s") // a path of a socket has 107 bytes at most
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	return l, "unix://" + socket
}

// ServeOn answers HTTP by h until stop is called.
func ServeOn(l net.Listener, h http.Handler) (stop func()) {
	srv := &http.Server{Handler: h}
	go srv.Serve(l)
	return func() { srv.Close() }
}

// ServeRawOn is ServeRaw on any listener, until stop is called.
func ServeRawOn(l net.Listener, answer func(net.Conn)) (stop func()) {
	var mu sync.Mutex
	var open []net.Conn
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, conn)
			mu.Unlock()
			if answer != nil {
				go answer(conn)
			}
		}
	}()
	return func() {
		l.Close()
		mu.Lock()
		defer mu.Unlock()
		for _, conn := range open {
			conn.Close()
		}
	}
}

// Kill closes a listener on a unix socket, and leaves the socket as a killed process
// does.
func Kill(l net.Listener) {
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
}
