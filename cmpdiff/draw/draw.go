// Package draw makes pictures of a cmpdiff.Map: SVG, a page of HTML and a tree of text to
// look at, DOT and Mermaid for other programs. A picture is text, made of facts alone: the
// same map gives the same bytes. What belongs to whom is cmpdiff's to say, and
// nothing here reads, writes or asks.
//
// Names come from containers. Whatever they hold, each format gets only visible
// characters of them, escaped as that format has it, and of bounded length where
// they would tear the picture.
package draw

import (
	"fmt"
	"strconv"
	"strings"

	"dx/cmpdiff"
	"dx/nsops"
	"dx/nsops/escape"
)

// Picture is what is drawn: a map, and what is written in the box of each of its
// subjects.
type Picture struct {
	cmpdiff.Map
	Boxes   []Box     // one a subject
	Stopped []Stopped // containers that have no process, and so no namespaces
	// Origin is where and when it was made, for the title; empty: not told.
	Origin string
	// Unfold draws a box for each container, also where several share nothing.
	Unfold bool
}

// heading is a title, with where and when the picture was made.
func (p Picture) heading(title string) string {
	if p.Origin == "" {
		return title
	}
	return title + " (" + escape.Line(p.Origin) + ")"
}

// Box is what a subject's box says beside its name. Empty parts are left out.
type Box struct {
	Label string // in place of the subject's name, where its region says the rest
	ID    string
	PID   int
	Image string
	// Engine is whose it is, where there are several.
	Engine string
	State  string // "paused"; empty: it runs

	Ports    []string // "8080→80"
	Networks []string // their names
	Volumes  []string // their names; of binds the host's paths

	// Command is what a click copies. It is one line of visible characters, else it counts
	// for nothing.
	Command string
	// Frame says that the frame of its family stands for it, as that of a pod does for the
	// pod's sandbox.
	Frame bool
}

// Stopped is a container that does not run.
type Stopped struct {
	Name string
	Box
}

func (s Stopped) name() string { return nameOf(s.Name) }

// state is how a subject stands to others in one kind of namespace.
type state string

// The states; their texts are the classes of the style sheets.
const (
	own     state = "own"
	shared  state = "shared"  // with other subjects
	base    state = "base"    // with the base
	usual   state = "usual"   // with the base, as engines leave it unless told otherwise
	unknown state = "unknown" // could not be read, or the base could not
	missing state = "missing" // the subject's kernel has no such kind
)

// usually are the kinds that containers share with their host by default, on some
// kernels at least: that they do is no surprise.
var usually = map[nsops.Type]bool{nsops.Cgroup: true, nsops.Time: true, nsops.User: true}

func (p *Picture) state(k cmpdiff.Kind, i int) state {
	c := k.Cells[i]
	switch {
	case c.Relation == cmpdiff.Shared && usually[k.Type]:
		return usual
	case c.Relation == cmpdiff.Shared:
		return base
	case c.Relation == cmpdiff.Missing:
		return missing
	case len(k.Together[i]) > 1:
		return shared
	case c.Relation == cmpdiff.Unknown:
		return unknown
	}
	return own
}

// baseKinds are the kinds in which a subject is in the base's namespace, other than
// usual.
func (p *Picture) baseKinds(i int) []string {
	var out []string
	for _, k := range p.Kinds {
		if p.state(k, i) == base {
			out = append(out, string(k.Type))
		}
	}
	return out
}

// explain says in words what a subject's namespace is.
func (p *Picture) explain(k cmpdiff.Kind, i int) string {
	text := string(k.Type)
	if id := k.Cells[i].ID; !id.IsZero() {
		text += " " + strconv.FormatUint(id.Inode, 10)
	}
	switch p.state(k, i) {
	case usual, base:
		return text + ": the " + p.baseName() + "'s"
	case shared:
		return text + ": shared with " + p.others(k.Together[i], i)
	case unknown:
		return text + ": not known"
	case missing:
		return text + ": not in this kernel"
	}
	return text + ": its own"
}

// others names a few of the members and counts the rest.
func (p *Picture) others(members []int, self int) string {
	const few = 8
	var names []string
	more := 0
	for _, m := range members {
		switch {
		case m == self:
		case len(names) == few:
			more++
		default:
			names = append(names, shorten(p.name(m), 40))
		}
	}
	text := strings.Join(names, ", ")
	if more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// name is a subject's name, bounded as names of files are.
func (p *Picture) name(i int) string { return nameOf(p.Subjects[i]) }

func nameOf(text string) string {
	if text == "" {
		return "(no name)"
	}
	return shorten(escape.Line(text), 255)
}

func (p *Picture) baseName() string { return shorten(escape.Line(p.Base), 40) }

// summary is the line under the base's name.
func (p *Picture) summary() string {
	n, states := 0, map[string]int{}
	for i := range p.Subjects {
		if b := p.Boxes[i]; !b.Frame {
			n++
			states[b.State]++
		}
	}
	text := "no container"
	if n > 0 {
		text = count(n, "container")
	}
	if m := states["paused"]; m > 0 {
		text += fmt.Sprintf(", %d paused", m)
	}
	if n > 0 && len(p.Common) > 0 {
		text += " · " + p.common(n)
	}
	if m := len(p.Stopped); m > 0 {
		text += " · " + stoppedTitle(m)
	}
	return text
}

// common says in which namespaces of the base's all are.
func (p *Picture) common(n int) string {
	var kinds []string
	for _, t := range p.Common {
		kinds = append(kinds, string(t))
	}
	who := "all are"
	if n == 1 {
		who = "it is"
	}
	return fmt.Sprintf("%s in the %s's %s", who, p.baseName(), kindsText(kinds))
}

// kindsText is "net and pid namespaces".
func kindsText(kinds []string) string {
	last := len(kinds) - 1
	if last == 0 {
		return kinds[0] + " namespace"
	}
	return strings.Join(kinds[:last], ", ") + " and " + kinds[last] + " namespaces"
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// title is all that a box has no room for.
func (p *Picture) title(i int) string {
	if id := p.Boxes[i].ID; id != "" {
		return p.name(i) + " (" + shorten(escape.Line(id), 64) + ")"
	}
	return p.name(i)
}

// meta is a box's second line.
func (b Box) meta() string {
	var parts []string
	if b.Engine != "" {
		parts = append(parts, shorten(escape.Line(b.Engine), 80))
	}
	if b.PID != 0 {
		parts = append(parts, fmt.Sprintf("pid %d", b.PID))
	}
	if b.Image != "" {
		parts = append(parts, shorten(escape.Line(b.Image), 255))
	}
	return strings.Join(parts, " · ")
}

// shorten cuts the middle out of a text that has more than limit runes: names of
// one family often differ at their end only.
func shorten(s string, limit int) string {
	runes := []rune(s)
	if len(runes) <= limit {
		return s
	}
	tail := (limit - 1) / 2
	return string(runes[:limit-1-tail]) + "…" + string(runes[len(runes)-tail:])
}
