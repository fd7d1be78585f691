package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"dx/cmd/dx/output"
	"dx/cmpdiff"
	"dx/dockerx"
	"dx/dockerx/namespaces"
	"dx/nsops"
	"dx/nsops/census"
)

// nsRecord is one line of dx ns --format json.
type nsRecord struct {
	ID         string `header:"CONTAINER ID"`
	Name       string
	Pid        int
	Source     dockerx.Source
	Namespaces []nsEntry
	Engine     string `json:",omitempty"` // whose the container is; empty for pid:N and host
	// Inside are its processes that are in other namespaces than its init. They are
	// looked for where references are given.
	Inside []nsInside `json:",omitempty"`
}

// nsInside is a process in a container, with the namespaces in which it is elsewhere.
type nsInside struct {
	Pid        int
	Command    string
	Namespaces []nsPlace
}

// nsPlace is a namespace of such a process.
type nsPlace struct {
	Type   nsops.Type
	Inode  uint64
	Device uint64
	Shared bool // with the host
}

// nsEntry is one of its eight namespaces. Inode is 0 where the kernel does not have
// the kind, and where the entry is Unreadable.
type nsEntry struct {
	Type      nsops.Type
	Inode     uint64
	Device    uint64
	HostInode uint64
	Shared    bool // with the host
	// ChildrenInode is the namespace that children will be born into, where it is
	// another one; 0: a PID namespace that has no process yet.
	ChildrenInode *uint64 `json:",omitempty"`
	Unreadable    bool    `json:",omitempty"`
	// SharedWith names who else is in it: "host" alone where it is the host's, else
	// other containers.
	SharedWith []string `json:",omitempty"`
	// Differs: what was asked for is not all in one namespace of this kind.
	Differs bool `json:",omitempty"`
}

func (r nsRecord) Quiet() string { return r.ID }

func (r nsRecord) Short() nsRecord {
	r.ID = output.ShortID(r.ID)
	return r
}

// nsView is a comparison in the forms in which it is shown.
type nsView struct {
	host     namespaces.Subject
	subjects []namespaces.Subject
	report   cmpdiff.Report // its first subjects are these, the others follow
	noTrunc  bool
	inodes   bool // a list of inode numbers, the host's too
}

// newNSView compares subjects, which are shown, and others, which are named where they
// share something.
func newNSView(host namespaces.Subject, subjects, others []namespaces.Subject, noTrunc bool) *nsView {
	var all []cmpdiff.Subject
	for _, s := range slices.Concat(subjects, others) {
		all = append(all, cmpdiff.Subject{Name: s.Name, Namespaces: s.Set})
	}
	base := cmpdiff.Subject{Name: host.Name, Namespaces: host.Set}
	return &nsView{host: host, subjects: subjects, report: cmpdiff.Compare(base, all...), noTrunc: noTrunc}
}

func (v *nsView) hostRecord() nsRecord {
	rec := nsRecord{Name: v.host.Name, Pid: v.host.PID, Source: v.host.Source}
	for _, r := range v.report.Rows {
		rec.Namespaces = append(rec.Namespaces, newNSEntry(r, r.Base))
	}
	return rec
}

func (v *nsView) records() []nsRecord {
	var out []nsRecord
	for i, s := range v.subjects {
		rec := nsRecord{ID: s.ID, Name: s.Name, Pid: s.PID, Engine: s.Engine, Source: s.Source, Inside: v.inside(s)}
		for _, r := range v.report.Rows {
			e := newNSEntry(r, r.Cells[i])
			e.SharedWith = v.sharers(r, i)
			e.Differs = r.FirstDiffer(len(v.subjects))
			rec.Namespaces = append(rec.Namespaces, e)
		}
		out = append(out, rec)
	}
	return out
}

func newNSEntry(r cmpdiff.Row, c cmpdiff.Cell) nsEntry {
	e := nsEntry{
		Type: r.Type, Inode: c.ID.Inode, Device: c.ID.Device, HostInode: r.Base.ID.Inode,
		Shared: c.Relation == cmpdiff.Shared, Unreadable: unread(c),
	}
	if c.Children != nil {
		e.ChildrenInode = &c.Children.Inode
	}
	return e
}

