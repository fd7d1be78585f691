package draw

import (
	"fmt"
	"math"
	"strings"

	"dx/cmpdiff"
	"dx/nsops/escape"
)

// colours of the kinds on white: those of the style sheets.
var colours = map[string]string{
	"cgroup": "#5b7a0c", "ipc": "#0c7c74", "mnt": "#b0258f", "net": "#1f63d6",
	"pid": "#7038d6", "time": "#596273", "user": "#c02648", "uts": "#17803f",
}

// labelRunes bounds names where another program lays them out.
const labelRunes = 48

// DOT draws the picture in the language of Graphviz: regions are clusters, links
// are edges.
func DOT(p Picture) string {
	l := newPlan(&p)
	d := &outline{}
	d.line(0, "graph namespaces {")
	d.line(1, `graph [compound=true fontname="sans-serif"]`)
	d.line(1, `node [shape=box style="rounded,filled" fillcolor="white" color="#9aa1ad" fontname="sans-serif"]`)
	d.line(1, `edge [style=dashed fontname="sans-serif" fontsize=11]`)
	d.line(1, "subgraph cluster_host {")
	d.line(2, "label=%s color=%q penwidth=2", dotQuote(l.head()...), "#e0a36f")
	d.dotWithin(l, 2, l.regions, l.boxes)
	for _, list := range l.lists() {
		d.line(2, "%s [label=%s]", list.class, dotQuote(list.label()...))
	}
	d.line(1, "}")
	for _, link := range l.Links {
		kind := link.Shared[0].Type
		members := l.outside(link.Members)
		for i := 1; i < len(members); i++ {
			d.line(1, "c%d -- c%d [label=%s color=%q fontcolor=%q]", members[i-1], members[i], dotQuote(linkText(link)), colours[string(kind)], colours[string(kind)])
		}
	}
	d.line(0, "}")
	return d.b.String()
}

// outline is indented lines; regions are numbered as they come.
type outline struct {
	b       strings.Builder
	regions int
}

func (o *outline) line(depth int, format string, args ...any) {
	o.b.WriteString(strings.Repeat("  ", depth))
	fmt.Fprintf(&o.b, format, args...)
	o.b.WriteByte('\n')
}

// head is what is written above everything.
func (l *plan) head() []string {
	lines := []string{l.baseName(), l.summary()}
	if l.Origin != "" {
		lines = append(lines, shorten(escape.Line(l.Origin), 120))
	}
	return lines
}

// colour is a region's: that of the first kind that it shares.
func colour(r cmpdiff.Region) string {
	if len(r.Shared) == 0 {
		return colours["time"]
	}
	return colours[string(r.Shared[0].Type)]
}

func (o *outline) dotWithin(p *plan, depth int, regions []cmpdiff.Region, boxes []int) {
	for _, r := range regions {
		o.line(depth, "subgraph cluster_r%d {", o.regions)
		o.regions++
		o.line(depth+1, "label=%s color=%q fontcolor=%q", dotQuote(linkText(r)), colour(r), colour(r))
		o.dotWithin(p, depth+1, r.Within, r.Direct)
		o.line(depth, "}")
	}
	for _, i := range boxes {
		lines := p.label(i)
		style := ""
		if len(p.baseKinds(i)) > 0 {
			style = ` color="#d9762b" fillcolor="#ffecdb"`
		}
		o.line(depth, "c%d [label=%s tooltip=%s%s]", i, dotQuote(lines...), dotQuote(p.name(i)), style)
	}
	o.stack(depth, boxes, "c%d -- c%d [style=invis]")
}

// stack puts boxes below each other by edges that are not seen: without any, these
// programs place all side by side.
func (o *outline) stack(depth int, boxes []int, edge string) {
	const row = 4
	columns := max(row, int(math.Sqrt(float64(len(boxes)))))
	for at := columns; at < len(boxes); at++ {
		o.line(depth, edge, boxes[at-columns], boxes[at])
	}
}

// label is what a box says where its chips cannot be drawn.
func (l *plan) label(i int) []string {
	b := l.Boxes[i]
	lines := []string{shorten(l.heads(i), labelRunes)}
	if b.State != "" {
		lines = append(lines, shorten(escape.Line(b.State), labelRunes))
	}
	if meta := b.meta(); meta != "" {
		lines = append(lines, shorten(meta, labelRunes))
	}
	for _, f := range b.facts() {
		lines = append(lines, shorten(f.label()+" "+f.text(), labelRunes))
	}
	if kinds := l.baseKinds(i); len(kinds) > 0 {
		lines = append(lines, "the "+l.baseName()+"'s "+strings.Join(kinds, ", "))
	}
	return lines
}

// label is all of a list, each entry on a line.
func (l list) label() []string {
	lines := []string{l.title}
	for _, e := range l.entries {
		lines = append(lines, shorten(e.name, labelRunes)+": "+shorten(e.meta, labelRunes))
	}
	return lines
}

// dotQuote makes a quoted string of visible lines. Graphviz reads escapes (\N is
// the node's name) and entities (&lt;) in it.
func dotQuote(lines ...string) string {
	quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "&", "&amp;")
	var out []string
	for _, l := range lines {
		out = append(out, quoted.Replace(l))
	}
	return `"` + strings.Join(out, `\n`) + `"`
}
