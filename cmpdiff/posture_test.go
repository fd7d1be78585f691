package cmpdiff

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dx/nsops/posture"
)

func value(section posture.Section, name, v string) posture.Fact {
	return posture.Fact{Section: section, Name: name, Values: []string{v}}
}

func set(section posture.Section, name string, v ...string) posture.Fact {
	return posture.Fact{Section: section, Name: name, Values: v, Set: true}
}

func volatile(f posture.Fact) posture.Fact {
	f.Volatile = true
	return f
}

var (
	webID = strings.Repeat("ab", 32)
	dbID  = strings.Repeat("cd", 32)
)

func TestComparePostures(t *testing.T) {
	const caps, sec, mounts, net = posture.SectionCapabilities, posture.SectionSecurity, posture.SectionMounts, posture.SectionNetwork
	for name, tc := range map[string]struct {
		a, b         []posture.Fact
		unread       []posture.Section
		want         Difference
		onlyA, onlyB []string
	}{
		"the same value": {a: []posture.Fact{value(sec, "seccomp", "filter")}, b: []posture.Fact{value(sec, "seccomp", "filter")}, want: Same},
		"another value": {
			a: []posture.Fact{value(sec, "seccomp", "filter")}, b: []posture.Fact{value(sec, "seccomp", "disabled")},
			want: Different, onlyA: []string{"filter"}, onlyB: []string{"disabled"},
		},
		"one side has no such fact": {a: []posture.Fact{value(sec, "lsm label", "x")}, want: Different, onlyA: []string{"x"}},
		"an empty value against none": {
			a: []posture.Fact{{Section: sec, Name: "x", Values: []string{}}}, want: Different,
		},
		"a pid": {
			a: []posture.Fact{volatile(value(sec, "pid", "1"))}, b: []posture.Fact{volatile(value(sec, "pid", "2"))},
			want: Trivial, onlyA: []string{"1"}, onlyB: []string{"2"},
		},
		"the same set in another order": {a: []posture.Fact{set(caps, "bounding", "A", "B")}, b: []posture.Fact{set(caps, "bounding", "B", "A")}, want: Same},
		"added and removed": {
			a: []posture.Fact{set(caps, "bounding", "A", "B")}, b: []posture.Fact{set(caps, "bounding", "B", "C", "D")},
			want: Different, onlyA: []string{"A"}, onlyB: []string{"C", "D"},
		},
		"an empty set against none": {a: []posture.Fact{set(net, "routes")}, want: Same},
		"the containers' own IDs": {
			a: []posture.Fact{set(mounts, "/etc/hosts", "ext4 /c/"+webID+"/hosts rw")}, b: []posture.Fact{set(mounts, "/etc/hosts", "ext4 /c/"+dbID+"/hosts rw")}, want: Same,
		},
		"not an ID": {
			a: []posture.Fact{set(mounts, "/x", "ext4 /c/"+webID+"0")}, b: []posture.Fact{set(mounts, "/x", "ext4 /c/"+dbID+"0")},
			want: Different, onlyA: []string{"ext4 /c/" + webID + "0"}, onlyB: []string{"ext4 /c/" + dbID + "0"},
		},
		"IDs in names, twice on one side": {
			a: []posture.Fact{set(mounts, "/m/"+webID, "overlay"), set(mounts, "/m/"+dbID, "overlay")}, b: []posture.Fact{set(mounts, "/m/"+dbID, "overlay")}, want: Same,
		},
		"unread":         {a: []posture.Fact{value(sec, "seccomp", "filter")}, unread: []posture.Section{sec}, want: Unsure, onlyA: []string{"filter"}},
		"unread on both": {unread: []posture.Section{net}, want: Unsure},
	} {
		t.Run(name, func(t *testing.T) {
			r := ComparePostures(PostureSubject{Name: "a", Facts: tc.a}, PostureSubject{Name: "b", Facts: tc.b, Unread: tc.unread})
			if len(r.Rows) != 1 {
				t.Fatalf("%d rows: %+v", len(r.Rows), r.Rows)
			}
			row := r.Rows[0]
			if row.Difference != tc.want || !slices.Equal(row.OnlyA, tc.onlyA) || !slices.Equal(row.OnlyB, tc.onlyB) {
				t.Errorf("the row is %+v, want %v, only in a: %q, only in b: %q", row, tc.want, tc.onlyA, tc.onlyB)
			}
			if r.Differ() != (tc.want == Different) || r.Unsure() != (tc.want == Unsure) {
				t.Errorf("differ %v, unsure %v", r.Differ(), r.Unsure())
			}
		})
	}
}