// sharers names who else is in the namespace of subject i. What is the host's is so
// for all that are in it: naming them would take a line of n names for each of n.
func (v *nsView) sharers(r cmpdiff.Row, i int) []string {
	if r.Cells[i].Relation == cmpdiff.Shared {
		return []string{v.report.Base}
	}
	return v.report.SharedWith(r, i)
}

func (v *nsView) inside(s namespaces.Subject) []nsInside {
	var out []nsInside
	own, host := census.PlacesOf(s.Set), census.PlacesOf(v.host.Set)
	for _, p := range s.Inside {
		in := nsInside{Pid: p.PID, Command: p.Comm}
		for i, t := range nsops.Types {
			if p.Places[i] != own[i] {
				in.Namespaces = append(in.Namespaces, nsPlace{
					Type: t, Inode: p.Places[i].Inode, Device: p.Places[i].Device, Shared: p.Places[i] == host[i],
				})
			}
		}
		out = append(out, in)
	}
	return out
}

func unread(c cmpdiff.Cell) bool { return c.Relation == cmpdiff.Unknown && c.ID.IsZero() }

// list is a row a subject and a column a type: of its own, the host's, or shared with
// whom. As inode numbers the host has a row too.
func (v *nsView) list() output.Table {
	t := output.Table{
		Header: []string{"CONTAINER ID", "NAME", "PID"},
		Drop:   []string{"CONTAINER ID", "PID", "ENGINE", "TIME", "CGROUP"},
	}
	for _, r := range v.report.Rows {
		t.Header = append(t.Header, strings.ToUpper(string(r.Type)))
	}
	rows := v.subjects
	if v.inodes {
		cells := v.listRow(v.host)
		for _, r := range v.report.Rows {
			cells = append(cells, output.Cell{Text: inodeText(r.Base, "")})
		}
		t.Rows, rows = append(t.Rows, cells), append([]namespaces.Subject{v.host}, v.subjects...)
	}
	for i, s := range v.subjects {
		cells := v.listRow(s)
		for _, r := range v.report.Rows {
			cells = append(cells, v.listCell(r, i))
		}
		t.Rows = append(t.Rows, cells)
	}
	return withEngines(t, rows, engineOf)
}

// listCell says in a word whose the namespace of a subject is.
func (v *nsView) listCell(r cmpdiff.Row, i int) output.Cell {
	c := r.Cells[i]
	if v.inodes || unread(c) || c.Relation == cmpdiff.Missing {
		return comparedCell(c)
	}
	text := "own"
	if names := v.sharers(r, i); c.Relation == cmpdiff.Shared {
		text = "host"
	} else if len(names) > 0 {
		text = "=" + names[0]
	}
	if c.Children != nil {
		text += " (children: another)"
	}
	return output.Cell{Text: text, Alert: c.Relation == cmpdiff.Shared}
}

func (v *nsView) listRow(s namespaces.Subject) []output.Cell {
	id := s.ID
	switch {
	case id == "":
		id = "-"
	case !v.noTrunc:
		id = output.ShortID(id)
	}
	return output.Row(id, s.Name, strconv.Itoa(s.PID))
}

// columns is a row a kind and a column a subject, the host's first.
func (v *nsView) columns() output.Table {
	t := output.Table{Header: []string{"NAMESPACE", "HOST"}}
	for _, s := range v.subjects {
		t.Header = append(t.Header, s.Name)
	}
	t.Header = append(t.Header, "RELATION")
	for _, r := range v.report.Rows {
		cells := output.Row(string(r.Type), inodeText(r.Base, ""))
		for _, c := range r.Cells[:len(v.subjects)] {
			cells = append(cells, comparedCell(c))
		}
		t.Rows = append(t.Rows, append(cells, output.Cell{Text: v.relation(r)}))
	}
	if severalEngines(v.subjects, engineOf) {
		cells := output.Row("engine", "-")
		for _, s := range v.subjects {
			cells = append(cells, output.Row(cmp.Or(s.Engine, "-"))...)
		}
		t.Rows = append(t.Rows, append(cells, output.Cell{}))
	}
	return t
}

func engineOf(s namespaces.Subject) string { return s.Engine }

// relation says in words what a row means.
func (v *nsView) relation(r cmpdiff.Row) string {
	shown := r.Cells[:len(v.subjects)]
	if len(shown) == 1 {
		return v.relationOfOne(r)
	}
	parts := strings.Join(v.together(r), "; ")
	switch {
	case r.FirstDiffer(len(shown)) && parts != "":
		return "differ: " + parts
	case r.FirstDiffer(len(shown)):
		return "differ"
	case slices.ContainsFunc(shown, unread):
		return parts
	case shown[0].Relation == cmpdiff.Missing:
		return "not in this kernel"
	}
	return v.same(r)
}

