package draw

import (
	_ "embed"
	"fmt"
	"html"
	"slices"
	"strings"
	"unicode"

	"dx/cmpdiff"
	"dx/nsops/escape"
)

//go:embed svg.css
var svgStyle string

// Measures of the frame around everything.
const (
	margin    = 16
	frameHead = 64
	framePad  = 20
	legend    = 40
	narrowest = 580 // the legend's width
)

// SVG draws the picture as one image without anything to load. It follows the
// viewer's light or dark scheme.
func SVG(p Picture) string {
	l := newPlan(&p)
	areas, w, h := l.whole()
	for i := range areas {
		areas[i].move(margin+framePad, margin+frameHead)
	}
	s := &svg{p: l}
	s.open(w+2*(margin+framePad), h+frameHead+framePad+2*margin+legend)
	s.frame(w+2*framePad, h+frameHead+framePad)
	for _, a := range areas {
		s.area(a)
	}
	s.links(areas, w+2*(margin+framePad))
	s.legend(margin+framePad, margin+h+frameHead+framePad+27)
	s.line("</svg>")
	return s.b.String()
}

type svg struct {
	p *plan
	b strings.Builder
}

func (s *svg) line(format string, args ...any) {
	fmt.Fprintf(&s.b, format, args...)
	s.b.WriteByte('\n')
}

