package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"dx/cmpdiff"
	"dx/dockerx"
	"dx/nsops"
)

// nsRecord is one line of dx ns --format json.
type nsRecord struct {
	ID         string `header:"CONTAINER ID"`
	Name       string
	Pid        int
	Source     dockerx.Source
	Namespaces []nsEntry
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
	report   cmpdiff.Report
	noTrunc  bool
}

func newNSView(host nsSubject, subjects []nsSubject, noTrunc bool) *nsView {
	var others []cmpdiff.Subject
	for _, s := range subjects {
		others = append(others, cmpdiff.Subject{Name: s.name, Namespaces: s.set})
	}
	base := cmpdiff.Subject{Name: host.name, Namespaces: host.set}
	return &nsView{host: host, subjects: subjects, report: cmpdiff.Compare(base, others...), noTrunc: noTrunc}
}

func (v *nsView) hostRecord() nsRecord {
	return v.record(v.host, func(r cmpdiff.Row) cmpdiff.Cell { return r.Base })
}

func (v *nsView) records() []nsRecord {
	var out []nsRecord
	for i, s := range v.subjects {
		out = append(out, v.record(s, func(r cmpdiff.Row) cmpdiff.Cell { return r.Cells[i] }))
	}
	return out
}

func (v *nsView) record(s nsSubject, of func(cmpdiff.Row) cmpdiff.Cell) nsRecord {
	rec := nsRecord{ID: s.id, Name: s.name, Pid: s.pid, Source: s.source}
	for _, r := range v.report.Rows {
		c := of(r)
		e := nsEntry{
			Type: r.Type, Inode: c.ID.Inode, Device: c.ID.Device, HostInode: r.Base.ID.Inode,
			Shared: c.Relation == cmpdiff.Shared, Unreadable: unread(c),
		}
		if c.Children != nil {
			e.ChildrenInode = &c.Children.Inode
		}
		rec.Namespaces = append(rec.Namespaces, e)
	}
	return rec
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
		for _, c := range r.Cells {
			cells = append(cells, comparedCell(c))
		}
		t.rows = append(t.rows, append(cells, cell{text: v.relation(r)}))
	}
	return t
}

// relation says in words what a row means.
func (v *nsView) relation(r cmpdiff.Row) string {
	if len(r.Cells) == 1 {
		return relationOfOne(r.Cells[0])
	}
	var parts []string
	for _, g := range r.Groups {
		var names []string
		if g.Base {
			names = append(names, v.report.Base)
		}
		for _, m := range g.Members {
			names = append(names, v.report.Subjects[m])
		}
		if len(names) > 1 {
			parts = append(parts, strings.Join(names, " = "))
		}
	}
	if len(parts) == 0 && !slices.ContainsFunc(r.Cells, unread) && r.Differ() {
		return "all differ"
	}
	return strings.Join(parts, "; ")
}

func relationOfOne(c cmpdiff.Cell) string {
	switch c.Relation {
	case cmpdiff.Shared:
		return "shared with host"
	case cmpdiff.Own:
		return "differs"
	case cmpdiff.Missing:
		return "not in this kernel"
	}
	return "unknown"
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
