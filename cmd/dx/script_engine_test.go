package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"

	"dx/e2e/fakeengine"
)

// cmdEngine is: engine KIND [N]. It starts a fake engine at $WORK/KIND.sock and makes
// it the one that dx asks: one of fakeengine.Sick, fakeengine.Rude, "dead" or
// "forbidden". "engine well N" has N running containers, $MARK-1 to $MARK-N, whose
// processes do not exist. Those of "engine odd" have names that mean something to a shell.
// "engine tls" has one, $MARK-1, and speaks TLS on a port of the loopback with who has a
// certificate of $WORK/tls.
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
	answer, isRude := fakeengine.Rude[kind]
	switch {
	case kind == "dead":
		fakeengine.Kill(l)
	case kind == "forbidden":
		ts.Check(os.Chmod(socket, 0))
		ts.Defer(fakeengine.ServeRawOn(l, nil))
	case kind == "well" && len(args) == 2:
		n, err := strconv.Atoi(args[1])
		ts.Check(err)
		ts.Defer(fakeengine.ServeOn(l, madeContainers(ts.Getenv("MARK"), n)))
	case kind == "tls":
		serveTLS(ts)
	case kind == "odd":
		ts.Defer(fakeengine.ServeOn(l, oddNames()))
	case fakeengine.Sick[kind] != nil:
		ts.Defer(fakeengine.ServeOn(l, fakeengine.Sick[kind]))
	case isRude:
		ts.Defer(fakeengine.ServeRawOn(l, answer))
	default:
		ts.Fatalf("unknown kind of engine %q", kind)
	}
}

// madeContainers is an engine with n running containers that are nowhere.
func madeContainers(mark string, n int) *fakeengine.Engine {
	e := &fakeengine.Engine{}
	for i := range n {
		id := sha256.Sum256(fmt.Appendf(nil, "%s %d", mark, i))
		c := fakeengine.Running(hex.EncodeToString(id[:]), fmt.Sprintf("%s-%d", mark, i+1), fakeengine.NoPID)
		c.Image, c.Labels = "made:1", map[string]string{"number": strconv.Itoa(i + 1)}
		c.Ports = []map[string]any{
			{"IP": "127.0.0.1", "PrivatePort": 82, "PublicPort": 8080, "Type": "tcp"},
			{"IP": "0.0.0.0", "PrivatePort": 81, "PublicPort": 81, "Type": "tcp"},
			{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 80, "Type": "tcp"},
			{"PrivatePort": 90, "Type": "udp"},
		}
		e.Containers = append(e.Containers, c)
	}
	return e
}

// oddNames is an engine as no dockerd is: it gives out no such names.
func oddNames() *fakeengine.Engine {
	e := &fakeengine.Engine{}
	for i, name := range []string{"$(id)", "a b;c", "-rf", "fine"} {
		c := fakeengine.Running(fmt.Sprintf("%064x", i+1), name, fakeengine.NoPID)
		c.Image = "`id`;$(id)&|<>\x1b[31m"
		e.Containers = append(e.Containers, c)
	}
	return e
}