func (s *svg) open(w, h int) {
	s.line(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-labelledby="title desc">`, w, h, w, h)
	s.line(`<title id="title">%s</title>`, html.EscapeString(s.p.heading("Namespaces of the containers of "+s.p.baseName())))
	s.line(`<desc id="desc">%s</desc>`, html.EscapeString(s.p.summary()))
	s.line("<style>\n%s</style>", svgStyle)
	s.line(`<rect class="page" width="%d" height="%d"/>`, w, h)
}

func (s *svg) frame(w, h int) {
	s.line(`<rect class="frame" x="%d" y="%d" width="%d" height="%d" rx="14"/>`, margin, margin, w, h)
	s.text("base-name", margin+framePad, margin+29, fit(s.p.baseName(), 220, 19))
	s.text("origin", margin+w-framePad, margin+29, fit(shorten(escape.Line(s.p.Origin), 120), w-2*framePad-240, 11))
	s.text("meta", margin+framePad, margin+48, fit(s.p.summary(), w-2*framePad, 11))
}

func (s *svg) text(class string, x, y int, text string) {
	s.line(`<text class="%s" x="%d" y="%d">%s</text>`, class, x, y, html.EscapeString(text))
}

func (s *svg) area(a area) {
	switch {
	case a.list != nil:
		s.list(a)
	case a.region != nil:
		s.region(a)
	default:
		s.box(a)
	}
}

func (s *svg) region(a area) {
	class := "pod"
	if len(a.region.Shared) > 0 {
		class = "k-" + string(a.region.Shared[0].Type)
	}
	s.line(`<g class="region"><title>%s</title>`, html.EscapeString(s.p.others(a.region.Members, -1)))
	s.line(`<rect class="area %s" x="%d" y="%d" width="%d" height="%d" rx="11"/>`, class, a.x, a.y, a.w, a.h)
	for _, t := range a.tabs {
		s.line(`<rect class="tab %s" x="%d" y="%d" width="%d" height="%d" rx="9"/>`, t.class, t.x, t.y, t.w, t.h)
		s.text("tab-text", t.x+t.w/2, t.y+13, t.text)
	}
	for _, inner := range a.within {
		s.area(inner)
	}
	s.line(`</g>`)
}

func (s *svg) box(a area) {
	b := s.p.Boxes[a.box]
	class := "box"
	if len(s.p.baseKinds(a.box)) > 0 {
		class += " exposed"
	}
	if b.State != "" {
		class += " idle"
	}
	s.line(`<g class="%s"><title>%s</title>`, class, html.EscapeString(s.p.title(a.box)))
	s.line(`<rect class="card" x="%d" y="%d" width="%d" height="%d" rx="8"/>`, a.x, a.y, a.w, a.h)
	room := a.w - 2*chipsLeft
	if state := fit(shorten(escape.Line(b.State), 60), 90, 11); state != "" {
		w := textWidth(state, 11) + 12
		s.line(`<rect class="state" x="%d" y="%d" width="%d" height="18" rx="4"/>`, a.x+a.w-chipsLeft-w, a.y+10, w)
		s.text("state-text", a.x+a.w-chipsLeft-w/2, a.y+23, state)
		room -= w + 6
	}
	// Inner images cut off what is wider than fit could know.
	s.line(`<svg x="%d" y="%d" width="%d" height="%d">`, a.x+chipsLeft, a.y, room, chipsTop)
	s.text("name", 0, 23, fit(s.p.heads(a.box), room, 15))
	s.line(`</svg><svg x="%d" y="%d" width="%d" height="%d">`, a.x+chipsLeft, a.y, a.w-2*chipsLeft, a.h)
	s.text("meta", 0, 41, fit(b.meta(), a.w-2*chipsLeft, 11))
	s.facts(a)
	s.line(`</svg>`)
	for n, k := range s.p.Kinds {
		s.chip(a, n, k)
	}
	s.line(`</g>`)
}

// factText is where the values of facts begin.
const factText = 54

func (s *svg) facts(a area) {
	rows := (len(s.p.Kinds) + chipColumns - 1) / chipColumns
	y := chipsTop + rows*chipStepY + 12
	for _, f := range s.p.Boxes[a.box].facts() {
		s.text("key", 0, y, f.label())
		s.text("fact", factText, y, fit(f.text(), a.w-2*chipsLeft-factText, 11))
		y += factStep
	}
}

// list is a box with several containers.
func (s *svg) list(a area) {
	s.line(`<g class="list %s">`, a.list.class)
	s.line(`<rect class="card" x="%d" y="%d" width="%d" height="%d" rx="8"/>`, a.x, a.y, a.w, a.h)
	s.text("list-title", a.x+chipsLeft, a.y+22, a.list.title)
	for n, e := range a.list.entries {
		x, y := a.entry(n)
		s.line(`<svg x="%d" y="%d" width="%d" height="%d"><title>%s</title>`, x, y, boxWidth, entryHeight, html.EscapeString(e.title))
		s.text("entry", 0, 12, fit(e.name, boxWidth, 13))
		s.text("meta", 0, 26, cut(e.meta, boxWidth, 11))
		s.line(`</svg>`)
	}
	s.line(`</g>`)
}

func (s *svg) chip(a area, n int, k cmpdiff.Kind) {
	x, y := a.chip(n)
	state := s.p.state(k, a.box)
	if state == missing {
		return
	}
	s.line(`<g class="chip %s k-%s"><title>%s</title><rect x="%d" y="%d" width="%d" height="%d" rx="4"/><text x="%d" y="%d">%s</text></g>`,
		state, k.Type, html.EscapeString(s.p.explain(k, a.box)), x, y, chipWidth, chipHeight, x+chipWidth/2, y+13, k.Type)
}

// links lead between the boxes that share what no region can show, beside all others.
func (s *svg) links(areas []area, width int) {
	at := map[int]rect{}
	r := &router{walls: []rect{{0, 0, width, margin + frameHead - gap + clearance}}}
	for _, a := range areas {
		r.add(a, at)
	}
	slots := map[int]int{}
	for n, l := range s.p.Links {
		kind := l.Shared[0].Type
		var boxes []rect
		var used []int
		for _, m := range l.Members {
			if box, ok := at[m]; ok {
				boxes, used = append(boxes, box), append(used, slots[m])
				slots[m]++
			}
		}
		if len(boxes) < 2 {
			continue
		}
		lines, _ := r.join(n, boxes, used)
		s.line(`<g class="link k-%s"><title>%s</title>`, kind, html.EscapeString(linkText(l)+": "+s.p.others(l.Members, -1)))
		for _, way := range lines {
			s.way(way, boxes)
		}
		s.line(`</g>`)
	}
}

// way is a line, with a dot where it ends at a box.
func (s *svg) way(way line, boxes []rect) {
	path := ""
	for i, p := range way {
		path += fmt.Sprintf("%s%d %d", map[bool]string{true: "M", false: "L"}[i == 0], p.x, p.y)
	}
	s.line(`<path d="%s"/>`, path)
	for _, p := range []point{way[0], way[len(way)-1]} {
		if slices.ContainsFunc(boxes, func(b rect) bool { return b.borders(p) }) {
			s.line(`<circle cx="%d" cy="%d" r="3.5"/>`, p.x, p.y)
		}
	}
}

// borders reports whether a point is on a rectangle's border.
func (b rect) borders(p point) bool {
	inside := p.x >= b.x && p.x <= b.x+b.w && p.y >= b.y && p.y <= b.y+b.h
	return inside && (p.x == b.x || p.x == b.x+b.w || p.y == b.y || p.y == b.y+b.h)
}

// add makes walls of what holds text, and channels beside all.
func (r *router) add(a area, boxes map[int]rect) {
	r.channels(a.rect)
	if a.region == nil {
		r.walls = append(r.walls, a.rect)
		if a.list == nil {
			boxes[a.box] = a.rect
		}
		return
	}
	for _, t := range a.tabs {
		r.walls = append(r.walls, t.rect)
	}
	for _, inner := range a.within {
		r.add(inner, boxes)
	}
}

// linkText names what a link or region shares.
func linkText(r cmpdiff.Region) string {
	var kinds []string
	for _, n := range r.Shared {
		kinds = append(kinds, string(n.Type))
	}
	text := strings.Join(kinds, ", ")
	switch {
	case r.Name != "" && text != "":
		return shorten(escape.Line(r.Name), 120) + ": " + text
	case r.Name != "":
		return shorten(escape.Line(r.Name), 120)
	}
	return text
}

func (s *svg) legend(x, y int) {
	for _, l := range []struct {
		state state
		text  string
		width int
	}{
		{own, "its own", 90}, {shared, "shared with another", 162},
		{base, "the " + fit(s.p.baseName(), 60, 11) + "'s", 104}, {unknown, "not known", 0},
	} {
		s.line(`<g class="chip %s k-net"><rect x="%d" y="%d" width="22" height="14" rx="4"/></g>`, l.state, x, y-11)
		s.text("meta", x+29, y, l.text)
		x += 29 + l.width
	}
}

// fit shortens a text to a width in pixels, as far as that can be told without the
// font: letters of wide scripts count as square.
func fit(s string, width, size int) string {
	for n := len([]rune(s)); n > 4 && textWidth(s, size) > width; n-- {
		s = shorten(s, n)
	}
	return s
}

// cut is fit for a text whose beginning says most.
func cut(s string, width, size int) string {
	if textWidth(s, size) <= width {
		return s
	}
	runes := []rune(s)
	for n := len(runes); n > 4; n-- {
		if s = string(runes[:n]) + "…"; textWidth(s, size) <= width {
			break
		}
	}
	return s
}

// textWidth is how wide a text is, about.
func textWidth(s string, size int) (w int) {
	for _, r := range s {
		w += letterWidth(r, size)
	}
	return w
}

func letterWidth(r rune, size int) int {
	switch {
	case r >= 0x1100: // from Hangul on: East Asian, symbols
		return size * 11 / 10
	case unicode.IsUpper(r), r == 'm', r == 'w', r == '@', r == '%':
		return size * 9 / 10
	case strings.ContainsRune("ijlftr.,:;'|!()[] ", r):
		return size * 4 / 10
	}
	return size * 7 / 10
}
