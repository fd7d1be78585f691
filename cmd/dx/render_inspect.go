package main

import (
	"fmt"
	"slices"
	"strings"

	"dx/cmd/dx/output"
	"dx/cmpdiff"
	"dx/dockerx"
	"dx/nsops/posture"
)

// inspectRecord is one line of dx inspect --format json.
type inspectRecord struct {
	ID     string
	Name   string
	Image  string
	Pid    int
	Engine string
	Source dockerx.Source
	posture.Posture
	Claims []claimRecord
	// Origins are the files that facts come from, by "section.name".
	Origins map[string]string

	// Command and Env are Docker's word; without --env the values of Env are masked.
	Command      []string `json:",omitempty"`
	Env          []string `json:",omitempty"`
	Ports        string   `json:",omitempty"` // the published ones, as docker ps has them
	RestartCount int
	State        *stateRecord `json:",omitempty"`
	Log          []logRecord  `json:",omitempty"` // its end, where it was asked for or the container does not run
	dockerFields

	subject *postureSubject
}

// claimRecord is what Docker says of a fact. Sets have Missing and Extra: what the
// kernel lacks of the claim, and has beside it.
type claimRecord struct {
	Section posture.Section
	Name    string
	Claimed []string
	Kernel  []string
	Verdict cmpdiff.Verdict
	Missing []string `json:",omitempty"`
	Extra   []string `json:",omitempty"`
	Origin  string
}

func newInspectRecord(s *postureSubject, env bool) inspectRecord {
	r := inspectRecord{
		ID: s.id, Name: s.name, Image: s.image, Pid: s.pid, Engine: s.engine, Source: s.source, Posture: *s.posture,
		Origins: map[string]string{}, subject: s, Claims: []claimRecord{},
	}
	r.recorded(s, env)
	for _, f := range s.facts {
		r.Origins[string(f.Section)+"."+f.Name] = f.Origin
	}
	for _, j := range s.judgements {
		c := claimRecord{
			Section: j.Claim.Section, Name: j.Claim.Name, Claimed: j.Claim.Values, Verdict: j.Verdict,
			Missing: j.Missing, Extra: j.Extra, Origin: j.Claim.Origin,
		}
		if j.Kernel != nil {
			c.Kernel = j.Kernel.Values
		}
		r.Claims = append(r.Claims, c)
	}
	return r
}

func (r inspectRecord) Quiet() string { return r.ID }

func (r inspectRecord) Short() inspectRecord {
	r.ID = output.ShortID(r.ID)
	return r
}

// renderInspect prints cards for people, and otherwise what output.Render prints.
func renderInspect(out *output.Printer, records []inspectRecord, o inspectOptions) error {
	if !out.IsTable() {
		return output.Render(out, records, nil)
	}
	page := out.NewCard()
	for i, r := range records {
		if i > 0 {
			page.Blank()
		}
		v := &inspectView{Card: page, s: r.subject, r: r, noTrunc: out.NoTrunc, origins: o.origins}
		v.write()
	}
	return page.Print()
}

// inspectView is one subject for people: a table a section.
type inspectView struct {
	*output.Card
	s                *postureSubject
	r                inspectRecord
	noTrunc, origins bool
}

// The measures of a card.
const (
	cardWidth = 72 // of the elements of a set, before they go on in the next line
	cardRows  = 40 // of mounts, routes and so on, without --no-trunc
)

func (v *inspectView) write() {
	v.title()
	v.recorded()
	v.log()
	if v.s.pid == 0 {
		return
	}
	for _, section := range posture.Sections {
		tables := append([]output.Table{v.section(section)}, v.lists(section)...)
		tables = slices.DeleteFunc(tables, func(t output.Table) bool { return len(t.Rows) == 0 })
		if len(tables) == 0 {
			continue
		}
		v.Blank()
		if strings.HasPrefix(tables[0].Header[0], " ") {
			v.Line(strings.ToUpper(string(section))) // it has lists only
		}
		for _, t := range tables {
			v.Table(t)
		}
	}
}

// title shows what it is, and first of all what is wrong.
func (v *inspectView) title() {
	parts := []string{v.s.name}
	if v.s.id != "" {
		parts = append(parts, v.id(v.s.id))
	}
	if v.s.pid != 0 {
		parts = append(parts, fmt.Sprintf("pid %d", v.s.pid))
	}
	if v.s.image != "" {
		parts = append(parts, "image "+v.s.image)
	}
	parts = append(parts, "found by "+string(v.s.source))
	v.Line(strings.Join(parts, "   "))
	var wrong []string
	for _, j := range v.s.judgements {
		if j.Verdict == cmpdiff.Contradicts {
			wrong = append(wrong, j.Claim.Name)
		}
	}
	if len(wrong) > 0 {
		v.Cells(output.Cell{Text: "! differs from Docker's configuration: " + strings.Join(wrong, ", "), Alert: true})
	}
}

func (v *inspectView) id(id string) string {
	if v.noTrunc {
		return id
	}
	return output.ShortID(id)
}

