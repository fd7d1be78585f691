package cmpdiff

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dx/nsops"
)

// outline is a map as text: regions in brackets with the kinds before them.
func outline(m Map) string {
	var parts []string
	for _, r := range m.Regions {
		parts = append(parts, m.outline(r))
	}
	parts = append(parts, m.names(m.Outside)...)
	for _, l := range m.Links {
		parts = append(parts, "~"+m.outline(Region{Shared: l.Shared, Direct: l.Members}))
	}
	return strings.Join(parts, " ")
}

func (m Map) outline(r Region) string {
	var kinds []string
	for _, s := range r.Shared {
		kinds = append(kinds, string(s.Type))
	}
	var inner []string
	for _, w := range r.Within {
		inner = append(inner, m.outline(w))
	}
	inner = append(inner, m.names(r.Direct)...)
	return r.Name + strings.Join(kinds, "+") + "[" + strings.Join(inner, " ") + "]"
}

func (m Map) names(members []int) []string {
	var out []string
	for _, i := range members {
		out = append(out, m.Subjects[i])
	}
	return out
}

// joined is a subject with namespaces of its own, but for those given: they are
// namespace n.
func joined(name string, joins map[nsops.Type]uint64) Subject {
	s := in(name, 0)
	for i, t := range nsops.Types {
		s.Namespaces.Own[t] = nsops.ID{Device: 4, Inode: 1000*uint64(name[0]) + uint64(i)}
	}
	for t, n := range joins {
		s.Namespaces.Own[t] = nsops.ID{Device: 4, Inode: n}
	}
	return s
}

type joins = map[nsops.Type]uint64

var maps = map[string]struct {
	base     Subject
	subjects []Subject
	outline  string
	common   []nsops.Type
}{
	"nobody":  {base: host},
	"one":     {base: host, subjects: []Subject{web}, outline: "web", common: []nsops.Type{nsops.Cgroup, nsops.IPC, nsops.Mnt, nsops.Time, nsops.User, nsops.UTS}},
	"nothing": {base: host, subjects: []Subject{joined("a", nil), joined("b", nil)}, outline: "a b"},
	"one namespace": {base: host, outline: "net[a c] b",
		subjects: []Subject{joined("a", joins{nsops.Net: 7}), joined("b", nil), joined("c", joins{nsops.Net: 7})}},
	"a pod is one region": {base: host, outline: "ipc+net+uts[a b]",
		subjects: []Subject{joined("a", joins{nsops.Net: 7, nsops.IPC: 8, nsops.UTS: 9}), joined("b", joins{nsops.Net: 7, nsops.IPC: 8, nsops.UTS: 9})}},
	"the base's are no region": {base: host, outline: "a b", common: []nsops.Type{nsops.Net},
		subjects: []Subject{joined("a", joins{nsops.Net: 1}), joined("b", joins{nsops.Net: 1})}},
	"nested": {base: host, outline: "net[pid[a c] b]",
		subjects: []Subject{joined("a", joins{nsops.Net: 7, nsops.PID: 8}), joined("b", joins{nsops.Net: 7}), joined("c", joins{nsops.Net: 7, nsops.PID: 8})}},
	"two within one": {base: host, outline: "net[pid[a b] ipc[c d]]",
		subjects: []Subject{joined("a", joins{nsops.Net: 7, nsops.PID: 8}), joined("b", joins{nsops.Net: 7, nsops.PID: 8}),
			joined("c", joins{nsops.Net: 7, nsops.IPC: 9}), joined("d", joins{nsops.Net: 7, nsops.IPC: 9})}},
	"three deep": {base: host, outline: "net[ipc[pid[a b] c] d]",
		subjects: []Subject{joined("a", joins{nsops.Net: 7, nsops.IPC: 8, nsops.PID: 9}), joined("b", joins{nsops.Net: 7, nsops.IPC: 8, nsops.PID: 9}),
			joined("c", joins{nsops.Net: 7, nsops.IPC: 8}), joined("d", joins{nsops.Net: 7})}},
	"the larger is the region, what crosses it a link": {base: host, outline: "pid[b c d] a ~net[a b]",
		subjects: []Subject{joined("a", joins{nsops.Net: 7}), joined("b", joins{nsops.Net: 7, nsops.PID: 8}),
			joined("c", joins{nsops.PID: 8}), joined("d", joins{nsops.PID: 8})}},
	"of equal size, more kinds are the region": {base: host, outline: "net+uts[b c] a ~pid[a b]",
		subjects: []Subject{joined("a", joins{nsops.PID: 8}), joined("b", joins{nsops.Net: 7, nsops.UTS: 9, nsops.PID: 8}),
			joined("c", joins{nsops.Net: 7, nsops.UTS: 9})}},
	"a link between regions brings them together": {base: host, outline: "net[a f] net[c d] net[b e] ~pid[a d]",
		subjects: []Subject{joined("a", joins{nsops.Net: 7, nsops.PID: 8}), joined("b", joins{nsops.Net: 9}), joined("c", joins{nsops.Net: 10}),
			joined("d", joins{nsops.Net: 10, nsops.PID: 8}), joined("e", joins{nsops.Net: 9}), joined("f", joins{nsops.Net: 7})}},
	"hidden ones stand alone": {base: host, outline: "x y", subjects: []Subject{hidden("x"), hidden("y")}},
	"a hidden one is not counted": {base: host, outline: "x a", common: []nsops.Type{nsops.Net},
		subjects: []Subject{hidden("x"), joined("a", joins{nsops.Net: 1})}},
	"a hidden base is shared with by nobody": {base: hidden("host"), outline: "net[a b]",
		subjects: []Subject{joined("a", joins{nsops.Net: 7}), joined("b", joins{nsops.Net: 7})}},
}

