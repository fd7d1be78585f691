package e2e

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"dx/e2e/engine"
)

// neighbours is containers that share in the ways in which docker lets them.
type neighbours struct {
	web     engine.Container // its network is used by net and both
	net     engine.Container
	ipc     engine.Container // its IPC namespace is used by both
	both    engine.Container
	hostPID engine.Container
	hostToo engine.Container // PID, network and IPC
	alone   engine.Container
}

func mapNeighbours(t *testing.T, e *engine.Engine) neighbours {
	t.Helper()
	var w neighbours
	w.web = e.Run(t, engine.Busybox)
	w.net = e.Run(t, engine.Busybox, "--network", "container:"+w.web.Name)
	w.ipc = e.Run(t, engine.Busybox, "--ipc", "shareable")
	w.both = e.Run(t, engine.Busybox, "--network", "container:"+w.web.Name, "--ipc", "container:"+w.ipc.Name)
	w.hostPID = e.Run(t, engine.Busybox, "--pid", "host")
	w.hostToo = e.Run(t, engine.Busybox, "--pid", "host", "--network", "host", "--uts", "host", "--cgroupns", "host")
	w.alone = e.Run(t, engine.Busybox)
	return w
}

func (w neighbours) all() []engine.Container {
	return []engine.Container{w.web, w.net, w.ipc, w.both, w.hostPID, w.hostToo, w.alone}
}

func (w neighbours) names() []string {
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

// The lines of a picture in Mermaid: any other is an error.
var (
	mermaidOpen  = regexp.MustCompile(`^subgraph (host|r\d+)\["([^"]*)"\]$`)
	mermaidBox   = regexp.MustCompile(`^c(\d+)\["([^"<]*)((?:<br/>[^"<]*)*)"\]$`)
	mermaidEdge  = regexp.MustCompile(`^c(\d+) -\. "([^"]*)" \.- c(\d+)$`)
	mermaidOther = regexp.MustCompile(`^(flowchart TB|c\d+ ~~~ c\d+|style (host|r\d+) stroke:#[0-9a-f]{6},fill:#[0-9a-f]{8}|classDef exposed stroke:#d9762b,stroke-width:2px|class c\d+(,c\d+)* exposed)$`)
	hostsKinds   = regexp.MustCompile(`^the host#39;s (.*)$`)
)

// reader is what has been read of a picture so far.
type reader struct {
	open    []region
	closed  []region
	names   map[string]string          // of boxes, by number
	hosts   map[string][]string        // kind → who has the host's
	linked  map[string]map[string]bool // kinds → who is at an edge of theirs
	strange []string                   // lines that are not in the grammar
}

type region struct {
	id, kinds string
	members   []string
}

func (r *reader) line(line string) {
	if m := mermaidOpen.FindStringSubmatch(line); m != nil {
		r.open = append(r.open, region{id: m[1], kinds: m[2]})
	} else if m := mermaidBox.FindStringSubmatch(line); m != nil {
		r.box(m[1], m[2], strings.Split(m[3], "<br/>"))
	} else if m := mermaidEdge.FindStringSubmatch(line); m != nil {
		if r.linked[m[2]] == nil {
			r.linked[m[2]] = map[string]bool{}
		}
		r.linked[m[2]][r.names[m[1]]], r.linked[m[2]][r.names[m[3]]] = true, true
	} else if line == "end" && len(r.open) > 0 {
		last := len(r.open) - 1
		r.closed, r.open = append(r.closed, r.open[last]), r.open[:last]
	} else if !mermaidOther.MatchString(line) {
		r.strange = append(r.strange, line)
	}
}

func (r *reader) box(id, name string, lines []string) {
	r.names[id] = name
	for i := range r.open {
		r.open[i].members = append(r.open[i].members, name)
	}
	for _, l := range lines {
		if m := hostsKinds.FindStringSubmatch(l); m != nil {
			for _, kind := range strings.Split(m[1], ", ") {
				r.hosts[kind] = append(r.hosts[kind], name)
			}
		}
	}
}

func (r *reader) sharing() sharing {
	out := sharing{}
	add := func(kinds, prefix string, names []string) {
		for _, kind := range strings.Split(kinds, ", ") {
			out[kind+" "+prefix+strings.Join(slices.Sorted(slices.Values(names)), " ")] = true
		}
	}
	for _, region := range r.closed {
		if region.id != "host" {
			add(region.kinds, "", region.members)
		}
	}
	for kind, names := range r.hosts {
		add(kind, "host ", names)
	}
	for kinds, set := range r.linked {
		add(kinds, "", slices.Collect(maps.Keys(set)))
	}
	return out
}

func mermaidSharing(t *testing.T, text string) sharing {
	t.Helper()
	r := &reader{names: map[string]string{}, hosts: map[string][]string{}, linked: map[string]map[string]bool{}}
	for line := range strings.Lines(text) {
		r.line(strings.TrimSpace(line))
	}
	if len(r.strange) > 0 || len(r.open) > 0 {
		t.Errorf("not in the grammar: %q; %d subgraphs are not ended", r.strange, len(r.open))
	}
	return r.sharing()
}

func TestMapSaysWhatTheKernelSays(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine.Engine) {
		w := mapNeighbours(t, e)
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

// madeAt is the time in a picture's title.
var madeAt = regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d(:|#58;)\d\d`)

func TestMapOfAll(t *testing.T) {
	e := suite.Start(t, engine.Options{})
	if text := mustMap(t, e, "svg"); !strings.Contains(text, "no container") {
		t.Errorf("an engine without containers: %s", text)
	}
	volume := e.Name("data")
	a, b := e.Run(t, engine.Busybox, "--volume", volume+":/data"), e.Run(t, engine.Busybox, "--network", "host")
	created := e.Create(t, engine.Busybox)
	for _, format := range []string{"svg", "html", "text", "dot", "mermaid"} {
		text := mustMap(t, e, format)
		for _, want := range []string{a.Name, b.Name, "2 containers"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s has no %s", format, want)
			}
		}
		if madeAt.ReplaceAllString(mustMap(t, e, format, b.Name, a.Name), "") != madeAt.ReplaceAllString(text, "") {
			t.Errorf("%s of the same containers differs", format)
		}
	}
	if r := e.Docker(t, "pause", a.Name); r.Code != 0 {
		t.Fatalf("docker pause: %+v", r)
	}
	defer e.Docker(t, "unpause", a.Name)
	text := mustMap(t, e, "mermaid", "--all")
	for _, want := range []string{"paused<br/>", "volume " + volume, "network host", created.Name + "#58; Created", "1 container does not run"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in the picture of all:\n%s", want, text)
		}
	}
}

// TestMapIsWhatItClaims asks others: an XML parser and Graphviz.
func TestMapIsWhatItClaims(t *testing.T) {
	engine.Require(t, engine.Graphviz)
	e := suite.Engine(t, engine.Host)
	w := mapNeighbours(t, e)
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
