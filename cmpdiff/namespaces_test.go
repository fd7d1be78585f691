package cmpdiff

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dx/nsops"
)

// in makes a subject that is in namespaces 1, in the namespace n of the kinds given.
func in(name string, n uint64, own ...nsops.Type) Subject {
	set := nsops.Set{Own: map[nsops.Type]nsops.ID{}, Children: map[nsops.Type]nsops.ID{}}
	for _, t := range nsops.Types {
		set.Own[t] = nsops.ID{Device: 4, Inode: 1}
	}
	for _, t := range own {
		set.Own[t] = nsops.ID{Device: 4, Inode: n}
	}
	return Subject{Name: name, Namespaces: set}
}

func hidden(name string) Subject { return Subject{Name: name} }

// lacking takes a kind away, as a kernel that does not have it.
func lacking(s Subject, t nsops.Type) Subject {
	delete(s.Namespaces.Own, t)
	return s
}

func row(t *testing.T, r Report, typ nsops.Type) Row {
	t.Helper()
	for _, row := range r.Rows {
		if row.Type == typ {
			return row
		}
	}
	t.Fatalf("no row %s", typ)
	return Row{}
}

var (
	host  = in("host", 1)
	web   = in("web", 2, nsops.Net, nsops.PID)
	db    = in("db", 3, nsops.PID)
	cache = in("cache", 2, nsops.Net)
)

var comparisons = map[string]struct {
	base      Subject
	subjects  []Subject
	row       nsops.Type
	relations []Relation
	shared    [][]string // with each subject
	differ    bool
}{
	"no subject": {base: host, row: nsops.Net},
	"one's own": {base: host, subjects: []Subject{web}, row: nsops.Net,
		relations: []Relation{Own}, shared: [][]string{nil}},
	"the host's": {base: host, subjects: []Subject{web}, row: nsops.User,
		relations: []Relation{Shared}, shared: [][]string{{"host"}}},
	"two share one, the third the host's": {base: host, subjects: []Subject{web, db, cache}, row: nsops.Net,
		relations: []Relation{Own, Shared, Own}, shared: [][]string{{"cache"}, {"host"}, {"web"}}, differ: true},
	"each its own": {base: host, subjects: []Subject{web, db}, row: nsops.PID,
		relations: []Relation{Own, Own}, shared: [][]string{nil, nil}, differ: true},
	"two in one that is not the host's": {base: host, subjects: []Subject{web, cache}, row: nsops.Net,
		relations: []Relation{Own, Own}, shared: [][]string{{"cache"}, {"web"}}},
	"all in the host's": {base: host, subjects: []Subject{web, db}, row: nsops.UTS,
		relations: []Relation{Shared, Shared}, shared: [][]string{{"host", "db"}, {"host", "web"}}},
	"one is hidden": {base: host, subjects: []Subject{hidden("x"), db}, row: nsops.User,
		relations: []Relation{Unknown, Shared}, shared: [][]string{nil, {"host"}}},
	"the host is hidden": {base: hidden("host"), subjects: []Subject{web, cache}, row: nsops.Net,
		relations: []Relation{Unknown, Unknown}, shared: [][]string{{"cache"}, {"web"}}},
	"no such kind": {base: lacking(in("host", 1), nsops.Time), row: nsops.Time,
		subjects:  []Subject{lacking(in("web", 2), nsops.Time)},
		relations: []Relation{Missing}, shared: [][]string{nil}},
}

func TestCompare(t *testing.T) {
	for name, tc := range comparisons {
		t.Run(name, func(t *testing.T) {
			report := Compare(tc.base, tc.subjects...)
			got := row(t, report, tc.row)
			var relations []Relation
			var shared [][]string
			for i, c := range got.Cells {
				relations = append(relations, c.Relation)
				shared = append(shared, report.SharedWith(got, i))
			}
			if diff := cmp.Diff(tc.relations, relations); diff != "" {
				t.Errorf("relations (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.shared, shared); diff != "" {
				t.Errorf("shared with (-want +got):\n%s", diff)
			}
			if differ := got.FirstDiffer(len(got.Cells)); differ != tc.differ {
				t.Errorf("differ: %v, want %v", differ, tc.differ)
			}
		})
	}
}

// The same inode on two devices is two namespaces (ioctl_nsfs(2)).
func TestDeviceCounts(t *testing.T) {
	other := in("other", 1)
	other.Namespaces.Own[nsops.Net] = nsops.ID{Device: 5, Inode: 1}
	got := row(t, Compare(in("host", 1), other), nsops.Net)
	if got.Cells[0].Relation != Own {
		t.Errorf("relation %v, want Own", got.Cells[0].Relation)
	}
}

func TestChildren(t *testing.T) {
	s := in("shell", 1)
	s.Namespaces.Children[nsops.PID] = nsops.ID{Device: 4, Inode: 9}
	report := Compare(in("host", 1), s)
	want := &nsops.ID{Device: 4, Inode: 9}
	if diff := cmp.Diff(want, row(t, report, nsops.PID).Cells[0].Children); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if c := row(t, report, nsops.Time).Cells[0].Children; c != nil {
		t.Errorf("time: %v", c)
	}
}

func TestRowsAreAllKindsInOrder(t *testing.T) {
	var got []nsops.Type
	for _, r := range Compare(hidden("host")).Rows {
		got = append(got, r.Type)
	}
	if diff := cmp.Diff([]nsops.Type{"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func BenchmarkCompare(b *testing.B) {
	for _, n := range []int{100, 1000, 10000} {
		var subjects []Subject
		for i := range n {
			subjects = append(subjects, in(fmt.Sprint("c", i), uint64(i+2), nsops.Net, nsops.PID, nsops.Mnt))
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				Compare(in("host", 1), subjects...)
			}
		})
	}
}

// Those that are compared only to name who shares do not count as different.
func TestFirstDiffer(t *testing.T) {
	got := row(t, Compare(host, web, cache, db), nsops.Net)
	for n, want := range []bool{false, false, false, true} {
		if got.FirstDiffer(n) != want {
			t.Errorf("the first %d differ: %v, want %v", n, got.FirstDiffer(n), want)
		}
	}
}
