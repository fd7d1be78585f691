package dockerx

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dx/e2e/fakeengine"
)

// deaf is an engine that takes connections and answers none. It counts them.
func deaf(t *testing.T) (address string, asked *atomic.Int64) {
	t.Helper()
	asked = &atomic.Int64{}
	return fakeengine.ServeRaw(t, func(conn net.Conn) {
		request := make([]byte, 1<<12)
		if n, _ := conn.Read(request); strings.Contains(string(request[:n]), "/containers/") {
			asked.Add(1)
		}
		conn.Read(request) // until the other end gives up
		conn.Close()
	}), asked
}

// TestMuteOnce: an engine that does not answer is waited for once and spoken of once,
// however many references there are, and whoever asks.
func TestMuteOnce(t *testing.T) {
	address, asked := deaf(t)
	r, warnings := resolverOf(t, address, "")
	r2, err := NewResolver(Options{Host: address, APITimeout: 50 * time.Millisecond, Warn: r.warn})
	if err != nil {
		t.Fatal(err)
	}
	defer r2.Close()
	ctx := context.Background()
	for _, ref := range []string{"no-such-a", "no-such-b", "no-such-c"} {
		if _, err := r2.Resolve(ctx, ref); !isA[*NotFoundError](err) || !strings.Contains(err.Error(), "gave no answer") {
			t.Errorf("%s: %v, want that nobody knows it, and that the engine did not answer", ref, err)
		}
	}
	list, err := r2.Running(ctx)
	if err != nil {
		t.Error(err)
	}
	for _, c := range list {
		c.Close()
	}
	if _, err := r2.List(ctx, true); err != nil {
		t.Error(err)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the engine was asked %d times, want once", n)
	}
	lines := 0
	for _, line := range warnings() {
		if strings.Contains(line, "falling back to host discovery") {
			lines++
		}
	}
	if lines != 1 {
		t.Errorf("the warnings are %q, want one about the engine", warnings())
	}
}

// TestElsewhere: an engine of another host is never answered by a container of this one,
// whether it answers, refuses or cannot be found.
func TestElsewhere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refuses := l.Addr().String()
	l.Close()
	for _, address := range []string{"tcp://prod2.invalid:2376", "tcp://192.0.2.1:2375", "tcp://" + refuses, "ssh://root@prod2.invalid"} {
		r, err := NewResolver(Options{Host: address, APITimeout: 200 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if c, err := r.Resolve(context.Background(), "web"); !isA[*OtherHostError](err) {
			t.Errorf("%s: %v, %v, want that it is another host's", address, c, err)
		}
		if _, err := r.List(context.Background(), true); !isA[*OtherHostError](err) {
			t.Errorf("list of %s: %v, want that it is another host's", address, err)
		}
		if _, err := r.Running(context.Background()); !isA[*OtherHostError](err) {
			t.Errorf("what runs by %s: %v, want that it is another host's", address, err)
		}
	}
}

// TestOtherKernel: an engine behind a unix socket answers with a container that is not on
// this host, as one in a virtual machine does.
func TestOtherKernel(t *testing.T) {
	r, _ := resolverOf(t, serveContainers(t, madeList()), "")
	c, err := r.Resolve(context.Background(), "made-gone")
	if !isA[*OtherHostError](err) || !strings.Contains(err.Error(), "2147483646") {
		t.Errorf("%v, %v, want that it is not on this host", c, err)
	}
}

// TestSSHWithHostAlone: with --source host nobody is asked, and so nothing is in the way.
func TestSSHWithHostAlone(t *testing.T) {
	r, _ := resolverOf(t, "ssh://root@prod2.invalid", SourceHost)
	if _, err := r.Resolve(context.Background(), "no-such-container"); !isA[*NotFoundError](err) {
		t.Error(err)
	}
	// Without root there are processes that may not be looked at.
	if _, err := r.List(context.Background(), true); err != nil && !isA[*UnseenError](err) {
		t.Error(err)
	}
}

// TestContainerCalledHost: the word may mean either, and the refusal says how to write both.
func TestContainerCalledHost(t *testing.T) {
	r, _ := resolverOf(t, serveContainers(t, []fakeengine.Container{stateOf(fakeengine.ID("ab"), "host", map[string]any{"Status": "exited"})}), "")
	c, err := r.Resolve(context.Background(), "host")
	if !isA[*AmbiguousError](err) || !strings.Contains(err.Error(), "docker:host (ab0000000000, not running)") || !strings.Contains(err.Error(), "host:,") {
		t.Errorf("host: %v, %v, want an error with both", c, err)
	}
	for ref, want := range map[string]bool{"host:": true, "docker:host": false} {
		c, err := r.Resolve(context.Background(), ref)
		if (err == nil) != want {
			t.Errorf("%s: %v, %v", ref, c, err)
		}
		c.Close()
	}
}

// TestHostOfADeafEngine: where nobody but the engine may tell whether a container is called
// host, its silence is no answer.
func TestHostOfADeafEngine(t *testing.T) {
	address, _ := deaf(t)
	r, err := NewResolver(Options{Host: address, From: SourceEngine, APITimeout: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for ref, want := range map[string]bool{"host": false, "host:": true} {
		c, err := r.Resolve(context.Background(), ref)
		if (err == nil) != want {
			t.Errorf("%s: found is %v, want %v (%v)", ref, err == nil, want, err)
		}
		if err == nil {
			c.Close()
		}
	}
}

// TestNoDockerNoNoise: nobody has said that there is an engine, and there is none.
func TestNoDockerNoNoise(t *testing.T) {
	r, warnings := resolverOf(t, "unix://"+filepath.Join(t.TempDir(), "absent.sock"), "")
	r.named = false
	_, err := r.Resolve(context.Background(), "no-such-container")
	if !isA[*NotFoundError](err) || len(warnings()) > 0 {
		t.Errorf("%v; warnings %q, want none", err, warnings())
	}
}
