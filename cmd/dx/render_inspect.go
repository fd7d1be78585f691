package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"dx/cmpdiff"
	"dx/dockerx"
	"dx/nsops/escape"
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

func newInspectRecord(s *postureSubject) inspectRecord {
	r := inspectRecord{
		ID: s.id, Name: s.name, Image: s.image, Pid: s.pid, Engine: s.engine, Source: s.source, Posture: *s.posture,
		Origins: map[string]string{}, subject: s, Claims: []claimRecord{},
	}
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

func (r inspectRecord) quiet() string { return r.ID }

func (r inspectRecord) short() inspectRecord {
	r.ID = shortID(r.ID)
	return r
}

// renderInspect prints cards for people, and otherwise what render prints.
func renderInspect(out *output, records []inspectRecord, origins bool) error {
	if out.options.quiet || out.template != nil || out.options.format == "json" {
		return render(out, records, nil)
	}
	var b bytes.Buffer
	for i, r := range records {
		if i > 0 {
			b.WriteByte('\n')
		}
		c := &card{Buffer: &b, s: r.subject, noTrunc: out.options.noTrunc, origins: origins, colour: out.screen.colour}
		if err := c.write(); err != nil {
			return err
		}
	}
	_, err := b.WriteTo(out.screen)
	return err
}

// card is one subject for people: a table a section.
type card struct {
	*bytes.Buffer
	s                        *postureSubject
	noTrunc, origins, colour bool
}

// The measures of a card.
const (
	cardWidth = 72 // of the elements of a set, before they go on in the next line
	cardRows  = 40 // of mounts, routes and so on, without --no-trunc
)

func (c *card) write() error {
	c.title()
	for _, section := range posture.Sections {
		tables := slices.DeleteFunc(append([]table{c.section(section)}, c.lists(section)...), func(t table) bool { return len(t.rows) == 0 })
		if len(tables) == 0 {
			continue
		}
		c.WriteByte('\n')
		if first := tables[0].header[0]; strings.HasPrefix(first, " ") {
			c.WriteString(strings.ToUpper(string(section)) + "\n") // it has lists only
		}
		for _, t := range tables {
			if err := t.write(c, c.colour); err != nil {
				return err
			}
		}
	}
	return nil
}

// title says what it is, and first of all what is wrong.
func (c *card) title() {
	parts := []string{c.s.name}
	if c.s.id != "" {
		parts = append(parts, c.id(c.s.id))
	}
	parts = append(parts, fmt.Sprintf("pid %d", c.s.pid))
	if c.s.image != "" {
		parts = append(parts, "image "+c.s.image)
	}
	parts = append(parts, "found by "+string(c.s.source))
	c.WriteString(escape.Line(strings.Join(parts, "   ")) + "\n")
	var wrong []string
	for _, j := range c.s.judgements {
		if j.Verdict == cmpdiff.Contradicts {
			wrong = append(wrong, j.Claim.Name)
		}
	}
	if len(wrong) > 0 {
		c.WriteString(cell{text: "! the kernel contradicts Docker: " + strings.Join(wrong, ", "), alert: true}.render(c.colour) + "\n")
	}
}

func (c *card) id(id string) string {
	if c.noTrunc {
		return id
	}
	return shortID(id)
}

// section is the table of a section's facts; the parts that are lists come after it.
func (c *card) section(s posture.Section) table {
	t := table{header: []string{strings.ToUpper(string(s)), "KERNEL", "DOCKER"}}
	if c.origins {
		t.header = append(t.header, "FROM")
	}
	claims := c.claims(s)
	if len(claims) == 0 {
		t.header[2] = ""
	}
	seen := map[string]string{} // elements of a set → the fact that has them
	for i := range c.s.facts {
		f := &c.s.facts[i]
		if f.Section == s && !inList(f, claims[f.Name] != nil) {
			t.rows = append(t.rows, c.fact(f, claims[f.Name], seen)...)
		}
	}
	for _, j := range c.s.judgements {
		if j.Claim.Section == s && j.Kernel == nil {
			said := cell{text: c.differing(&j, "says ")}
			t.rows = append(t.rows, c.row("  "+j.Claim.Name, "?", said, j.Claim.Origin))
		}
	}
	return t
}

// row has the cells that the table's header has.
func (c *card) row(name, value string, claim cell, origin string) []cell {
	cells := append(row(name, value), claim)
	if c.origins {
		cells = append(cells, cell{text: origin})
	}
	return cells
}

// inList says that a fact is shown by a list of its section, or not worth a line.
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

func (c *card) claims(s posture.Section) map[string]*cmpdiff.Judgement {
	out := map[string]*cmpdiff.Judgement{}
	for i := range c.s.judgements {
		if j := &c.s.judgements[i]; j.Claim.Section == s {
			out[j.Claim.Name] = j
		}
	}
	return out
}

// fact is one row, or several where a set is long.
func (c *card) fact(f *posture.Fact, j *cmpdiff.Judgement, seen map[string]string) [][]cell {
	var lines []string
	if f.Set {
		lines = c.elements(f, seen)
	} else {
		lines = []string{c.value(f)}
	}
	rows := [][]cell{c.row("  "+f.Name, lines[0], c.claim(j), f.Origin)}
	for _, line := range lines[1:] {
		rows = append(rows, c.row("", line, cell{}, ""))
	}
	return rows
}

// value is a fact's only value; of a namespace its inode, too.
func (c *card) value(f *posture.Fact) string {
	text := human(f.Unit, f.Values[0])
	if f.Section == posture.SectionNamespaces {
		for _, ns := range c.s.posture.Namespaces {
			if string(ns.Type) == f.Name {
				return fmt.Sprintf("%d %s", ns.Inode, text)
			}
		}
	}
	if text == "" {
		return "-"
	}
	return c.cut(text)
}

// elements lists a set in lines; one that another fact has already listed is named.
func (c *card) elements(f *posture.Fact, seen map[string]string) []string {
	if len(f.Values) == 0 {
		return []string{"none"}
	}
	all := strings.Join(f.Values, " ")
	if name, ok := seen[all]; ok && len(f.Values) > 1 {
		return []string{"as " + name}
	}
	seen[all] = f.Name
	lines := wrap(f.Values, cardWidth)
	for i := range lines {
		lines[i] = c.cut(lines[i])
	}
	return lines
}

func wrap(words []string, width int) []string {
	var lines []string
	line := ""
	for _, w := range words {
		if line != "" && len(line)+1+len(w) > width {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += w
	}
	return append(lines, line)
}

// claim is the cell of what Docker says.
func (c *card) claim(j *cmpdiff.Judgement) cell {
	if j == nil {
		return cell{}
	}
	switch j.Verdict {
	case cmpdiff.Agrees:
		return cell{text: "same"}
	case cmpdiff.Changed:
		return cell{text: c.differing(j, "gave ")}
	case cmpdiff.Contradicts:
		return cell{text: "! " + c.differing(j, "says "), alert: true}
	}
	return cell{}
}

func (c *card) differing(j *cmpdiff.Judgement, verb string) string {
	if !j.Claim.Set || j.Kernel == nil {
		return verb + c.cut(human(j.Claim.Unit, strings.Join(j.Claim.Values, " ")))
	}
	var parts []string
	if len(j.Missing) > 0 {
		parts = append(parts, verb+"also "+strings.Join(j.Missing, " "))
	}
	if len(j.Extra) > 0 {
		parts = append(parts, verb+"nothing of "+strings.Join(j.Extra, " "))
	}
	return c.cut(strings.Join(parts, "; "))
}

// cut shortens a line, and the long IDs in it, unless --no-trunc is given.
func (c *card) cut(text string) string {
	if c.noTrunc {
		return text
	}
	return cutText(text)
}
