package main

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dx/cmd/dx/output"
	"dx/cmd/dx/output/outputtest"
	"dx/dockerx"
	"dx/dockerx/namespaces"
	"dx/nsops"
	"dx/nsops/census"
	"dx/nsops/proc"
)

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
func madeWorld() *spaces {
	const net, user, pid = 3, 6, 4
	host := census.PlacesOf(madeHost().Set)
	w := &spaces{World: &namespaces.World{Host: host, Census: &census.Census{Namespaces: map[nsops.ID]*census.Namespace{}}}}
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
		w.Census.Processes = append(w.Census.Processes, p)
		for k, id := range p.Places {
			ns := w.Census.Namespaces[id]
			if ns == nil {
				ns = &census.Namespace{ID: id, Type: nsops.Types[k], Owner: host[user]}
				w.Census.Namespaces[id] = ns
			}
			ns.Members = append(ns.Members, i)
		}
	}
	uid := func(n uint32) *uint32 { return &n }
	get := func(inode uint64) *census.Namespace { return w.Census.Namespaces[nsops.ID{Device: 4, Inode: inode}] }
	get(host[user].Inode).Owner, get(host[user].Inode).OwnerUID = nsops.ID{}, uid(0)
	get(602).Parent, get(602).OwnerUID = host[user], uid(1000)
	get(601).Owner = get(602).ID
	for _, inode := range []uint64{502, 702} {
		get(inode).Parent = host[pid]
	}
	orphan := nsops.ID{Device: 4, Inode: 801}
	w.Census.Namespaces[orphan] = &census.Namespace{ID: orphan, Type: nsops.Net, Owner: host[user], Held: 25, Holds: []census.Hold{
		{PID: 40, Comm: "dockerd", FD: 9}, {PID: 41, Comm: "sh", Path: "/run/netns/a\x1b", MountNS: nsops.ID{Device: 4, Inode: 9}},
		{PID: 2, Comm: "kthreadd", Path: "/run/netns/b", MountNS: host[2]}, {PID: 42, Comm: "unshare", Children: true},
	}}
	w.Containers = []*dockerx.Container{
		{Ref: "web", Name: "web", Process: &proc.Process{PID: 10}}, {Ref: "db", Name: "db", Process: &proc.Process{PID: 20}},
	}
	w.In = []int{-1, 0, 0, 1, -1}
	return w
}

func TestSpaceTables(t *testing.T) {
	w := madeWorld()
	var records []spaceRecord
	for _, ns := range w.Census.List() {
		records = append(records, w.record(ns))
	}
	golden(t, "tree", rendered(t, output.Options{}, records, func() output.Table { return w.treeTable(w.Census.List(), false) }))
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
		records = append(records, w.record(w.Census.Namespaces[nsops.ID{Device: 4, Inode: inode}]))
	}
	if err := renderSpaces(out, records); err != nil {
		t.Fatal(err)
	}
	golden(t, "spaces", outputtest.Content(t, file))
}

func TestChosen(t *testing.T) {
	w := madeWorld()
	w.Refs = []int{0}
	got := map[uint64]bool{}
	for _, ns := range w.Choose(namespaces.Choice{}) {
		if ns.ID.Inode < 1000 {
			got[ns.ID.Inode] = true
		}
	}
	if diff := cmp.Diff(map[uint64]bool{501: true, 502: true, 601: true, 602: true}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestInsideTable(t *testing.T) {
	web := made("web", map[nsops.Type]uint64{nsops.Net: 501})
	places := census.PlacesOf(web.Set)
	places[3], places[6].Inode = madeHost().Set.Own[nsops.Net], 602
	web.Inside = []census.Process{{PID: 11, Comm: "a\x1bb", Places: places}}
	for i := range 25 {
		web.Inside = append(web.Inside, census.Process{PID: 100 + i, Comm: "worker", Places: places})
	}
	file := outputtest.File(t)
	out, err := output.New(file, output.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := newNSView(madeHost(), []namespaces.Subject{web}, nil, false).writeInside(out); err != nil {
		t.Fatal(err)
	}
	golden(t, "inside", outputtest.Content(t, file))
}
