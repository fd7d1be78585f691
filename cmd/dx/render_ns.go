package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"dx/cmpdiff"
	"dx/dockerx"
	"dx/nsops"
	"dx/nsops/census"
	"dx/nsops/escape"
)

// nsRecord is one line of dx ns --format json.
type nsRecord struct {
	ID         string `header:"CONTAINER ID"`
	Name       string
	Pid        int
	Source     dockerx.Source
	Namespaces []nsEntry
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

func (r nsRecord) quiet() string { return r.ID }

func (r nsRecord) short() nsRecord {
	r.ID = shortID(r.ID)
	return r
}

// nsView is a comparison in the forms in which it is shown.
type nsView struct {
	host     nsSubject
	subjects []nsSubject
	report   cmpdiff.Report // its first subjects are these, the others follow
	noTrunc  bool
}

// newNSView compares subjects, which are shown, and others, which are named where they
// share something.
func newNSView(host nsSubject, subjects, others []nsSubject, noTrunc bool) *nsView {
	var all []cmpdiff.Subject
	for _, s := range slices.Concat(subjects, others) {
		all = append(all, cmpdiff.Subject{Name: s.name, Namespaces: s.set})
	}
	base := cmpdiff.Subject{Name: host.name, Namespaces: host.set}
	return &nsView{host: host, subjects: subjects, report: cmpdiff.Compare(base, all...), noTrunc: noTrunc}
}

func (v *nsView) hostRecord() nsRecord {
	rec := nsRecord{Name: v.host.name, Pid: v.host.pid, Source: v.host.source}
	for _, r := range v.report.Rows {
		rec.Namespaces = append(rec.Namespaces, newNSEntry(r, r.Base))
	}
	return rec
}

func (v *nsView) records() []nsRecord {
	var out []nsRecord
	for i, s := range v.subjects {
		rec := nsRecord{ID: s.id, Name: s.name, Pid: s.pid, Source: s.source, Inside: v.inside(s)}
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

func (v *nsView) inside(s nsSubject) []nsInside {
	var out []nsInside
	own, host := census.PlacesOf(s.set), census.PlacesOf(v.host.set)
	for _, p := range s.inside {
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

// list is a row a subject, the host first, and a column a kind.
func (v *nsView) list() table {
	t := table{header: []string{"CONTAINER ID", "NAME", "PID"}}
	for _, r := range v.report.Rows {
		t.header = append(t.header, strings.ToUpper(string(r.Type)))
	}
	hostRow := v.listRow(v.host)
	for _, r := range v.report.Rows {
		hostRow = append(hostRow, cell{text: inodeText(r.Base, "")})
	}
	t.rows = append(t.rows, hostRow)
	for i, s := range v.subjects {
		cells := v.listRow(s)
		for _, r := range v.report.Rows {
			cells = append(cells, comparedCell(r.Cells[i]))
		}
		t.rows = append(t.rows, cells)
	}
	return t
}

func (v *nsView) listRow(s nsSubject) []cell {
	id := s.id
	switch {
	case id == "":
		id = "-"
	case !v.noTrunc:
		id = shortID(id)
	}
	return row(id, s.name, strconv.Itoa(s.pid))
}

// columns is a row a kind and a column a subject, the host's first.
func (v *nsView) columns() table {
	t := table{header: []string{"NAMESPACE", "HOST"}}
	for _, s := range v.subjects {
		t.header = append(t.header, s.name)
	}
	t.header = append(t.header, "RELATION")
	for _, r := range v.report.Rows {
		cells := row(string(r.Type), inodeText(r.Base, ""))
		for _, c := range r.Cells[:len(v.subjects)] {
			cells = append(cells, comparedCell(c))
		}
		t.rows = append(t.rows, append(cells, cell{text: v.relation(r)}))
	}
	return t
}

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

// some joins names, a few of them unless all are wanted.
func (v *nsView) some(names []string, by string) string { return some(names, by, v.noTrunc) }

func some(names []string, by string, all bool) string {
	const few = 5
	if more := len(names) - few; more > 0 && !all {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:few], by), more)
	}
	return strings.Join(names, by)
}

// writeInside prints below the table who is elsewhere than its container's init.
func (v *nsView) writeInside(out *output) error {
	const few = 20
	for _, s := range v.subjects {
		list := v.inside(s)
		if len(list) == 0 {
			continue
		}
		fmt.Fprintf(out.screen, "\nProcesses in %s that are elsewhere than its init:\n", escape.Line(s.name))
		more := 0
		if len(list) > few && !v.noTrunc {
			more = len(list) - few
			list = list[:few]
		}
		if err := insideTable(list).write(out.screen, out.screen.colour); err != nil {
			return err
		}
		if more > 0 {
			fmt.Fprintf(out.screen, "and %d more (--no-trunc shows them)\n", more)
		}
	}
	return nil
}

func insideTable(list []nsInside) table {
	t := table{header: []string{"PID", "COMMAND", "NAMESPACES"}}
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
		cells := row(strconv.Itoa(in.Pid), in.Command, strings.Join(places, ", "))
		cells[2].alert = host
		t.rows = append(t.rows, cells)
	}
	return t
}

// comparedCell makes what is shared with the host stand out.
func comparedCell(c cmpdiff.Cell) cell {
	if c.Relation == cmpdiff.Shared {
		return cell{text: inodeText(c, "*"), alert: true}
	}
	return cell{text: inodeText(c, "")}
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
