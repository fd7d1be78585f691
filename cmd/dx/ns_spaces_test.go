package main

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dx/cmd/dx/output"
	"dx/cmd/dx/output/outputtest"
	"dx/dockerx"
	"dx/nsops"
	"dx/nsops/census"
	"dx/nsops/proc"
)

func TestSpaceRefs(t *testing.T) {
	for ref, want := range map[string]bool{
		"web": false, "/web": false, "web_1.a-b": false, "pid:7": false, "host": false, "": false,
		"inode:7": true, "inode:": true, "net:[7]": true, "/proc/7/ns/net": true, "./netns": true, "a/b": true, "//x": true,
	} {
		if got := isSpaceRef(ref); got != want {
			t.Errorf("%q names a namespace: %v, want %v", ref, got, want)
		}
	}
	for ref, want := range map[string]string{
		"inode:x": "not an inode number", "inode:": "not an inode number", "inode:-1": "not an inode number", "inode:0": "not an inode number",
		"inode:x:1": "not a device number", "inode:0:1": "not a device number", "/dev/null/": "not a directory", "/etc/../dev/null": "not a namespace",
	} {
		if _, err := openSpaceRef(ref); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", ref, err, want)
		}
	}
	r, err := openSpaceRef("inode:4:7")
	if err != nil {
		t.Fatal(err)
	}
	for device, want := range map[uint64]bool{4: true, 5: false} {
		if r.means(&census.Namespace{ID: nsops.ID{Device: device, Inode: 7}}) != want {
			t.Errorf("device %d: %v", device, !want)
		}
	}
}

func TestNSRefusesFlags(t *testing.T) {
	for _, args := range [][]string{{"--tree", "--procs"}, {"-a"}, {"-a", "web"}, {"--tree", "inode:7"}, {"web", "inode:7"}} {
		a := &app{in: os.Stdin, out: outputtest.File(t), err: outputtest.File(t)}
		code := run(append([]string{"ns"}, args...), a.in, a.out, a.err)
		if code != exitDx || outputtest.Content(t, a.out) != "" || !strings.Contains(outputtest.Content(t, a.err), "Usage:") {
			t.Errorf("%q: exit code %d, %q", args, code, outputtest.Content(t, a.err))
		}
	}
}

func TestEngineIsNotAskedInVain(t *testing.T) {
	for _, tc := range []struct {
		source string
		refs   []string
		want   string
	}{
		{"auto", nil, "auto"}, {"auto", []string{"pid:7", "host"}, "host"}, {"auto", []string{"inode:7"}, "host"},
		{"auto", []string{"pid:7", "web"}, "auto"}, {"engine", []string{"pid:7"}, "engine"},
	} {
		if got := (&app{source: tc.source}).sourceFor(tc.refs).source; got != tc.want {
			t.Errorf("%q by --source %s are looked up by %s, want %s", tc.refs, tc.source, got, tc.want)
		}
	}
}

