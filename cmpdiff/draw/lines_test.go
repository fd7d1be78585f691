package draw

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"dx/cmpdiff"
	"dx/nsops"
)

// drawing is what an image of SVG holds, as somebody who looks at it sees it: where texts
// are, and lines.
type drawing struct {
	texts    []label
	cards    []rect // boxes
	segments [][2]point
	links    []drawnLink
}

// drawnLink is a group of lines.
type drawnLink struct{ lines, dots []point } // ends of the lines, two each

type label struct {
	rect
	text string
}

// sizes of the classes of text, of the style sheet.
var sizes = map[string]int{"base-name": 19, "name": 15, "entry": 13, "list-title": 13}

func read(t *testing.T, svg string) drawing {
	t.Helper()
	var d drawing
	var at []point // corners of the images that contain what is read
	dec := xml.NewDecoder(strings.NewReader(svg))
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return d
		}
		if err != nil {
			t.Fatal(err)
		}
		switch e := tok.(type) {
		case xml.StartElement:
			d.element(t, dec, e, &at)
		case xml.EndElement:
			if e.Name.Local == "svg" {
				at = at[:len(at)-1]
			}
		}
	}
}

func (d *drawing) element(t *testing.T, dec *xml.Decoder, e xml.StartElement, at *[]point) {
	t.Helper()
	attr := map[string]string{}
	for _, a := range e.Attr {
		attr[a.Name.Local] = a.Value
	}
	number := func(name string) int { n, _ := strconv.Atoi(attr[name]); return n }
	switch e.Name.Local {
	case "svg":
		*at = append(*at, point{number("x"), number("y")})
		if n := len(*at); n > 1 {
			(*at)[n-1] = point{(*at)[n-1].x + (*at)[n-2].x, (*at)[n-1].y + (*at)[n-2].y}
		}
	case "text":
		var text string
		if err := dec.DecodeElement(&text, &e); err != nil {
			t.Fatal(err)
		}
		corner := (*at)[len(*at)-1]
		d.texts = append(d.texts, labelAt(corner.x+number("x"), corner.y+number("y"), attr["class"], text))
	case "path":
		d.path(t, attr["d"])
	case "rect":
		if attr["class"] == "card" {
			d.cards = append(d.cards, rect{number("x"), number("y"), number("width"), number("height")})
		}
	case "circle":
		last := &d.links[len(d.links)-1]
		last.dots = append(last.dots, point{number("cx"), number("cy")})
	case "g":
		if strings.HasPrefix(attr["class"], "link ") {
			d.links = append(d.links, drawnLink{})
		}
	}
}

// labelAt is the room of a text by its anchor and base line; chips have no class.
func labelAt(x, y int, class, text string) label {
	size := sizes[class]
	if size == 0 {
		size = 11
	}
	w := textWidth(text, size)
	switch class {
	case "", "tab-text", "state-text":
		x -= w / 2
	case "origin":
		x -= w
	}
	return label{rect{x, y - size, w, size + size/4}, text}
}

func (d *drawing) path(t *testing.T, path string) {
	t.Helper()
	var first, last point
	for i, part := range strings.Split(strings.TrimPrefix(path, "M"), "L") {
		var p point
		if n, err := fmt.Sscanf(part, "%d %d", &p.x, &p.y); n != 2 || err != nil {
			t.Fatalf("path %q: %v", path, err)
		}
		if i > 0 {
			d.segments = append(d.segments, [2]point{last, p})
		}
		if last = p; i == 0 {
			first = p
		}
	}
	link := &d.links[len(d.links)-1]
	link.lines = append(link.lines, first, last)
}

// crosses reports whether a horizontal or vertical line touches a rectangle.
func crosses(s [2]point, r rect) bool {
	left, right := min(s[0].x, s[1].x), max(s[0].x, s[1].x)
	top, bottom := min(s[0].y, s[1].y), max(s[0].y, s[1].y)
	return left <= r.x+r.w && right >= r.x && top <= r.y+r.h && bottom >= r.y
}

func mustBeReadable(t *testing.T, what, svg string) drawing {
	t.Helper()
	d := read(t, svg)
	for _, s := range d.segments {
		if s[0].x != s[1].x && s[0].y != s[1].y {
			t.Errorf("%s: %v is neither horizontal nor vertical", what, s)
		}
		for _, l := range d.texts {
			if crosses(s, l.rect) {
				t.Errorf("%s: the line %v crosses %q at %v", what, s, l.text, l.rect)
			}
		}
	}
	return d
}

