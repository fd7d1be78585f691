package draw

import (
	"strings"

	"dx/cmpdiff"
)

// Text draws the picture as a tree of lines, for a terminal: regions are branches, and
// links are named below.
func Text(p Picture) string {
	l := newPlan(&p)
	t := &tree{p: l}
	t.b.WriteString(strings.Join(l.head(), "\n") + "\n")
	t.draw("", t.branches(l.regions, l.boxes, l.lists()))
	for _, link := range p.Links {
		var names []string
		for _, i := range l.outside(link.Members) {
			names = append(names, shorten(l.name(i), labelRunes))
		}
		t.b.WriteString("share " + linkText(link) + ": " + strings.Join(names, ", ") + "\n")
	}
	return t.b.String()
}

type tree struct {
	p *plan
	b strings.Builder
}

// branch is a line, and what is below it.
type branch struct {
	text  string
	below []branch
}

func (t *tree) branches(regions []cmpdiff.Region, boxes []int, lists []list) (out []branch) {
	for _, r := range regions {
		text := linkText(r)
		if r.Name == "" {
			text = "share " + text
		}
		out = append(out, branch{text, t.branches(r.Within, r.Direct, nil)})
	}
	for _, i := range boxes {
		out = append(out, branch{text: t.line(i)})
	}
	for _, l := range lists {
		b := branch{text: l.title}
		for _, e := range l.entries {
			b.below = append(b.below, branch{text: join(shorten(e.name, labelRunes), e.meta)})
		}
		out = append(out, b)
	}
	return out
}

// line is a box in one line: its name, how it stands to the host, and all else.
func (t *tree) line(i int) string {
	host := ""
	if kinds := t.p.baseKinds(i); len(kinds) > 0 {
		host = "the " + t.p.baseName() + "'s " + strings.Join(kinds, ", ")
	}
	return join(shorten(t.p.heads(i), labelRunes), host, t.p.Boxes[i].brief())
}

func join(first string, rest ...string) string {
	for _, text := range rest {
		if text != "" {
			first += " · " + text
		}
	}
	return first
}

func (t *tree) draw(indent string, list []branch) {
	for n, b := range list {
		mark, below := "├─ ", "│  "
		if n == len(list)-1 {
			mark, below = "└─ ", "   "
		}
		t.b.WriteString(indent + mark + b.text + "\n")
		t.draw(indent+below, b.below)
	}
}
