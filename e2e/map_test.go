package e2e

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"dx/e2e/engine"
)

// world is containers that share in the ways in which docker lets them.
type world struct {
	web     engine.Container // its network is used by net and both
	net     engine.Container
	ipc     engine.Container // its IPC namespace is used by both
	both    engine.Container
	hostPID engine.Container
	hostToo engine.Container // PID, network and IPC
	alone   engine.Container
}

func mapWorld(t *testing.T, e *engine.Engine) world {
	t.Helper()
	var w world
	w.web = e.Run(t, engine.Busybox)
	w.net = e.Run(t, engine.Busybox, "--network", "container:"+w.web.Name)
	w.ipc = e.Run(t, engine.Busybox, "--ipc", "shareable")
	w.both = e.Run(t, engine.Busybox, "--network", "container:"+w.web.Name, "--ipc", "container:"+w.ipc.Name)
	w.hostPID = e.Run(t, engine.Busybox, "--pid", "host")
	w.hostToo = e.Run(t, engine.Busybox, "--pid", "host", "--network", "host", "--uts", "host", "--cgroupns", "host")
	w.alone = e.Run(t, engine.Busybox)
	return w
}

func (w world) all() []engine.Container {
	return []engine.Container{w.web, w.net, w.ipc, w.both, w.hostPID, w.hostToo, w.alone}
}

func (w world) names() []string {
	var names []string
	for _, c := range w.all() {
		names = append(names, c.Name)
	}
	return names
}

func mustMap(t *testing.T, e *engine.Engine, format string, refs ...string) string {
	t.Helper()
	r := e.Dx(t, append([]string{"map", "-o", format}, refs...)...)
	if r.Code != 0 || r.Stderr != "" {
		t.Fatalf("dx map -o %s %q: exit %d: %s", format, refs, r.Code, r.Stderr)
	}
	return r.Stdout
}

// sharing is who shares which kind of namespace, as a picture has it or the kernel:
// "net a b". The host's are "net host a".
type sharing map[string]bool

// kernelSharing reads the links.
func kernelSharing(t *testing.T, list []engine.Container) sharing {
	t.Helper()
	out := sharing{}
	for _, kind := range nsTypes {
		members := map[uint64][]string{}
		for _, c := range list {
			inode := kernelInode(t, c.PID, kind)
			members[inode] = append(members[inode], c.Name)
		}
		for inode, names := range members {
			slices.Sort(names)
			switch {
			case inode == kernelInode(t, 1, kind):
				// Those that are usually the host's are not written on boxes.
				if !slices.Contains([]string{"cgroup", "time", "user"}, kind) {
					out[kind+" host "+strings.Join(names, " ")] = true
				}
			case len(names) > 1:
				out[kind+" "+strings.Join(names, " ")] = true
			}
		}
	}
	return out
}

// drawn reads a picture in Mermaid with a grammar of its own: a line that is none of
// these is an error.
var (
	mermaidOpen  = regexp.MustCompile(`^subgraph (host|r\d+)\["([^"]*)"\]$`)
	mermaidBox   = regexp.MustCompile(`^c(\d+)\["([^"<]*)((?:<br/>[^"<]*)*)"\]$`)
	mermaidEdge  = regexp.MustCompile(`^c(\d+) -\. "([^"]*)" \.- c(\d+)$`)
	mermaidOther = regexp.MustCompile(`^(flowchart TB|end|c\d+ ~~~ c\d+|style (host|r\d+) stroke:#[0-9a-f]{6},fill:#[0-9a-f]{8}|classDef exposed stroke:#d9762b,stroke-width:2px|class c\d+(,c\d+)* exposed)$`)
	hostsKinds   = regexp.MustCompile(`^the host#39;s (.*)$`)
)

