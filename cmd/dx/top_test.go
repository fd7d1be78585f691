package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"dx/cmd/dx/output"
	"dx/dockerx"
	"dx/dockerx/lookup"
	"dx/dockerx/top"
	"dx/nsops/proc"
)

func uid(n uint32) *uint32 { return &n }

func madeTasks() []top.Task {
	return []top.Task{
		{PID: 1861, ContainerPID: 1, PPID: 1805, User: "root", UID: 200000, ContainerUID: uid(0), State: 'S', CPU: 61 * time.Second, Percent: 3.25, RSS: 1294336, Elapsed: 26*time.Hour + 5*time.Second, Via: top.ViaInit, Command: "sh -c serve"},
		{PID: 1900, ContainerPID: 7, PPID: 1861, UID: 201000, ContainerUID: uid(1000), State: 'R', Percent: 150, RSS: 5 << 20, Command: "evil\x1b[31m\nROOT " + strings.Repeat("x", 100)},
		{PID: 1946, ContainerPID: 9, PPID: 1805, User: "app", UID: 201001, ContainerUID: uid(1001), State: 'Z', Via: top.ViaExec, Command: "[sh] <defunct>"},
		{PID: 1992, PPID: 5, UID: 0, State: 'S', Via: top.ViaNsenter, Command: "nsenter", Cut: true},
		{PID: 1999, ContainerPID: 20, PPID: 1900, User: "root", ContainerUID: uid(0), State: 'S', Command: "grandchild"},
	}
}

func topText(t *testing.T, o output.Options, sort string, tree bool) string {
	t.Helper()
	records := topRecords(&dockerx.Container{ID: strings.Repeat("ab", 32)}, madeTasks(), taskOrder(sort), tree)
	return rendered(t, o, records, func() output.Table { return topTable(output.Shorten(records, o)) })
}

func TestTopTables(t *testing.T) {
	for file, got := range map[string]string{
		"pid": topText(t, output.Options{}, "pid", false), "cpu": topText(t, output.Options{}, "cpu", false),
		"tree": topText(t, output.Options{NoTrunc: true}, "pid", true),
	} {
		want, err := os.ReadFile("testdata/top/" + file)
		if err != nil || string(want) != got {
			t.Errorf("%s: %v\n%s\nwant\n%s", file, err, got, want)
		}
	}
	if got := topText(t, output.Options{Quiet: true}, "rss", false); got != "1900\n1861\n1946\n1992\n1999\n" {
		t.Errorf("-q: %s", got)
	}
	if got := topText(t, output.Options{Format: "json"}, "time", false); !strings.Contains(got, `"ContainerUID":1000,`) || !strings.Contains(got, `"Command":"evil\u001b[31m\nROOT xxx`) || !strings.Contains(got, `"ContainerUID":null`) {
		t.Errorf("JSON: %s", got)
	}
}

// TestTopOfSeveral: each container's own order, behind its name.
func TestTopOfSeveral(t *testing.T) {
	var records []topRecord
	for _, name := range []string{"web", "db"} {
		records = append(records, topRecords(&dockerx.Container{Name: name}, madeTasks()[:2], taskOrder("rss"), false)...)
	}
	got := rendered(t, output.Options{}, records, func() output.Table { return topTable(output.Shorten(records, output.Options{})) })
	var first []string
	for line := range strings.Lines(got) {
		f := strings.Fields(line)
		first = append(first, f[0]+" "+f[1])
	}
	if want := "CONTAINER PID, web 1900, web 1861, db 1900, db 1861"; strings.Join(first, ", ") != want {
		t.Errorf("%s, want %s:\n%s", strings.Join(first, ", "), want, got)
	}
}

// TestTreeOfAnything: every process once, whatever the parents are.
func TestTreeOfAnything(t *testing.T) {
	var deep []topRecord
	for i := range 20000 {
		deep = append(deep, topRecord{Pid: i + 1, PPid: i})
	}
	for name, list := range map[string][]topRecord{
		"circle": {{Pid: 1, PPid: 2}, {Pid: 2, PPid: 1}, {Pid: 3, PPid: 3}, {Pid: 4, PPid: 1}}, "chain": deep,
	} {
		seen := map[int]int{}
		for _, r := range treeOf(list) {
			seen[r.Pid]++
			if len(r.indent) > 2*maxIndent+3 {
				t.Fatalf("%s: %d is indented by %d", name, r.Pid, len(r.indent))
			}
		}
		for _, r := range list {
			if seen[r.Pid] != 1 {
				t.Errorf("%s: %d is there %d times", name, r.Pid, seen[r.Pid])
			}
		}
	}
}

func TestClock(t *testing.T) {
	for seconds, want := range map[float64]string{0: "00:00:00", 59.9: "00:00:59", 3661: "01:01:01", 90061: "1-01:01:01"} {
		if got := clock(seconds); got != want {
			t.Errorf("%v: %s, want %s", seconds, got, want)
		}
	}
}

func TestWhoTable(t *testing.T) {
	c := &dockerx.Container{ID: strings.Repeat("ab", 32), Name: "web", Process: &proc.Process{PID: 7}, Source: dockerx.SourceHost}
	records := whoRecords("veth\x1b1", []lookup.Hit{{Kind: lookup.Interface, Container: c, Evidence: "eth\n0 in its net namespace"}})
	want := "ARG        KIND        CONTAINER   ID             PID   HOW\n" +
		`veth\x1b1   interface   web         abababababab   7     eth\n0 in its net namespace` + "\n"
	got := rendered(t, output.Options{}, records, func() output.Table { return whoTable(output.Shorten(records, output.Options{})) })
	if strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(want), " ") {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if bytes.ContainsRune([]byte(got), 0x1b) {
		t.Errorf("raw escape in %q", got)
	}
	if q := rendered(t, output.Options{Quiet: true, NoTrunc: true}, records, nil); q != c.ID+"\n" {
		t.Errorf("with -q --no-trunc: %q, want the ID %s", q, c.ID)
	}
	if j := rendered(t, output.Options{Format: "json"}, records, nil); !strings.HasPrefix(j, fmt.Sprintf(`{"Arg":"veth\u001b1","Kind":"interface","Name":"web","ID":%q,"Pid":7,"How":`, c.ID)) {
		t.Errorf("the JSON is %s, want the argument escaped, and the container", j)
	}
}
