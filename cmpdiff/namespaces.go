// Package cmpdiff compares what was read of several processes: facts in, a report
// out. It reads nothing and prints nothing, and does not know what a container is:
// a Subject has a name and facts, wherever both come from.
package cmpdiff

import "dx/nsops"

// Subject is one side of a comparison.
type Subject struct {
	Name       string
	Namespaces nsops.Set // Own is nil where they could not be read
}

// Relation is what a subject's namespace is to the base's of the same kind.
type Relation int

// The relations.
const (
	Unknown Relation = iota // one of the two could not be read
	Missing                 // the kernel has no such kind
	Shared                  // it is the base's
	Own                     // it is another one
)

// Cell is one kind of namespace of one subject.
type Cell struct {
	ID       nsops.ID // zero where it was not read or there is none
	Relation Relation
	Children *nsops.ID // as nsops.Set.Children; nil where they are born into ID
	Group    int       // index of Row.Groups; -1 where ID is zero
}

// Group is the subjects that are in one namespace.
type Group struct {
	ID      nsops.ID
	Base    bool  // the base is in it too
	Members []int // indexes of Report.Subjects, ascending
}

// Row is one kind of namespace of all subjects.
type Row struct {
	Type   nsops.Type
	Base   Cell
	Cells  []Cell  // one a subject
	Groups []Group // the base's first, the others in the order of their first member
}

// Report is a comparison: a row for each of nsops.Types, in that order.
type Report struct {
	Base     string
	Subjects []string
	Rows     []Row
}

// Compare compares the namespaces of subjects with those of base (for dx: the
// host) and with each other. It is linear in the number of subjects.
func Compare(base Subject, subjects ...Subject) Report {
	r := Report{Base: base.Name}
	for _, s := range subjects {
		r.Subjects = append(r.Subjects, s.Name)
	}
	for _, t := range nsops.Types {
		r.Rows = append(r.Rows, compareType(t, base, subjects))
	}
	return r
}

func compareType(t nsops.Type, base Subject, subjects []Subject) Row {
	row := Row{Type: t, Base: newCell(t, base, base)}
	for _, s := range subjects {
		row.Cells = append(row.Cells, newCell(t, base, s))
	}
	row.Groups = group(row)
	return row
}

func newCell(t nsops.Type, base, s Subject) Cell {
	if s.Namespaces.Own == nil {
		return Cell{Group: -1}
	}
	id, ok := s.Namespaces.Own[t]
	if !ok {
		return Cell{Relation: Missing, Group: -1}
	}
	c := Cell{ID: id, Relation: relate(t, base, id)}
	if children, ok := s.Namespaces.Children[t]; ok {
		c.Children = &children
	}
	return c
}

func relate(t nsops.Type, base Subject, id nsops.ID) Relation {
	switch {
	case base.Namespaces.Own == nil:
		return Unknown
	case base.Namespaces.Own[t] == id:
		return Shared
	}
	return Own
}

func group(row Row) []Group {
	var groups []Group
	index := map[nsops.ID]int{}
	if !row.Base.ID.IsZero() {
		groups = append(groups, Group{ID: row.Base.ID, Base: true})
		index[row.Base.ID] = 0
	}
	for i, c := range row.Cells {
		if c.ID.IsZero() {
			continue
		}
		at, ok := index[c.ID]
		if !ok {
			at = len(groups)
			index[c.ID] = at
			groups = append(groups, Group{ID: c.ID})
		}
		groups[at].Members = append(groups[at].Members, i)
		row.Cells[i].Group = at
	}
	return groups
}

// FirstDiffer reports whether the first n subjects are known not to be all in one
// namespace. The base does not count.
func (r Row) FirstDiffer(n int) bool {
	inhabited := 0
	for _, g := range r.Groups {
		if len(g.Members) > 0 && g.Members[0] < n {
			inhabited++
		}
	}
	return inhabited > 1
}

// SharedWith names the other subjects in the same namespace as subject i, the base
// first.
func (r Report) SharedWith(row Row, i int) []string {
	if row.Cells[i].Group < 0 {
		return nil
	}
	g := row.Groups[row.Cells[i].Group]
	var names []string
	if g.Base {
		names = append(names, r.Base)
	}
	for _, m := range g.Members {
		if m != i {
			names = append(names, r.Subjects[m])
		}
	}
	return names
}
