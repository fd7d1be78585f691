package draw

import (
	"fmt"
	"strings"
	"unicode"

	"dx/cmpdiff"
)

// Mermaid draws the picture as a flowchart of Mermaid, which GitHub and others
// show in Markdown: regions are subgraphs, links are edges.
func Mermaid(p Picture) string {
	l := newPlan(&p)
	m := &outline{}
	m.line(0, "flowchart TB")
	m.line(1, "subgraph host[%s]", mermaidQuote(l.head()...))
	m.mermaidWithin(l, 2, l.regions, l.boxes)
	for _, list := range l.lists() {
		m.line(2, "%s[%s]", list.class, mermaidQuote(list.label()...))
	}
	if len(p.Subjects)+len(p.Stopped) == 0 {
		m.line(2, "nobody[%s]", mermaidQuote("no container"))
	}
	m.line(1, "end")
	for _, link := range p.Links {
		members := l.outside(link.Members)
		for i := 1; i < len(members); i++ {
			m.line(1, "c%d -. %s .- c%d", members[i-1], mermaidQuote(linkText(link)), members[i])
		}
	}
	m.mermaidStyles(l)
	return m.b.String()
}

func (o *outline) mermaidWithin(p *plan, depth int, regions []cmpdiff.Region, boxes []int) {
	for _, r := range regions {
		n := o.regions
		o.regions++
		o.line(depth, "subgraph r%d[%s]", n, mermaidQuote(linkText(r)))
		o.mermaidWithin(p, depth+1, r.Within, r.Direct)
		o.line(depth, "end")
		o.line(depth, "style r%d stroke:%s,fill:%s22", n, colour(r), colour(r))
	}
	for _, i := range boxes {
		o.line(depth, "c%d[%s]", i, mermaidQuote(p.label(i)...))
	}
	o.stack(depth, boxes, "c%d ~~~ c%d")
}

func (o *outline) mermaidStyles(p *plan) {
	o.line(1, "style host stroke:#e0a36f,fill:#e0a36f11")
	var exposed []string
	for i := range p.Subjects {
		if !p.Boxes[i].Frame && len(p.baseKinds(i)) > 0 {
			exposed = append(exposed, fmt.Sprintf("c%d", i))
		}
	}
	if len(exposed) > 0 {
		o.line(1, "classDef exposed stroke:#d9762b,stroke-width:2px")
		o.line(1, "class %s exposed", strings.Join(exposed, ","))
	}
}

// mermaidQuote makes a quoted string of visible lines. Mermaid's strings hold HTML
// and Markdown; what could be either is written as a numbered entity of Mermaid's,
// which begins with # in place of &#.
func mermaidQuote(lines ...string) string {
	var b strings.Builder
	for i, l := range lines {
		if i > 0 {
			b.WriteString("<br/>")
		}
		for _, r := range l {
			if r == ' ' || r == '.' || r == ',' || r == '-' || r > unicode.MaxASCII || unicode.IsLetter(r) || unicode.IsDigit(r) {
				b.WriteRune(r)
			} else {
				fmt.Fprintf(&b, "#%d;", r)
			}
		}
	}
	return `"` + b.String() + `"`
}
