package fakeengine

import (
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// Rude engines do not speak HTTP, by name; nil says nothing, as a stopped dockerd: the
// kernel takes connections for it.
var Rude = map[string]func(net.Conn){
	"silent":  nil,
	"closing": func(conn net.Conn) { conn.Close() },
	"garbage": func(conn net.Conn) {
		io.WriteString(conn, "\x00\x1b[2J\xff SSH-2.0-none\r\n\r\n")
		conn.Close()
	},
}

// Sick engines speak HTTP and give no answer of use, by name.
var Sick = map[string]http.HandlerFunc{
	"error": func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusInternalServerError, "the engine is \x1b[31mill")
	},
	"half": afterPing(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		io.WriteString(w, `[{"Id":"`)
		panic(http.ErrAbortHandler)
	}),
	"html":    afterPing(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>502 Bad Gateway</html>") }),
	"shape":   afterPing(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `"text"`) }),
	"slow":    afterPing(func(w http.ResponseWriter, r *http.Request) { forEver(w, r, " ", 10*time.Millisecond) }),
	"endless": Endless("[{}", `,{"Id":"x","Names":["/x"]}`),
}

// Endless answers a ping, and all else without end.
func Endless(begin, more string) http.HandlerFunc {
	chunk := strings.Repeat(more, 1+64<<10/len(more))
	return afterPing(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, begin)
		forEver(w, r, chunk, 0)
	})
}

// Hung answers no request, and ends with who asks.
func Hung(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// afterPing answers a ping as a healthy engine does.
func afterPing(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if IsPing(r) {
			w.Header().Set("Api-Version", "1.41")
			io.WriteString(w, "OK")
			return
		}
		h(w, r)
	}
}

// forEver writes until the other side has gone.
func forEver(w http.ResponseWriter, r *http.Request, text string, pause time.Duration) {
	for r.Context().Err() == nil {
		if _, err := io.WriteString(w, text); err != nil {
			return
		}
		if err := http.NewResponseController(w).Flush(); err != nil {
			return
		}
		time.Sleep(pause)
	}
}
