package doctor

import (
	"context"
	"net"
	"net/http"
	"testing"
	"time"
)

// TestAskService: any answer is one, that there is no such service, too; silence is blamed on
// who is silent.
func TestAskService(t *testing.T) {
	silent := listenAt(t, func(c net.Conn) { <-t.Context().Done(); c.Close() })
	whole := serveHTTP2(t, func(http.ResponseWriter, *http.Request) {})
	noCRI := serveHTTP2(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/runtime.v1.RuntimeService/Version" {
			<-r.Context().Done()
		}
	})
	refuses := serveHTTP2(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	podman := listenAt(t, func(c net.Conn) { c.Read(make([]byte, 512)); c.Write([]byte("HTTP/1.1 200 OK\r\n\r\nOK")); c.Close() })
	gone := listenAt(t, func(c net.Conn) { c.Close() })
	for _, test := range []struct {
		what string
		role role
		at   string
		want Kind
	}{
		{"containerd", otherContainerd, whole, ""}, {"containerd that is silent", otherContainerd, silent, otherSilent}, {"its CRI is silent", otherContainerd, noCRI, criSilent},
		{"a containerd without CRI", otherContainerd, refuses, ""}, {"CRI-O", crioRole, whole, ""}, {"CRI-O that is silent", crioRole, silent, crioSilent},
		{"Podman", podmanRole, podman, ""}, {"Podman that is silent", podmanRole, silent, podmanSilent}, {"Podman that hangs up", podmanRole, gone, podmanSilent},
	} {
		conn, err := net.Dial("unix", test.at)
		if err != nil {
			t.Fatal(err)
		}
		patience := 20 * time.Second
		if test.want != "" {
			patience = 300 * time.Millisecond
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		if got, err := askService(ctx, test.role, conn); got != test.want || (err != nil) != (test.want != "") {
			t.Errorf("%s: %q, %v, want %q", test.what, got, err, test.want)
		}
		cancel()
		conn.Close()
	}
}
