package main

import (
	"fmt"
	"slices"
	"strings"

	"dx/cmd/dx/output"
	"dx/cmpdiff"
	"dx/nsops/posture"
)

// diffRecord is one line of dx diff --format json: a fact that differs, or with --all
// any. A and B are null where a side has no such fact.
type diffRecord struct {
	Section    posture.Section
	Name       string
	Unit       posture.Unit `json:",omitempty"`
	Difference string       // different, trivial, same, unknown
	A, B       []string
	OnlyA      []string `json:",omitempty"`
	OnlyB      []string `json:",omitempty"`
}

func (r diffRecord) Quiet() string { return "" }

func (r diffRecord) Short() diffRecord { return r }

var differenceNames = map[cmpdiff.Difference]string{
	cmpdiff.Different: "different", cmpdiff.Trivial: "trivial", cmpdiff.Same: "same", cmpdiff.Unsure: "unknown",
}

// diffView is a comparison in the forms in which it is shown.
type diffView struct {
	report       cmpdiff.PostureReport
	all, noTrunc bool
}

func (v diffView) shown() []cmpdiff.PostureRow {
	var out []cmpdiff.PostureRow
	for _, r := range v.report.Rows {
		if v.all || r.Difference == cmpdiff.Different {
			out = append(out, r)
		}
	}
	return out
}

func (v diffView) records() []diffRecord {
	out := []diffRecord{}
	for _, r := range v.shown() {
		rec := diffRecord{Section: r.Section, Name: r.Name, Unit: r.Unit, Difference: differenceNames[r.Difference]}
		rec.A, rec.B = factValues(r.A), factValues(r.B)
		if r.Set {
			rec.OnlyA, rec.OnlyB = r.OnlyA, r.OnlyB
		}
		out = append(out, rec)
	}
	return out
}

// factValues are null in JSON only where there is no fact.
func factValues(f *posture.Fact) []string {
	switch {
	case f == nil:
		return nil
	case f.Values == nil:
		return []string{}
	}
	return f.Values
}

// table has a row a fact, and of a set a row for each element that one side lacks.
// Nothing is printed where nothing differs.
func (v diffView) table() output.Table {
	t := output.Table{Header: []string{"WHAT", v.report.A, v.report.B}}
	if v.all {
		t.Header = append(t.Header, "DIFFERENCE")
	}
	var section posture.Section
	shown := v.shown()
	for i, r := range shown {
		if r.Section != section {
			section = r.Section
			t.Rows = append(t.Rows, v.pad(output.Row(strings.ToUpper(string(section)), "", "")))
		}
		pairs := v.pairs(r)
		if name := sameDifference(shown[:i], r); name != "" {
			pairs = [][2]string{{"as " + name, "as " + name}}
		}
		t.Rows = append(t.Rows, v.rows(r, pairs)...)
	}
	if len(t.Rows) == 0 {
		return output.Table{}
	}
	return t
}

func (v diffView) pad(cells []output.Cell) []output.Cell {
	if v.all {
		cells = append(cells, output.Cell{})
	}
	return cells
}

// sameDifference names an earlier fact of the section whose elements differ in the
// same way: a capability that is missed in one set is missed in most.
func sameDifference(earlier []cmpdiff.PostureRow, r cmpdiff.PostureRow) string {
	if !r.Set || r.Section != posture.SectionCapabilities || r.Difference != cmpdiff.Different {
		return ""
	}
	for _, e := range earlier {
		if e.Section == r.Section && e.Set && slices.Equal(e.OnlyA, r.OnlyA) && slices.Equal(e.OnlyB, r.OnlyB) {
			return e.Name
		}
	}
	return ""
}

func (v diffView) rows(r cmpdiff.PostureRow, pairs [][2]string) [][]output.Cell {
	var out [][]output.Cell
	for i, pair := range pairs {
		name := "  " + v.cut(r.Name)
		if i > 0 {
			name = ""
		}
		cells := output.Row(name, pair[0], pair[1])
		if v.all {
			cells = append(cells, output.Cell{Text: differenceNames[r.Difference], Alert: r.Difference == cmpdiff.Different})
		}
		out = append(out, cells)
	}
	return out
}

// pairs are the texts of the two sides, line by line.
func (v diffView) pairs(r cmpdiff.PostureRow) [][2]string {
	if r.Difference == cmpdiff.Unsure {
		return [][2]string{{v.side(r, r.A, "?"), v.side(r, r.B, "?")}}
	}
	if !r.Set || r.Difference == cmpdiff.Same {
		a, b := v.side(r, r.A, "-"), v.side(r, r.B, "-")
		if a == b && r.Difference != cmpdiff.Same {
			// Too close for a rounded number or a cut text.
			a, b = exact(r.A), exact(r.B)
		}
		return [][2]string{{a, b}}
	}
	// What is mounted on one place, here and there, belongs in one row.
	if r.Section == posture.SectionMounts && len(r.OnlyA) == 1 && len(r.OnlyB) == 1 {
		return [][2]string{v.cutPair(r.OnlyA[0], r.OnlyB[0])}
	}
	var out [][2]string
	for _, line := range v.elements(r, r.OnlyA) {
		out = append(out, [2]string{line, "-"})
	}
	for _, line := range v.elements(r, r.OnlyB) {
		out = append(out, [2]string{"-", line})
	}
	return out
}

// diffWidth is how wide a line of capabilities gets.
const diffWidth = 48

// elements are the lines of a set: short words share them.
func (v diffView) elements(r cmpdiff.PostureRow, list []string) []string {
	if r.Section == posture.SectionCapabilities && len(list) > 0 {
		return output.Wrap(list, diffWidth)
	}
	var out []string
	for i, e := range list {
		if i == cardRows && !v.noTrunc {
			return append(out, fmt.Sprintf("… %d more (--no-trunc)", len(list)-i))
		}
		out = append(out, v.cut(e))
	}
	return out
}

// cutPair cuts two texts that differ, unless that would hide how.
func (v diffView) cutPair(a, b string) [2]string {
	if x, y := v.cut(a), v.cut(b); x != y {
		return [2]string{x, y}
	}
	return [2]string{a, b}
}

func (v diffView) side(r cmpdiff.PostureRow, f *posture.Fact, absent string) string {
	switch {
	case f == nil:
		return absent
	case f.Set && len(f.Values) == 0:
		return "none"
	}
	if text := human(r.Unit, strings.Join(f.Values, " ")); text != "" {
		return v.cut(text)
	}
	return `""`
}

func exact(f *posture.Fact) string {
	if f == nil {
		return "-"
	}
	return strings.Join(f.Values, " ")
}

func (v diffView) cut(text string) string {
	if v.noTrunc {
		return text
	}
	return output.Cut(text)
}