// together names those that are in one namespace, as "host = web"; of those that are
// not shown, who shares with one that is.
func (v *nsView) together(r cmpdiff.Row) []string {
	var parts []string
	for _, g := range r.Groups {
		var names []string
		if g.Base {
			names = append(names, v.report.Base)
		}
		shown := 0
		for _, m := range g.Members {
			if m < len(v.subjects) {
				shown++
			}
			if m < len(v.subjects) || !g.Base {
				names = append(names, v.report.Subjects[m])
			}
		}
		if shown > 0 && len(names) > 1 {
			parts = append(parts, v.some(names, " = "))
		}
	}
	return parts
}

// same is for subjects that are all in one namespace.
func (v *nsView) same(r cmpdiff.Row) string {
	g := r.Groups[r.Cells[0].Group]
	if g.Base {
		return "same: the host's"
	}
	var names []string
	for _, m := range g.Members {
		if m >= len(v.subjects) {
			names = append(names, v.report.Subjects[m])
		}
	}
	if len(names) == 0 {
		return "same"
	}
	return "same: shared with " + v.some(names, ", ")
}

func (v *nsView) relationOfOne(r cmpdiff.Row) string {
	c := r.Cells[0]
	names := v.sharers(r, 0)
	switch {
	case c.Relation == cmpdiff.Missing:
		return "not in this kernel"
	case len(names) > 0:
		return "shared with " + v.some(names, ", ")
	case c.Relation == cmpdiff.Own:
		return "differs"
	}
	return "unknown"
}

// maxNames is how many names stand in a cell without --no-trunc.
const maxNames = 5

func (v *nsView) some(names []string, sep string) string {
	return output.JoinFew(names, sep, maxNames, v.noTrunc)
}

// maxProcesses is how many processes of a container or namespace are shown without
// --no-trunc.
const maxProcesses = 20

// writeInside prints below the table which processes are not where their container's
// init is.
func (v *nsView) writeInside(out *output.Printer) error {
	page := out.NewCard()
	for _, s := range v.subjects {
		list := v.inside(s)
		if len(list) == 0 {
			continue
		}
		page.Blank()
		page.Linef("Processes in %s that are in other namespaces than its init:", s.Name)
		shown := list
		if !v.noTrunc {
			shown = list[:min(len(list), maxProcesses)]
		}
		page.Table(insideTable(shown))
		more(page, len(list)-len(shown))
	}
	return page.Print()
}

// more notes how many processes are not shown.
func more(page *output.Card, n int) {
	if n > 0 {
		page.Linef("and %d more (--no-trunc shows them)", n)
	}
}

func insideTable(list []nsInside) output.Table {
	t := output.Table{Header: []string{"PID", "COMMAND", "NAMESPACES"}}
	for _, in := range list {
		var places []string
		host := false
		for _, p := range in.Namespaces {
			text := fmt.Sprintf("%s %d", p.Type, p.Inode)
			if p.Shared {
				host, text = true, text+"*"
			}
			places = append(places, text)
		}
		cells := output.Row(strconv.Itoa(in.Pid), in.Command, strings.Join(places, ", "))
		cells[2].Alert = host
		t.Rows = append(t.Rows, cells)
	}
	return t
}

// comparedCell makes what is shared with the host stand out.
func comparedCell(c cmpdiff.Cell) output.Cell {
	if c.Relation == cmpdiff.Shared {
		return output.Cell{Text: inodeText(c, "*"), Alert: true}
	}
	return output.Cell{Text: inodeText(c, "")}
}

// inodeText shows a namespace by its inode and a mark.
func inodeText(c cmpdiff.Cell, mark string) string {
	switch {
	case unread(c):
		return "?"
	case c.Relation == cmpdiff.Missing:
		return "-"
	}
	text := strconv.FormatUint(c.ID.Inode, 10) + mark
	switch {
	case c.Children == nil:
		return text
	case c.Children.IsZero():
		return text + " (children: a new one)"
	}
	return fmt.Sprintf("%s (children: %d)", text, c.Children.Inode)
}
