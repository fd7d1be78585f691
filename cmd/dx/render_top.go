package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/docker/go-units"

	"dx/cmd/dx/output"
	"dx/dockerx"
	"dx/dockerx/top"
)

// topRecord is one line of dx top --format json.
type topRecord struct {
	Container    string `header:"CONTAINER ID"` // ID; empty for pid:N and host
	Name         string `header:"CONTAINER"`
	Engine       string // whose the container is; empty for pid:N and host
	Pid          int
	ContainerPid int `header:"CPID"` // 0: the container does not see it
	PPid         int
	User         string  // the container's name for it, else the number
	UID          uint32  // as the host has it
	ContainerUID *uint32 // as the container has it; null: not at all
	State        string
	CPU          float64   `header:"%CPU"`
	Time         float64   // of the CPU, in seconds
	RSS          uint64    // bytes
	StartedAt    time.Time `header:"STARTED"`
	Elapsed      float64   // seconds
	Via          top.Via
	Command      string
	Cut          bool `json:",omitempty"` // Command is longer than what is read

	indent string // of a tree
}

func (r topRecord) Quiet() string { return strconv.Itoa(r.Pid) }

// commandWidth is how much of a command line is shown without --no-trunc.
const commandWidth = 80

func (r topRecord) Short() topRecord {
	r.Container = output.ShortID(r.Container)
	if utf8.RuneCountInString(r.Command) > commandWidth {
		r.Command = string([]rune(r.Command)[:commandWidth-1]) + "…"
	}
	return r
}

type order func(a, b topRecord) int

// taskOrder reads --sort: the greatest first, but for PIDs.
func taskOrder(by string) order {
	key := map[string]order{
		"pid":  func(topRecord, topRecord) int { return 0 },
		"cpu":  func(a, b topRecord) int { return cmp.Compare(b.CPU, a.CPU) },
		"rss":  func(a, b topRecord) int { return cmp.Compare(b.RSS, a.RSS) },
		"time": func(a, b topRecord) int { return cmp.Compare(b.Time, a.Time) },
	}[by]
	return func(a, b topRecord) int { return cmp.Or(key(a, b), cmp.Compare(a.Pid, b.Pid)) }
}

func topRecords(c *dockerx.Container, tasks []top.Task, by order, tree bool) []topRecord {
	out := make([]topRecord, 0, len(tasks))
	for _, t := range tasks {
		out = append(out, topRecord{
			Container: c.ID, Name: c.Name, Engine: c.Engine, Pid: t.PID, ContainerPid: t.ContainerPID, PPid: t.PPID,
			User: userText(t), UID: t.UID, ContainerUID: t.ContainerUID,
			State: string(rune(t.State)), CPU: t.Percent, Time: t.CPU.Seconds(), RSS: t.RSS,
			StartedAt: t.Started, Elapsed: t.Elapsed.Seconds(), Via: t.Via, Command: t.Command, Cut: t.Cut,
		})
	}
	slices.SortFunc(out, by)
	if tree {
		out = treeOf(out)
	}
	return out
}

// userText marks a user that the container does not have: of one that joined from
// outside its user namespace.
func userText(t top.Task) string {
	switch {
	case t.User != "":
		return t.User
	case t.ContainerUID != nil:
		return strconv.FormatUint(uint64(*t.ContainerUID), 10)
	}
	return fmt.Sprintf("%d (host's)", t.UID)
}

// maxIndent is how many levels of a tree are indented: a chain of 10,000 processes
// must not become a hundred megabytes of blanks.
const maxIndent = 32

// treeOf puts children behind their parents and keeps the order among siblings.
func treeOf(sorted []topRecord) []topRecord {
	index := map[int]bool{}
	for _, r := range sorted {
		index[r.Pid] = true
	}
	children := map[int][]topRecord{}
	const top = 0
	for _, r := range sorted {
		parent := r.PPid
		if !index[parent] || parent == r.Pid {
			parent = top
		}
		children[parent] = append(children[parent], r)
	}
	out := make([]topRecord, 0, len(sorted))
	type level struct{ depth, parent int }
	stack := []level{{0, top}}
	for len(stack) > 0 {
		l := &stack[len(stack)-1]
		rest := children[l.parent]
		if len(rest) == 0 {
			stack = stack[:len(stack)-1]
			continue
		}
		r := rest[0]
		children[l.parent] = rest[1:]
		if l.depth > 0 {
			r.indent = strings.Repeat("  ", min(l.depth, maxIndent)-1) + `\_ `
		}
		out = append(out, r)
		stack = append(stack, level{l.depth + 1, r.Pid})
	}
	// /proc is not read at one moment: a circle of parents hangs on nothing.
	for _, r := range sorted {
		out = append(out, children[r.Pid]...)
		delete(children, r.Pid)
	}
	return out
}

func topTable(list []topRecord) output.Table {
	t := output.Table{
		Header: []string{"PID", "CPID", "USER", "STATE", "%CPU", "TIME", "RSS", "ELAPSED", "VIA", "COMMAND"},
		Drop:   []string{"ELAPSED", "CPID", "ENGINE", "TIME", "STATE", "RSS"},
	}
	for _, r := range list {
		cpid, via := "-", cmp.Or(string(r.Via), "-")
		if r.ContainerPid != 0 {
			cpid = strconv.Itoa(r.ContainerPid)
		}
		command := r.indent + r.Command
		if r.Cut && !strings.HasSuffix(command, "…") {
			command += "…"
		}
		cells := output.Row(strconv.Itoa(r.Pid), cpid, r.User, r.State, fmt.Sprintf("%.1f", r.CPU), clock(r.Time),
			units.BytesSize(float64(r.RSS)), clock(r.Elapsed), via, command)
		cells[8].Alert = r.Via == top.ViaNsenter
		t.Rows = append(t.Rows, cells)
	}
	return withNames(withEngines(t, list, func(r topRecord) string { return r.Engine }), list)
}

// withNames adds the column CONTAINER in front where several are shown.
func withNames(t output.Table, list []topRecord) output.Table {
	if !slices.ContainsFunc(list, func(r topRecord) bool { return r.Name != list[0].Name }) {
		return t
	}
	t.Header = append([]string{"CONTAINER"}, t.Header...)
	for i, r := range list {
		t.Rows[i] = append(output.Row(r.Name), t.Rows[i]...)
	}
	return t
}

// clock is ps's [DD-]hh:mm:ss (ps(1), cputime).
func clock(seconds float64) string {
	s := int64(seconds)
	text := fmt.Sprintf("%02d:%02d:%02d", s/3600%24, s/60%60, s%60)
	if days := s / 86400; days > 0 {
		text = fmt.Sprintf("%d-%s", days, text)
	}
	return text
}