func TestMap(t *testing.T) {
	for name, tc := range maps {
		t.Run(name, func(t *testing.T) {
			m := Compare(tc.base, tc.subjects...).Map()
			if diff := cmp.Diff(tc.outline, outline(m)); diff != "" {
				t.Errorf("outline (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.common, m.Common); diff != "" {
				t.Errorf("common (-want +got):\n%s", diff)
			}
		})
	}
}

// Families are whole, whatever their members share with others.
func TestMapOfFamilies(t *testing.T) {
	one := func(name string, joins joins) Subject { return joined(name, joins) }
	pod := joins{nsops.Net: 7, nsops.IPC: 8}
	for name, tc := range map[string]struct {
		subjects []Subject
		families []Family
		outline  string
	}{
		"a family is what it shares": {outline: "Pipc+net[a b] c", families: []Family{{"P", []int{0, 1}}},
			subjects: []Subject{one("a", pod), one("b", pod), one("c", nil)}},
		"a family that shares nothing, and one of one": {outline: "P[a b] Q[c]", families: []Family{{"P", []int{0, 1}}, {"Q", []int{2}}},
			subjects: []Subject{one("a", nil), one("b", nil), one("c", nil)}},
		"what some of a family share": {outline: "P[pid[a b] c]", families: []Family{{"P", []int{0, 1, 2}}},
			subjects: []Subject{one("a", joins{nsops.PID: 9}), one("b", joins{nsops.PID: 9}), one("c", nil)}},
		"what unites whole families": {outline: "pid[P[a b] Q[c d]]", families: []Family{{"P", []int{0, 1}}, {"Q", []int{2, 3}}},
			subjects: []Subject{one("a", joins{nsops.PID: 9}), one("b", joins{nsops.PID: 9}), one("c", joins{nsops.PID: 9}), one("d", joins{nsops.PID: 9})}},
		"what crosses a family is a link, however large": {outline: "P[a b] c d ~pid[b c d]", families: []Family{{"P", []int{0, 1}}},
			subjects: []Subject{one("a", nil), one("b", joins{nsops.PID: 9}), one("c", joins{nsops.PID: 9}), one("d", joins{nsops.PID: 9})}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := outline(Compare(host, tc.subjects...).Map(tc.families...)); got != tc.outline {
				t.Errorf("%s, want %s", got, tc.outline)
			}
		})
	}
}

func TestMapTogether(t *testing.T) {
	m := Compare(host, joined("a", joins{nsops.Net: 7}), joined("b", joins{nsops.Net: 1}), joined("c", joins{nsops.Net: 7}), hidden("x")).Map()
	for _, k := range m.Kinds {
		if k.Type != nsops.Net {
			continue
		}
		if diff := cmp.Diff([][]int{{0, 2}, nil, {0, 2}, nil}, k.Together); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

func TestMapLeavesOutKindsOfNewerKernels(t *testing.T) {
	m := Compare(lacking(in("host", 1), nsops.Time), lacking(in("web", 2), nsops.Time)).Map()
	for _, k := range m.Kinds {
		if k.Type == nsops.Time {
			t.Error("time is a kind of a kernel that has none")
		}
	}
	if len(m.Kinds) != 7 {
		t.Errorf("%d kinds", len(m.Kinds))
	}
}

// Every subject is drawn once, whoever shares what with whom.
func FuzzMap(f *testing.F) {
	f.Add([]byte("\x01\x02\x03\x01\x02\x04"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var subjects []Subject
		for len(b) >= 3 && len(subjects) < 64 {
			subjects = append(subjects, joined(fmt.Sprint(len(subjects)), joins{nsops.Net: uint64(b[0] % 8), nsops.PID: uint64(b[1] % 8), nsops.IPC: uint64(b[2] % 8)}))
			b = b[3:]
		}
		var families []Family
		for i := 2; i < len(subjects); i += 3 {
			families = append(families, Family{Name: "FAMILY", Members: []int{i - 2, i}})
		}
		m := Compare(host, subjects...).Map(families...)
		drawn := map[int]int{}
		count(drawn, Region{Direct: m.Outside, Within: m.Regions})
		if text := outline(m); strings.Count(text, "FAMILY") != len(families) || strings.Contains(text, "~FAMILY") {
			t.Errorf("not every family is a region: %s", text)
		}
		for i := range subjects {
			if drawn[i] != 1 {
				t.Errorf("subject %d is drawn %d times in %s", i, drawn[i], outline(m))
			}
		}
	})
}

func count(drawn map[int]int, r Region) {
	for _, i := range r.Direct {
		drawn[i]++
	}
	for _, w := range r.Within {
		count(drawn, w)
	}
}

func BenchmarkMap(b *testing.B) {
	for _, n := range []int{100, 1000, 10000} {
		var subjects []Subject
		for i := range n {
			subjects = append(subjects, in(fmt.Sprint("c", i), uint64(i/2+2), nsops.Net, nsops.PID, nsops.Mnt))
		}
		r := Compare(in("host", 1), subjects...)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				r.Map()
			}
		})
	}
}
