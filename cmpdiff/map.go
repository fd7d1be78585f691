package cmpdiff

import (
	"cmp"
	"slices"

	"dx/nsops"
)

// Map is a report in the form in which it can be drawn: the base around all,
// regions of subjects that share namespaces in it, and the subjects themselves.
// What is shared with the base is no region but a subject's relation to it.
type Map struct {
	Base     string
	Subjects []string
	// Kinds are those that anybody's kernel has, in the order of nsops.Types.
	Kinds []Kind
	// Common are the kinds in which all subjects that could be read are in the
	// base's namespace.
	Common []nsops.Type
	// Regions do not overlap, but for those that lie within others. Every subject
	// is a direct one of one region, or it is in Outside.
	Regions []Region
	Outside []int
	// Links are the regions that would cross others.
	Links []Region
}

// Kind is one kind of namespace: what each subject is in, and how that relates to
// the others.
type Kind struct {
	Type  nsops.Type
	Base  nsops.ID // zero where it could not be read
	Cells []Cell
	// Together has the subjects in a subject's namespace, itself included; none
	// where the namespace is the base's or unknown.
	Together [][]int
}

// Family is subjects that belong together by what others say of them, as a pod's do.
type Family struct {
	Name    string
	Members []int // ascending
}

// Region is subjects that share namespaces with each other and not with the base, or a
// Family, or both.
type Region struct {
	Name    string      // of the family; empty: it is none
	Shared  []Namespace // of these kinds, in the order of nsops.Types
	Members []int       // ascending
	Direct  []int       // the members that are in none of Within
	Within  []Region
}

// Namespace is one namespace of a kind.
type Namespace struct {
	Type nsops.Type
	ID   nsops.ID
}

// Map arranges a report. Namespaces with the same subjects in them make one region, and a
// family is one that is always there; families do not overlap. Larger regions are placed
// first, so that a smaller one lies within them or, where it has members on both sides of
// a border, becomes a link.
func (r Report) Map(families ...Family) Map {
	m := Map{Base: r.Base, Subjects: r.Subjects}
	for _, row := range r.Rows {
		if row.missing() {
			continue
		}
		m.Kinds = append(m.Kinds, newKind(row))
		if row.common() {
			m.Common = append(m.Common, row.Type)
		}
	}
	m.arrange(r.regions(families))
	return m
}

// missing reports whether nobody has the kind, so that the kernel lacks it.
func (r Row) missing() bool {
	lacks := func(c Cell) bool { return c.Relation == Missing }
	return lacks(r.Base) && !slices.ContainsFunc(r.Cells, func(c Cell) bool { return !lacks(c) })
}

// common reports whether all subjects that could be read are in the base's namespace.
func (r Row) common() bool {
	among := 0
	for _, c := range r.Cells {
		switch {
		case c.Relation == Shared:
			among++
		case c.Relation != Unknown || !c.ID.IsZero():
			return false
		}
	}
	return among > 0
}

func newKind(r Row) Kind {
	k := Kind{Type: r.Type, Base: r.Base.ID, Cells: r.Cells, Together: make([][]int, len(r.Cells))}
	for _, g := range r.Groups {
		if g.Base {
			continue
		}
		for _, member := range g.Members {
			k.Together[member] = g.Members
		}
	}
	return k
}

// regions are the families, and the sets of two and more that share without the base: the
// largest first; of equal size those that share more kinds. What crosses a family comes
// last, so that the family stays whole.
func (r Report) regions(families []Family) []Region {
	var out []Region
	index := map[string]int{}
	at := func(members []int) *Region {
		key := memberKey(members)
		if _, ok := index[key]; !ok {
			index[key] = len(out)
			out = append(out, Region{Members: members})
		}
		return &out[index[key]]
	}
	for _, f := range families {
		at(f.Members).Name = f.Name
	}
	for _, row := range r.Rows {
		for _, g := range row.Groups {
			if !g.Base && len(g.Members) > 1 {
				region := at(g.Members)
				region.Shared = append(region.Shared, Namespace{Type: row.Type, ID: g.ID})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Region) int {
		return cmp.Or(len(b.Members)-len(a.Members), len(b.Shared)-len(a.Shared), a.Members[0]-b.Members[0])
	})
	var whole, crossing []Region
	for _, region := range out {
		if region.crosses(families) {
			crossing = append(crossing, region)
		} else {
			whole = append(whole, region)
		}
	}
	return append(whole, crossing...)
}

// crosses reports whether a region has a part of a family, and something else.
func (r Region) crosses(families []Family) bool {
	if r.Name != "" || len(families) == 0 {
		return false
	}
	members := map[int]bool{}
	for _, i := range r.Members {
		members[i] = true
	}
	return slices.ContainsFunc(families, func(f Family) bool {
		common := 0
		for _, i := range f.Members {
			if members[i] {
				common++
			}
		}
		return common > 0 && common < min(len(f.Members), len(r.Members))
	})
}

// memberKey is equal for equal lists.
func memberKey(members []int) string {
	key := make([]byte, 0, 4*len(members))
	for _, m := range members {
		key = append(key, byte(m), byte(m>>8), byte(m>>16), byte(m>>24))
	}
	return string(key)
}

// node is a region that has been placed.
type node struct {
	Region
	within []*node
}

// arrange places the regions, given the largest first. A region fits where all its
// members have the same innermost region so far: it is not larger than that one.
func (m *Map) arrange(regions []Region) {
	root := &node{}
	innermost := make([]*node, len(m.Subjects))
	for i := range innermost {
		innermost[i] = root
	}
	for _, r := range regions {
		parent := innermost[r.Members[0]]
		if slices.ContainsFunc(r.Members, func(i int) bool { return innermost[i] != parent }) {
			m.Links = append(m.Links, r)
			continue
		}
		n := &node{Region: r}
		parent.within = append(parent.within, n)
		for _, i := range r.Members {
			innermost[i] = n
		}
	}
	for i, n := range innermost {
		n.Direct = append(n.Direct, i)
	}
	m.Outside = root.Direct
	m.Regions = root.regions(m.linked())
}

// linked has for each subject the first of those that it is connected with by
// links: what is linked is placed side by side.
func (m *Map) linked() []int {
	first := make([]int, len(m.Subjects))
	for i := range first {
		first[i] = i
	}
	find := func(i int) int {
		for first[i] != i {
			first[i] = first[first[i]]
			i = first[i]
		}
		return i
	}
	for _, l := range m.Links {
		for _, i := range l.Members[1:] {
			a, b := find(l.Members[0]), find(i)
			first[max(a, b)] = min(a, b)
		}
	}
	for i := range first {
		first[i] = find(i)
	}
	return first
}

// regions returns what lies within a node, in the order of the first members, and
// side by side what links connect.
func (n *node) regions(linked []int) []Region {
	var out []Region
	for _, w := range n.within {
		r := w.Region
		r.Within = w.regions(linked)
		out = append(out, r)
	}
	nearest := func(r Region) int {
		least := r.Members[0]
		for _, i := range r.Members {
			least = min(least, linked[i])
		}
		return least
	}
	slices.SortStableFunc(out, func(a, b Region) int {
		return cmp.Or(nearest(a)-nearest(b), a.Members[0]-b.Members[0])
	})
	return out
}