func TestNoLineCrossesText(t *testing.T) {
	for name, p := range pictures {
		mustBeReadable(t, name, SVG(p))
	}
	if d := mustBeReadable(t, "several", SVG(pictures["several"])); len(d.links) != 1 || len(d.links[0].dots) != 2 {
		t.Errorf("%+v, want one link between two boxes", d.links)
	}
}

// Whatever shares what with whom: each link is there, connects all that it says, and
// touches no text.
func TestLinesOfRandomWorlds(t *testing.T) {
	worlds := 60
	if testing.Short() {
		worlds = 10
	}
	lines := 0
	for seed := range worlds {
		p := randomWorld(rand.New(rand.NewPCG(uint64(seed), 7)))
		svg := SVG(p)
		d := mustBeReadable(t, fmt.Sprintf("world %d", seed), svg)
		if len(d.links) != len(p.Links) {
			t.Fatalf("world %d: %d of %d links are drawn", seed, len(d.links), len(p.Links))
		}
		for n, link := range d.links {
			mustConnect(t, fmt.Sprintf("world %d, link %d", seed, n), d, link, len(p.Links[n].Members))
			lines += len(link.lines) / 2
		}
		if SVG(p) != svg {
			t.Errorf("world %d: a second picture differs", seed)
		}
	}
	if lines < worlds {
		t.Errorf("%d lines in all: the worlds share too little", lines)
	}
}

// mustConnect: a tree of n boxes has n-1 lines, which end at boxes or at each other.
func mustConnect(t *testing.T, what string, d drawing, link drawnLink, members int) {
	t.Helper()
	if got := len(link.lines) / 2; got != members-1 {
		t.Errorf("%s: %d boxes have %d lines", what, members, got)
	}
	touched := map[rect]bool{}
	for _, end := range link.lines {
		onLine := slices.ContainsFunc(d.segments, func(s [2]point) bool {
			return crosses(s, rect{x: end.x, y: end.y}) && s[0] != end && s[1] != end
		})
		card := slices.IndexFunc(d.cards, func(c rect) bool { return c.borders(end) })
		if card >= 0 {
			touched[d.cards[card]] = true
		} else if !onLine && !slices.Contains(cornersOf(d.segments, end), end) {
			t.Errorf("%s: a line ends at %v, where nothing is", what, end)
		}
		if slices.Contains(link.dots, end) != (card >= 0) {
			t.Errorf("%s: the end at %v of a box: %v; it has a dot: %v", what, end, card >= 0, card < 0)
		}
	}
	if len(touched) != members {
		t.Errorf("%s: the lines end at %d of %d boxes", what, len(touched), members)
	}
}

// cornersOf are the corners at a point: two segments meet there, and a third ends.
func cornersOf(segments [][2]point, at point) (out []point) {
	n := 0
	for _, s := range segments {
		if s[0] == at || s[1] == at {
			n++
		}
	}
	if n > 1 {
		out = append(out, at)
	}
	return out
}

// randomWorld has up to 60 containers that share namespaces, pods, networks and names of
// any length.
func randomWorld(r *rand.Rand) Picture {
	n := 1 + r.IntN(60)
	var list []cmpdiff.Subject
	for i := range n {
		shared := joins{}
		for _, kind := range []nsops.Type{nsops.Net, nsops.PID, nsops.IPC, nsops.UTS} {
			if r.IntN(5) == 0 {
				shared[kind] = uint64(1 + r.IntN(3+n/5))
			}
		}
		list = append(list, joined(strings.Repeat("name-", 1+r.IntN(9))+fmt.Sprint(i), shared))
	}
	var families []cmpdiff.Family
	for i := 0; i+2 < n; i += 3 {
		if r.IntN(4) == 0 {
			families = append(families, cmpdiff.Family{Name: strings.Repeat("pod-", 1+r.IntN(12)), Members: []int{i, i + 1, i + 2}[:1+r.IntN(3)]})
		}
	}
	p := picture(list...)
	p.Map = cmpdiff.Compare(joined("host", nil), list...).Map(families...)
	for i := range p.Boxes {
		b := &p.Boxes[i]
		b.State = []string{"", "", "", "paused"}[r.IntN(4)]
		b.Ports = []string{"8080→80", "127.0.0.1:9000→9000"}[:r.IntN(3)]
		b.Networks = []string{"bridge", "back", "front"}[:r.IntN(4)]
		b.Volumes = []string{"/srv/data", "cache"}[:r.IntN(3)]
	}
	p.Unfold = r.IntN(2) == 0
	return p
}
