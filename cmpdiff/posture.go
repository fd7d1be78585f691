package cmpdiff

import (
	"slices"
	"strings"

	"dx/nsops/posture"
)

// PostureSubject is one side of a comparison of postures.
type PostureSubject struct {
	Name   string
	Facts  []posture.Fact
	Unread []posture.Section // of which nothing is known
}

// Difference is what comes out of comparing one fact.
type Difference int

// The differences.
const (
	Same      Difference = iota
	Trivial              // they differ, as any two processes do, or any two moments
	Different            // they differ
	Unsure               // one side could not be read
)

// PostureRow is one fact of both sides.
type PostureRow struct {
	Section posture.Section
	Name    string
	Unit    posture.Unit
	Set     bool
	A, B    *posture.Fact // nil: that side has no such fact
	// OnlyA and OnlyB are the elements of a set that the other side lacks.
	OnlyA, OnlyB []string
	Difference   Difference
}

// PostureReport is a comparison: the facts of both sides by section, those of A first.
type PostureReport struct {
	A, B string
	Rows []PostureRow
}

// Differ reports whether something differs that matters.
func (r PostureReport) Differ() bool { return r.has(Different) }

// Unsure reports whether something could not be compared.
func (r PostureReport) Unsure() bool { return r.has(Unsure) }

func (r PostureReport) has(d Difference) bool {
	return slices.ContainsFunc(r.Rows, func(row PostureRow) bool { return row.Difference == d })
}

type factKey struct {
	section posture.Section
	name    string
}

func keyOf(f *posture.Fact) factKey { return factKey{f.Section, nameless(f.Name)} }

// index finds facts by their names. Of names that differ in an ID only, the facts
// become one (the mounts of several containers on a host).
func index(facts []posture.Fact) (order []factKey, by map[factKey]*posture.Fact) {
	by = make(map[factKey]*posture.Fact, len(facts))
	for i := range facts {
		key := keyOf(&facts[i])
		known, ok := by[key]
		if !ok {
			order = append(order, key)
			by[key] = &facts[i]
			continue
		}
		merged := *known
		merged.Values = slices.Concat(known.Values, facts[i].Values)
		by[key] = &merged
	}
	return order, by
}

// ComparePostures compares two postures, fact by fact. IDs of 64 hexadecimal digits
// (containers, their layers and nameless volumes) count as the same wherever they
// stand: they name a thing, and say nothing of it.
func ComparePostures(a, b PostureSubject) PostureReport {
	r := PostureReport{A: a.Name, B: b.Name}
	orderA, inA := index(a.Facts)
	orderB, inB := index(b.Facts)
	for _, section := range posture.Sections {
		unsure := slices.Contains(a.Unread, section) || slices.Contains(b.Unread, section)
		add := func(key factKey) { r.Rows = append(r.Rows, newPostureRow(inA[key], inB[key], unsure)) }
		for _, key := range orderA {
			if key.section == section {
				add(key)
			}
		}
		for _, key := range orderB {
			if key.section == section && inA[key] == nil {
				add(key)
			}
		}
		if unsure && !slices.ContainsFunc(r.Rows, func(row PostureRow) bool { return row.Section == section }) {
			r.Rows = append(r.Rows, PostureRow{Section: section, Name: string(section), Difference: Unsure})
		}
	}
	return r
}

func newPostureRow(a, b *posture.Fact, unsure bool) PostureRow {
	one := a
	if one == nil {
		one = b
	}
	row := PostureRow{Section: one.Section, Name: one.Name, Unit: one.Unit, Set: one.Set, A: a, B: b}
	valuesA, valuesB := values(a), values(b)
	row.OnlyA, row.OnlyB = without(valuesA, valuesB), without(valuesB, valuesA)
	switch {
	case unsure:
		row.Difference = Unsure
	case len(row.OnlyA)+len(row.OnlyB) == 0 && (row.Set || (a == nil) == (b == nil)):
		row.Difference = Same
	case one.Volatile:
		row.Difference = Trivial
	default:
		row.Difference = Different
	}
	return row
}

func values(f *posture.Fact) []string {
	if f == nil {
		return nil
	}
	return f.Values
}

// without are the elements of list that other lacks.
func without(list, other []string) []string {
	known := make(map[string]bool, len(other))
	for _, v := range other {
		known[nameless(v)] = true
	}
	var out []string
	for _, v := range list {
		if !known[nameless(v)] {
			out = append(out, v)
		}
	}
	return out
}

// idDigits is the length of the IDs that engines give.
const idDigits = 64

// nameless puts "<id>" in the place of every run of exactly 64 hexadecimal digits.
func nameless(s string) string {
	if len(s) < idDigits {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		n := hexRun(s)
		if n == idDigits {
			b.WriteString("<id>")
		} else {
			n = max(n, 1)
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return b.String()
}

func hexRun(s string) int {
	for i, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return i
		}
	}
	return len(s)
}
