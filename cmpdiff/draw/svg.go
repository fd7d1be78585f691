package draw

import (
	_ "embed"
	"fmt"
	"html"
	"slices"
	"strings"
	"unicode"

	"dx/cmpdiff"
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
	areas, w, h := layOut(p.Regions, linkedFirst(p.Map), screen)
	w = max(w, narrowest)
	for i := range areas {
		areas[i].move(margin+framePad, margin+frameHead)
	}
	s := &svg{p: &p}
	s.open(w+2*(margin+framePad), h+frameHead+framePad+2*margin+legend)
	s.frame(w+2*framePad, h+frameHead+framePad)
	for _, a := range areas {
		s.area(a)
	}
	s.links(areas)
	s.legend(margin+framePad, margin+h+frameHead+framePad+27)
	s.line("</svg>")
	return s.b.String()
}

// linkedFirst has the boxes outside all regions, those with links next to the
// regions.
func linkedFirst(m cmpdiff.Map) []int {
	linked := map[int]bool{}
	for _, l := range m.Links {
		for _, i := range l.Members {
			linked[i] = true
		}
	}
	var first, rest []int
	for _, i := range m.Outside {
		if linked[i] {
			first = append(first, i)
		} else {
			rest = append(rest, i)
		}
	}
	return slices.Concat(first, rest)
}

type svg struct {
	p *Picture
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
	s.text("base-name", margin+framePad, margin+29, s.p.baseName())
	s.text("meta", margin+framePad, margin+48, s.p.summary())
}

func (s *svg) text(class string, x, y int, text string) {
	s.line(`<text class="%s" x="%d" y="%d">%s</text>`, class, x, y, html.EscapeString(text))
}

func (s *svg) area(a area) {
	if a.region == nil {
		s.box(a)
		return
	}
	first := a.region.Shared[0].Type
	s.line(`<g class="region"><title>%s</title>`, html.EscapeString(s.p.others(a.region.Members, -1)))
	s.line(`<rect class="area k-%s" x="%d" y="%d" width="%d" height="%d" rx="11"/>`, first, a.x, a.y, a.w, a.h)
	s.tabs(a)
	for _, inner := range a.within {
		s.area(inner)
	}
	s.line(`</g>`)
}

// tabs name what a region shares: with inodes where there is room for them.
func (s *svg) tabs(a area) {
	x := a.x + regionPad
	const letter, pad = 7, 16
	long := 0
	for _, n := range a.region.Shared {
		long += letter*len(tabText(n, true)) + pad + 6
	}
	for _, n := range a.region.Shared {
		text := tabText(n, long <= a.w-2*regionPad)
		w := letter*len(text) + pad
		s.line(`<rect class="tab k-%s" x="%d" y="%d" width="%d" height="18" rx="9"/>`, n.Type, x, a.y+8, w)
		s.line(`<text class="tab-text" x="%d" y="%d">%s</text>`, x+w/2, a.y+21, text)
		x += w + 6
	}
}

func tabText(n cmpdiff.Namespace, inode bool) string {
	if !inode {
		return string(n.Type)
	}
	return fmt.Sprintf("%s %d", n.Type, n.ID.Inode)
}

func (s *svg) box(a area) {
	class := "box"
	if len(s.p.baseKinds(a.box)) > 0 {
		class = "box exposed"
	}
	s.line(`<g class="%s"><title>%s</title>`, class, html.EscapeString(s.p.title(a.box)))
	s.line(`<rect class="card" x="%d" y="%d" width="%d" height="%d" rx="8"/>`, a.x, a.y, a.w, a.h)
	// Inner images cut off what is wider than fit could know.
	s.line(`<svg x="%d" y="%d" width="%d" height="%d">`, a.x+chipsLeft, a.y, a.w-2*chipsLeft, chipsTop)
	s.text("name", 0, 23, fit(s.p.name(a.box), a.w-2*chipsLeft, 15))
	s.text("meta", 0, 41, fit(s.p.Boxes[a.box].meta(), a.w-2*chipsLeft, 11))
	s.line(`</svg>`)
	for n, k := range s.p.Kinds {
		s.chip(a, n, k)
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

// links hang between the boxes that share what no region can show.
func (s *svg) links(areas []area) {
	at := map[int]area{}
	boxesOf(areas, at)
	for _, l := range s.p.Links {
		kind := l.Shared[0].Type
		n := slices.IndexFunc(s.p.Kinds, func(k cmpdiff.Kind) bool { return k.Type == kind })
		s.line(`<g class="link k-%s"><title>%s</title>`, kind, html.EscapeString(linkText(l)+": "+s.p.others(l.Members, -1)))
		for i, m := range l.Members {
			x, y := at[m].chip(n)
			x, y = x+chipWidth/2, y+chipHeight
			if i > 0 {
				px, py := at[l.Members[i-1]].chip(n)
				px, py = px+chipWidth/2, py+chipHeight
				sag := 34 + max(px-x, x-px)/12
				s.line(`<path d="M%d %dC%d %d %d %d %d %d"/>`, px, py, px, py+sag, x, y+sag, x, y)
			}
			s.line(`<circle cx="%d" cy="%d" r="3.5"/>`, x, y)
		}
		s.line(`</g>`)
	}
}

func boxesOf(areas []area, at map[int]area) {
	for _, a := range areas {
		if a.region == nil {
			at[a.box] = a
		}
		boxesOf(a.within, at)
	}
}

// linkText names what a link or region shares.
func linkText(r cmpdiff.Region) string {
	var kinds []string
	for _, n := range r.Shared {
		kinds = append(kinds, string(n.Type))
	}
	return strings.Join(kinds, ", ")
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
	room := func(s string) (w int) {
		for _, r := range s {
			w += letterWidth(r, size)
		}
		return w
	}
	for n := len([]rune(s)); n > 4 && room(s) > width; n-- {
		s = shorten(s, n)
	}
	return s
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
