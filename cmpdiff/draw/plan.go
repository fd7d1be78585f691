package draw

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"dx/cmpdiff"
	"dx/nsops/escape"
)

// plan is what all formats draw: which boxes stand where, and which are folded.
type plan struct {
	*Picture
	regions []cmpdiff.Region
	boxes   []int    // outside all regions, one box each
	folded  []int    // outside all regions, all in one box
	groups  []string // of sharing, in order: see group
	counts  map[string]int
}

// foldFrom is how many containers that share nothing are folded: fewer have room.
const foldFrom = 4

func newPlan(p *Picture) *plan {
	l := &plan{Picture: p, counts: map[string]int{}}
	l.regions = l.withoutFrames(p.Regions)
	l.countGroups()
	linked := map[int]bool{}
	for _, link := range p.Links {
		for _, i := range link.Members {
			linked[i] = true
		}
	}
	for _, i := range l.outside(p.Outside) {
		if !p.Unfold && !linked[i] && l.sharesNothing(i) {
			l.folded = append(l.folded, i)
		} else {
			l.boxes = append(l.boxes, i)
		}
	}
	if len(l.folded) < foldFrom {
		l.boxes, l.folded = append(l.boxes, l.folded...), nil
	}
	l.sortBoxes(linked)
	return l
}

// sortBoxes has those with links first, next to the regions, then those of one network
// beside each other.
func (l *plan) sortBoxes(linked map[int]bool) {
	rank := func(i int) int {
		if linked[i] {
			return 0
		}
		return 1
	}
	network := func(i int) string {
		for _, name := range slices.Sorted(slices.Values(l.Boxes[i].Networks)) {
			if l.group(networks, name) != "" {
				return name
			}
		}
		return "\U0010ffff" // behind all names
	}
	slices.SortStableFunc(l.boxes, func(a, b int) int {
		return cmp.Or(rank(a)-rank(b), strings.Compare(network(a), network(b)), a-b)
	})
}

// outside are the boxes of a list that no frame stands for.
func (l *plan) outside(list []int) (out []int) {
	for _, i := range list {
		if !l.Boxes[i].Frame {
			out = append(out, i)
		}
	}
	return out
}

// withoutFrames leaves out the boxes that their frame stands for.
func (l *plan) withoutFrames(list []cmpdiff.Region) (out []cmpdiff.Region) {
	for _, r := range list {
		r.Direct, r.Within = l.outside(r.Direct), l.withoutFrames(r.Within)
		if len(r.Direct) > 0 || len(r.Within) > 0 {
			out = append(out, r)
		}
	}
	return out
}

// Names of facts that several boxes can have in common.
const (
	networks = "network"
	volumes  = "volume"
)

// fact is a line of a box.
type fact struct {
	key    string
	values []string
}

// facts are the lines below the chips of a box.
func (b Box) facts() (out []fact) {
	for _, f := range []fact{{"port", b.Ports}, {networks, b.Networks}, {volumes, b.Volumes}} {
		if len(f.values) > 0 {
			out = append(out, f)
		}
	}
	return out
}

// label is a fact's key as it is shown: "ports".
func (f fact) label() string {
	if len(f.values) > 1 {
		return f.key + "s"
	}
	return f.key
}

// text is a fact's values in one line of visible characters.
func (f fact) text() string {
	var out []string
	for _, v := range f.values {
		out = append(out, shorten(escape.Line(v), 120))
	}
	return strings.Join(out, ", ")
}

// everybodys are what engines give to any container unless told otherwise, or what any
// may have of the host's: to have it in common connects nobody.
func everybodys(key, value string) bool {
	switch value {
	case "bridge", "host", "none", "podman", "nat":
		return key == networks
	case "/etc/localtime", "/etc/timezone":
		return key == volumes
	}
	return false
}

func (l *plan) countGroups() {
	for i, b := range l.Boxes {
		if b.Frame || i >= len(l.Subjects) {
			continue
		}
		for _, f := range b.facts() {
			for _, v := range slices.Compact(slices.Sorted(slices.Values(f.values))) {
				if f.key != "port" && !everybodys(f.key, v) {
					l.counts[f.key+" "+v]++
				}
			}
		}
	}
	for key, n := range l.counts {
		if n > 1 {
			l.groups = append(l.groups, key)
		}
	}
	slices.Sort(l.groups)
}

// group is a word for a network or volume that several have in common; else empty.
func (l *plan) group(key, value string) string {
	if at, ok := slices.BinarySearch(l.groups, key+" "+value); ok {
		return fmt.Sprintf("g%d", at)
	}
	return ""
}

// sharesNothing reports whether a container is known to share no namespace with another or
// the host, but for what is usual, and neither network nor volume.
func (l *plan) sharesNothing(i int) bool {
	for _, k := range l.Kinds {
		if s := l.state(k, i); s == base || s == shared || s == unknown {
			return false
		}
	}
	for _, f := range l.Boxes[i].facts() {
		for _, v := range f.values {
			if l.group(f.key, v) != "" {
				return false
			}
		}
	}
	return true
}

// list is containers in one box, a line or two each.
type list struct {
	class, title string
	entries      []entry
}

type entry struct{ name, meta, title string }

// lists are the boxes that hold several containers.
func (l *plan) lists() (out []list) {
	if n := len(l.folded); n > 0 {
		fold := list{class: "fold", title: foldTitle(n)}
		for _, i := range l.folded {
			fold.entries = append(fold.entries, entry{l.name(i), l.Boxes[i].brief(), l.title(i)})
		}
		out = append(out, fold)
	}
	if n := len(l.Stopped); n > 0 {
		stopped := list{class: "stopped", title: stoppedTitle(n)}
		for _, s := range l.Stopped {
			stopped.entries = append(stopped.entries, entry{s.name(), s.brief(), s.name()})
		}
		out = append(out, stopped)
	}
	return out
}

func foldTitle(n int) string { return count(n, "container") + " share nothing with another" }

func stoppedTitle(n int) string {
	if n == 1 {
		return "1 container does not run"
	}
	return count(n, "container") + " do not run"
}

// heads is what a box is headed.
func (p *Picture) heads(i int) string {
	if b := p.Boxes[i]; b.Label != "" {
		return nameOf(b.Label)
	}
	return p.name(i)
}

// brief is what an entry of a list says: what tells this one from others first.
func (b Box) brief() string {
	var parts []string
	if b.State != "" {
		parts = append(parts, shorten(escape.Line(b.State), 60))
	}
	for _, f := range b.facts() {
		f.values = slices.DeleteFunc(slices.Clone(f.values), func(v string) bool { return everybodys(f.key, v) })
		if len(f.values) > 0 {
			parts = append(parts, f.text())
		}
	}
	for _, text := range []string{b.Engine, b.Image} {
		if text != "" {
			parts = append(parts, shorten(escape.Line(text), 255))
		}
	}
	return strings.Join(parts, " · ")
}

// all is what is looked for besides names, IDs and images.
func (b Box) all() string {
	words := []string{escape.Line(b.State)}
	for _, f := range b.facts() {
		words = append(words, f.text())
	}
	return strings.Join(words, " ")
}