// section is the table of a section's facts; the parts that are lists come after it.
func (v *inspectView) section(s posture.Section) output.Table {
	t := output.Table{Header: []string{strings.ToUpper(string(s)), "KERNEL", "DOCKER"}}
	if v.origins {
		t.Header = append(t.Header, "FROM")
	}
	claims := v.claims(s)
	if len(claims) == 0 {
		t.Header[2] = ""
	}
	seen := map[string]string{} // elements of a set → the fact that has them
	for i := range v.s.facts {
		f := &v.s.facts[i]
		if f.Section == s && !inList(f, claims[f.Name] != nil) {
			t.Rows = append(t.Rows, v.fact(f, claims[f.Name], seen)...)
		}
	}
	for _, j := range v.s.judgements {
		if j.Claim.Section == s && j.Kernel == nil {
			said := output.Cell{Text: v.differing(&j, "says ")}
			t.Rows = append(t.Rows, v.row("  "+j.Claim.Name, "?", said, j.Claim.Origin))
		}
	}
	return t
}

// row has the cells that the table's header has.
func (v *inspectView) row(name, value string, claim output.Cell, origin string) []output.Cell {
	cells := append(output.Row(name, value), claim)
	if v.origins {
		cells = append(cells, output.Cell{Text: origin})
	}
	return cells
}

// inList reports whether a fact is shown by a list of its section, or not worth a line.
func inList(f *posture.Fact, claimed bool) bool {
	switch f.Section {
	case posture.SectionNamespaces:
		return strings.HasSuffix(f.Name, " inode")
	case posture.SectionMounts:
		return f.Name != posture.RootReadOnly
	case posture.SectionNetwork:
		return f.Name != posture.Addresses || !claimed
	}
	return false
}

func (v *inspectView) claims(s posture.Section) map[string]*cmpdiff.Judgement {
	out := map[string]*cmpdiff.Judgement{}
	for i := range v.s.judgements {
		if j := &v.s.judgements[i]; j.Claim.Section == s {
			out[j.Claim.Name] = j
		}
	}
	return out
}

// fact is one row, or several where a set is long.
func (v *inspectView) fact(f *posture.Fact, j *cmpdiff.Judgement, seen map[string]string) [][]output.Cell {
	var lines []string
	if f.Set {
		lines = v.elements(f, seen)
	} else {
		lines = []string{v.value(f)}
	}
	rows := [][]output.Cell{v.row("  "+f.Name, lines[0], v.claim(j), f.Origin)}
	for _, line := range lines[1:] {
		rows = append(rows, v.row("", line, output.Cell{}, ""))
	}
	return rows
}

// value is a fact's only value; of a namespace its inode, too.
func (v *inspectView) value(f *posture.Fact) string {
	text := human(f.Unit, f.Values[0])
	if f.Section == posture.SectionNamespaces {
		for _, ns := range v.s.posture.Namespaces {
			if string(ns.Type) == f.Name {
				return fmt.Sprintf("%d %s", ns.Inode, text)
			}
		}
	}
	if text == "" {
		return "-"
	}
	return v.cut(text)
}

// elements lists a set in lines; one that another fact has already listed is named.
func (v *inspectView) elements(f *posture.Fact, seen map[string]string) []string {
	if len(f.Values) == 0 {
		return []string{"none"}
	}
	all := strings.Join(f.Values, " ")
	if name, ok := seen[all]; ok && len(f.Values) > 1 {
		return []string{"as " + name}
	}
	seen[all] = f.Name
	lines := output.Wrap(f.Values, cardWidth)
	for i := range lines {
		lines[i] = v.cut(lines[i])
	}
	return lines
}

// claim is the cell of what Docker says.
func (v *inspectView) claim(j *cmpdiff.Judgement) output.Cell {
	if j == nil {
		return output.Cell{}
	}
	switch j.Verdict {
	case cmpdiff.Agrees:
		return output.Cell{Text: "same"}
	case cmpdiff.Changed:
		return output.Cell{Text: v.differing(j, "gave ")}
	case cmpdiff.Contradicts:
		return output.Cell{Text: "! " + v.differing(j, "says "), Alert: true}
	}
	return output.Cell{}
}

func (v *inspectView) differing(j *cmpdiff.Judgement, verb string) string {
	if !j.Claim.Set || j.Kernel == nil {
		return verb + v.cut(human(j.Claim.Unit, strings.Join(j.Claim.Values, " ")))
	}
	var parts []string
	if len(j.Missing) > 0 {
		parts = append(parts, verb+"also "+strings.Join(j.Missing, " "))
	}
	if len(j.Extra) > 0 {
		parts = append(parts, verb+"nothing of "+strings.Join(j.Extra, " "))
	}
	return v.cut(strings.Join(parts, "; "))
}

// cut shortens a line, and the long IDs in it, unless --no-trunc is given.
func (v *inspectView) cut(text string) string {
	if v.noTrunc {
		return text
	}
	return output.Cut(text)
}