// madeWorld is a host, a container web with a sandboxed process in it, and db, which
// has joined web's network.
func madeWorld() *nsWorld {
	const net, user, pid = 3, 6, 4
	host := census.PlacesOf(madeHost().set)
	w := &nsWorld{host: host, census: &census.Census{Namespaces: map[nsops.ID]*census.Namespace{}}}
	web, sandbox := host, host
	web[net].Inode, web[pid].Inode = 501, 502
	sandbox[net].Inode, sandbox[user].Inode, sandbox[pid].Inode = 601, 602, 502
	db := web
	db[pid].Inode = 702
	for i, p := range []census.Process{
		{PID: 2, Comm: "kthreadd", Places: host}, {PID: 10, Comm: "nginx", Places: web},
		{PID: 11, Comm: "chrome\x1b[2J", Places: sandbox}, {PID: 20, Comm: "postgres", Places: db},
		{PID: 30, Comm: "tcpdump", Places: web},
	} {
		w.census.Processes = append(w.census.Processes, p)
		for k, id := range p.Places {
			ns := w.census.Namespaces[id]
			if ns == nil {
				ns = &census.Namespace{ID: id, Type: nsops.Types[k], Owner: host[user]}
				w.census.Namespaces[id] = ns
			}
			ns.Members = append(ns.Members, i)
		}
	}
	uid := func(n uint32) *uint32 { return &n }
	get := func(inode uint64) *census.Namespace { return w.census.Namespaces[nsops.ID{Device: 4, Inode: inode}] }
	get(host[user].Inode).Owner, get(host[user].Inode).OwnerUID = nsops.ID{}, uid(0)
	get(602).Parent, get(602).OwnerUID = host[user], uid(1000)
	get(601).Owner = get(602).ID
	for _, inode := range []uint64{502, 702} {
		get(inode).Parent = host[pid]
	}
	orphan := nsops.ID{Device: 4, Inode: 801}
	w.census.Namespaces[orphan] = &census.Namespace{ID: orphan, Type: nsops.Net, Owner: host[user], Held: 25, Holds: []census.Hold{
		{PID: 40, Comm: "dockerd", FD: 9}, {PID: 41, Comm: "sh", Path: "/run/netns/a\x1b", MountNS: nsops.ID{Device: 4, Inode: 9}},
		{PID: 2, Comm: "kthreadd", Path: "/run/netns/b", MountNS: host[2]}, {PID: 42, Comm: "unshare", Children: true},
	}}
	w.containers = []*dockerx.Container{
		{Ref: "web", Name: "web", Process: &proc.Process{PID: 10}}, {Ref: "db", Name: "db", Process: &proc.Process{PID: 20}},
	}
	w.in = []int{-1, 0, 0, 1, -1}
	return w
}

func TestSpaceTables(t *testing.T) {
	w := madeWorld()
	var records []spaceRecord
	for _, ns := range w.census.List() {
		records = append(records, w.record(ns))
	}
	golden(t, "tree", rendered(t, output.Options{}, records, func() output.Table { return w.treeTable(w.census.List(), false) }))
	golden(t, "procs", rendered(t, output.Options{}, records, func() output.Table { return procsTable(records, false) }))
	golden(t, "spaces-json", rendered(t, output.Options{Format: "json"}, records, nil))
}

func TestOneSpace(t *testing.T) {
	w := madeWorld()
	file := outputtest.File(t)
	out, err := output.New(file, output.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var records []spaceRecord
	for _, inode := range []uint64{501, 602, 801} {
		records = append(records, w.record(w.census.Namespaces[nsops.ID{Device: 4, Inode: inode}]))
	}
	if err := renderSpaces(out, records); err != nil {
		t.Fatal(err)
	}
	golden(t, "spaces", outputtest.Content(t, file))
}

func TestChosen(t *testing.T) {
	w := madeWorld()
	w.refs = []int{0}
	got := map[uint64]bool{}
	keep := w.chosen(nsOptions{})
	for _, ns := range w.census.List() {
		if ns.ID.Inode < 1000 && keep(ns) {
			got[ns.ID.Inode] = true
		}
	}
	if diff := cmp.Diff(map[uint64]bool{501: true, 502: true, 601: true, 602: true}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestInsideTable(t *testing.T) {
	web := made("web", map[nsops.Type]uint64{nsops.Net: 501})
	places := census.PlacesOf(web.set)
	places[3], places[6].Inode = madeHost().set.Own[nsops.Net], 602
	web.inside = []census.Process{{PID: 11, Comm: "a\x1bb", Places: places}}
	for i := range 25 {
		web.inside = append(web.inside, census.Process{PID: 100 + i, Comm: "worker", Places: places})
	}
	file := outputtest.File(t)
	out, err := output.New(file, output.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := newNSView(madeHost(), []nsSubject{web}, nil, false).writeInside(out); err != nil {
		t.Fatal(err)
	}
	golden(t, "inside", outputtest.Content(t, file))
}
