package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// noPID is a PID that no Linux has: PID_MAX_LIMIT is 4194304.
const noPID = 2147483646

// cmdEngine is: engine KIND [N]. It starts a fake engine at $WORK/KIND.sock and makes
// it the one that dx asks. "engine well N" has N running containers, $MARK-1 to
// $MARK-N, whose processes do not exist.
func cmdEngine(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: engine KIND [N]")
	}
	socket := ts.MkAbs(args[0] + ".sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		ts.Fatalf("the path of a socket has 107 bytes at most: %v", err)
	}
	ts.Setenv("DOCKER_HOST", "unix://"+socket)
	kind := args[0]
	answer, isRude := rude[kind]
	switch {
	case kind == "dead": // as one that was killed leaves its socket
		l.(*net.UnixListener).SetUnlinkOnClose(false)
		ts.Check(l.Close())
	case kind == "well" && len(args) == 2:
		n, err := strconv.Atoi(args[1])
		ts.Check(err)
		serveHTTP(ts, l, madeContainers(ts.Getenv("MARK"), n))
	case sick[kind] != nil:
		serveHTTP(ts, l, sick[kind])
	case isRude:
		if kind == "forbidden" {
			ts.Check(os.Chmod(socket, 0))
		}
		serveRaw(ts, l, answer)
	default:
		ts.Fatalf("unknown kind of engine %q", kind)
	}
}

func serveHTTP(ts *testscript.TestScript, l net.Listener, h http.HandlerFunc) {
	srv := &http.Server{Handler: h}
	go srv.Serve(l)
	ts.Defer(func() { srv.Close() })
}

// serveRaw speaks to each connection below HTTP. Without answer it holds them open.
func serveRaw(ts *testscript.TestScript, l net.Listener, answer func(net.Conn)) {
	var mu sync.Mutex
	var open []net.Conn
	ts.Defer(func() {
		l.Close()
		mu.Lock()
		defer mu.Unlock()
		for _, conn := range open {
			conn.Close()
		}
	})
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
}

// rude engines do not speak HTTP.
var rude = map[string]func(net.Conn){
	"silent":    nil, // as a stopped dockerd: the kernel takes connections for it
	"forbidden": nil,
	"closing":   func(conn net.Conn) { conn.Close() },
	"garbage": func(conn net.Conn) {
		conn.Write([]byte("\x00\x1b[2J\xff SSH-2.0-none\r\n\r\n"))
		conn.Close()
	},
}

// sick engines speak HTTP and give no answer of use.
var sick = map[string]http.HandlerFunc{
	"error": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusInternalServerError)
		io.WriteString(w, `{"message":"the engine is \u001b[31mill"}`)
	},
	"half": afterPing(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		io.WriteString(w, `[{"Id":"`)
		panic(http.ErrAbortHandler)
	}),
	"html":  afterPing(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>502 Bad Gateway</html>") }),
	"shape": afterPing(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `"text"`) }),
	"slow":  afterPing(func(w http.ResponseWriter, _ *http.Request) { forEver(w, " ", 10*time.Millisecond) }),
	"endless": afterPing(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "[{}")
		forEver(w, strings.Repeat(`,{"Id":"x","Names":["/x"]}`, 1000), 0)
	}),
}

// afterPing answers a ping as a healthy engine does.
func afterPing(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !ping(w, r) {
			h(w, r)
		}
	}
}

func ping(w http.ResponseWriter, r *http.Request) bool {
	if !strings.HasSuffix(r.URL.Path, "/_ping") {
		return false
	}
	w.Header().Set("Api-Version", "1.41")
	io.WriteString(w, "OK")
	return true
}

// forEver writes until the other side has gone.
func forEver(w http.ResponseWriter, text string, pause time.Duration) {
	for {
		if _, err := io.WriteString(w, text); err != nil {
			return
		}
		if err := http.NewResponseController(w).Flush(); err != nil {
			return
		}
		time.Sleep(pause)
	}
}

// madeContainers is an engine with n running containers that are nowhere, as
// moby's API answers (api/swagger.yaml).
func madeContainers(mark string, n int) http.HandlerFunc {
	var list, details []map[string]any
	for i := range n {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", mark, i))
		id, name := hex.EncodeToString(sum[:]), fmt.Sprintf("/%s-%d", mark, i+1)
		list = append(list, map[string]any{
			"Id": id, "Names": []string{name}, "Image": "made:1", "State": "running", "Status": "Up 5 minutes",
			"Labels": map[string]string{"number": strconv.Itoa(i + 1)}, "Ports": []any{},
		})
		details = append(details, map[string]any{
			"Id": id, "Name": name, "Path": "sleep", "Config": map[string]any{"Image": "made:1"}, "HostConfig": map[string]any{},
			"State": map[string]any{"Status": "running", "Running": true, "Pid": noPID, "StartedAt": "2024-02-03T04:05:06.789Z"},
		})
	}
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		path := regexp.MustCompile(`^/v[0-9.]+`).ReplaceAllString(r.URL.Path, "")
		switch {
		case ping(w, r):
		case path == "/version":
			io.WriteString(w, `{"Version":"28.2.2","ApiVersion":"1.41"}`)
		case path == "/containers/json":
			json.NewEncoder(w).Encode(list)
		default:
			ref := strings.TrimSuffix(strings.TrimPrefix(path, "/containers/"), "/json")
			i := slices.IndexFunc(details, func(c map[string]any) bool {
				return c["Name"] == "/"+ref || strings.HasPrefix(c["Id"].(string), ref)
			})
			if i < 0 {
				w.WriteHeader(http.StatusNotFound)
				json.NewEncoder(w).Encode(map[string]string{"message": "No such container: " + ref})
				return
			}
			json.NewEncoder(w).Encode(details[i])
		}
	}
}