func mermaidSharing(t *testing.T, text string) sharing {
	t.Helper()
	names := map[string]string{}
	members := map[string][]string{} // of open regions, hosts' kinds and links
	var open, closed [][2]string     // number and kinds
	links := map[string]map[string]bool{}
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		line = strings.TrimSpace(line)
		if m := mermaidOpen.FindStringSubmatch(line); m != nil {
			open = append(open, [2]string{m[1], m[2]})
		} else if m := mermaidBox.FindStringSubmatch(line); m != nil {
			names[m[1]] = m[2]
			for _, region := range open {
				members[region[0]] = append(members[region[0]], m[2])
			}
			for _, l := range strings.Split(m[3], "<br/>") {
				if k := hostsKinds.FindStringSubmatch(l); k != nil {
					for _, kind := range strings.Split(k[1], ", ") {
						members["of "+kind] = append(members["of "+kind], m[2])
					}
				}
			}
		} else if m := mermaidEdge.FindStringSubmatch(line); m != nil {
			if links[m[2]] == nil {
				links[m[2]] = map[string]bool{}
			}
			links[m[2]][names[m[1]]], links[m[2]][names[m[3]]] = true, true
		} else if !mermaidOther.MatchString(line) {
			t.Errorf("not in the grammar: %s", line)
		}
		if line == "end" {
			closed = append(closed, open[len(open)-1])
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		t.Errorf("%d subgraphs are not ended", len(open))
	}
	out := sharing{}
	add := func(kinds, prefix string, names []string) {
		slices.Sort(names)
		for _, kind := range strings.Split(kinds, ", ") {
			out[kind+" "+prefix+strings.Join(names, " ")] = true
		}
	}
	for _, region := range closed {
		if region[0] != "host" {
			add(region[1], "", members[region[0]])
		}
	}
	for key, list := range members {
		if kind, ok := strings.CutPrefix(key, "of "); ok {
			add(kind, "host ", list)
		}
	}
	for kinds, set := range links {
		var list []string
		for name := range set {
			list = append(list, name)
		}
		add(kinds, "", list)
	}
	return out
}

func TestMapSaysWhatTheKernelSays(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine.Engine) {
		w := mapWorld(t, e)
		want := kernelSharing(t, w.all())
		got := mermaidSharing(t, mustMap(t, e, "mermaid", w.names()...))
		for s := range want {
			if !got[s] {
				t.Errorf("the kernel has %q, the picture does not", s)
			}
		}
		for s := range got {
			if !want[s] {
				t.Errorf("the picture has %q, the kernel does not", s)
			}
		}
		if len(want) < 5 {
			t.Errorf("the test shares too little: %v", want)
		}
	})
}

func TestMapOfAll(t *testing.T) {
	e := suite.Start(t, engine.Options{})
	if text := mustMap(t, e, "svg"); !strings.Contains(text, "no container") {
		t.Errorf("an engine without containers: %s", text)
	}
	a, b := e.Run(t, engine.Busybox), e.Run(t, engine.Busybox, "--network", "host")
	e.Create(t, engine.Busybox)
	for _, format := range []string{"svg", "html", "dot", "mermaid"} {
		text := mustMap(t, e, format)
		for _, want := range []string{a.Name, b.Name, "2 containers"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s has no %s", format, want)
			}
		}
		if mustMap(t, e, format, b.Name, a.Name) != text {
			t.Errorf("%s of the same containers differs", format)
		}
	}
}

// TestMapIsWhatItClaims asks others: an XML parser and Graphviz.
func TestMapIsWhatItClaims(t *testing.T) {
	engine.Require(t, engine.Graphviz)
	e := suite.Engine(t, engine.Host)
	w := mapWorld(t, e)
	dec := xml.NewDecoder(strings.NewReader(mustMap(t, e, "svg", w.names()...)))
	for {
		if _, err := dec.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("svg: %v", err)
		}
	}
	file := filepath.Join(t.TempDir(), "map.dot")
	if err := os.WriteFile(file, []byte(mustMap(t, e, "dot", w.names()...)), 0o644); err != nil {
		t.Fatal(err)
	}
	r := e.Do(t, engine.Command{Args: []string{"dot", "-Tplain", file}})
	if r.Code != 0 || r.Stderr != "" {
		t.Fatalf("dot: %+v", r)
	}
	if n := strings.Count(r.Stdout, "\nnode "); n != len(w.all()) {
		t.Errorf("dot draws %d nodes:\n%s", n, r.Stdout)
	}
}

func TestMapRefuses(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox)
	if r := e.Dx(t, "map", "-o", "png", c.Name); r.Code != 125 || r.Stdout != "" || !strings.Contains(r.Stderr, "svg") {
		t.Errorf("png: %+v", r)
	}
	if r := e.Dx(t, "map", "nosuch"); r.Code != 1 || r.Stdout != "" || !strings.Contains(r.Stderr, "No such container: nosuch") {
		t.Errorf("unknown: %+v", r)
	}
	if r := e.Dx(t, "map", "nosuch", c.Name); r.Code != 1 || !strings.Contains(r.Stdout, c.Name) {
		t.Errorf("one is unknown: exit %d: %s", r.Code, r.Stderr)
	}
	if r := e.Dx(t, "map", "-o", "dot", fmt.Sprintf("pid:%d", c.PID)); r.Code != 0 || !strings.Contains(r.Stdout, fmt.Sprintf("pid:%d", c.PID)) {
		t.Errorf("a pid: %+v", r)
	}
}