func TestPostureRowsAreBySection(t *testing.T) {
	a := []posture.Fact{value(posture.SectionNetwork, "n", "1"), value(posture.SectionIdentity, "uid", "0")}
	b := []posture.Fact{value(posture.SectionIdentity, "gid", "0"), value(posture.SectionIdentity, "uid", "0")}
	var got []string
	for _, r := range ComparePostures(PostureSubject{Facts: a}, PostureSubject{Facts: b}).Rows {
		got = append(got, r.Name)
	}
	if diff := cmp.Diff([]string{"uid", "gid", "n"}, got); diff != "" {
		t.Errorf("the order of rows (-want +got):\n%s", diff)
	}
}

func TestJudge(t *testing.T) {
	const s = posture.SectionCapabilities
	for name, tc := range map[string]struct {
		kernel  posture.Fact
		claim   posture.Claim
		verdict Verdict
	}{
		"the same":           {value(s, "x", "1"), posture.Claim{Fact: value(s, "x", "1")}, Agrees},
		"another":            {value(s, "x", "1"), posture.Claim{Fact: value(s, "x", "2")}, Contradicts},
		"means the same":     {value(s, "x", "1"), posture.Claim{Fact: value(s, "x", "2"), Or: []string{"1"}}, Agrees},
		"nothing is known":   {value(s, "y", "1"), posture.Claim{Fact: value(s, "x", "1")}, Untold},
		"its own to change":  {value(s, "x", "1"), posture.Claim{Fact: value(s, "x", "0"), Tolerance: posture.Own}, Changed},
		"dropped":            {value(s, "x", "no"), posture.Claim{Fact: value(s, "x", "yes"), Tolerance: posture.MayDrop}, Changed},
		"never given":        {value(s, "x", "yes"), posture.Claim{Fact: value(s, "x", "no"), Tolerance: posture.MayDrop}, Contradicts},
		"confined itself":    {value(s, "x", "filter"), posture.Claim{Fact: value(s, "x", "disabled"), Tolerance: posture.MayAdd}, Changed},
		"escaped its filter": {value(s, "x", "disabled"), posture.Claim{Fact: value(s, "x", "filter"), Tolerance: posture.MayAdd}, Contradicts},
		"a limit lowered":    {value(s, "x", "10:20"), posture.Claim{Fact: value(s, "x", "1024"), Tolerance: posture.SoftOnly}, Changed},
		"a limit raised":     {value(s, "x", "10:2048"), posture.Claim{Fact: value(s, "x", "10:1024"), Tolerance: posture.SoftOnly}, Contradicts},
		"a limit gone":       {value(s, "x", "unlimited"), posture.Claim{Fact: value(s, "x", "1024"), Tolerance: posture.SoftOnly}, Contradicts},
		"a limit where none": {value(s, "x", "5"), posture.Claim{Fact: value(s, "x", "unlimited"), Tolerance: posture.SoftOnly}, Changed},
		"the same set":       {set(s, "x", "A", "B"), posture.Claim{Fact: set(s, "x", "B", "A"), Tolerance: posture.MayDrop}, Agrees},
		"elements dropped":   {set(s, "x", "A"), posture.Claim{Fact: set(s, "x", "A", "B"), Tolerance: posture.MayDrop}, Changed},
		"elements gained":    {set(s, "x", "A", "C"), posture.Claim{Fact: set(s, "x", "A", "B"), Tolerance: posture.MayDrop}, Contradicts},
		"included":           {set(s, "x", "A", "C"), posture.Claim{Fact: set(s, "x", "A"), Tolerance: posture.Includes}, Agrees},
		"not included":       {set(s, "x", "C"), posture.Claim{Fact: set(s, "x", "A"), Tolerance: posture.Includes}, Contradicts},
		"empty sets":         {set(s, "x"), posture.Claim{Fact: set(s, "x")}, Agrees},
		"own set":            {set(s, "x", "A"), posture.Claim{Fact: set(s, "x"), Tolerance: posture.Own}, Changed},
		"added to an MayAdd": {set(s, "x", "A"), posture.Claim{Fact: set(s, "x"), Tolerance: posture.MayAdd}, Changed},
	} {
		if got := Judge([]posture.Fact{tc.kernel}, []posture.Claim{tc.claim})[0]; got.Verdict != tc.verdict {
			t.Errorf("%s: %s, want %s", name, got.Verdict, tc.verdict)
		}
	}
	above := value(s, "limit", "unlimited")
	above.Outer = "64"
	if got := Judge([]posture.Fact{above}, []posture.Claim{{Fact: value(s, "limit", "64")}})[0]; got.Verdict != Agrees {
		t.Errorf("set by the cgroup above: %s", got.Verdict)
	}
	got := Judge([]posture.Fact{set(s, "x", "A", "C")}, []posture.Claim{{Fact: set(s, "x", "A", "B")}})[0]
	if !slices.Equal(got.Missing, []string{"B"}) || !slices.Equal(got.Extra, []string{"C"}) {
		t.Errorf("the judgement is %+v, want B missing and C extra", got)
	}
}
