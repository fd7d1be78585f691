package draw

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html"
	"slices"
	"strings"

	"dx/cmpdiff"
	"dx/nsops/escape"
)

var (
	//go:embed page.css
	pageStyle string
	//go:embed page.js
	pageScript string
)

// HTML draws the picture as a page of one file, which loads nothing and runs its own
// script alone: its policy names both style and script by their hashes. The page
// filters, shows what shares with the box under the pointer or the focus, and copies the
// command of a box that is clicked.
func HTML(p Picture) string {
	h := &page{p: newPlan(&p)}
	h.head()
	h.controls()
	h.line(`<main id="map" class="host" data-group="base">`)
	h.line(`<h1><bdi>%s</bdi></h1><p class="origin"><bdi>%s</bdi></p><p class="meta">%s</p>`,
		html.EscapeString(p.baseName()), html.EscapeString(shorten(escape.Line(p.Origin), 120)), html.EscapeString(p.summary()))
	h.flow(h.p.regions, h.p.boxes)
	h.lists()
	h.line(`<svg id="lines" aria-hidden="true"></svg>`)
	h.line(`</main>`)
	h.links()
	h.foot()
	return h.b.String()
}

type page struct {
	p *plan
	b strings.Builder
}

func (h *page) line(format string, args ...any) {
	fmt.Fprintf(&h.b, format, args...)
	h.b.WriteByte('\n')
}

// head holds nothing that came from elsewhere. A hash is of all that stands between
// the tags (CSP level 3, section 6.7.3.3).
func (h *page) head() {
	h.line(`<!DOCTYPE html>`)
	h.line(`<html lang="en"><head><meta charset="utf-8">`)
	h.line(`<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src '%s'; script-src '%s'; base-uri 'none'; form-action 'none'">`,
		hash(pageStyle), hash(pageScript))
	h.line(`<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">`)
	h.line(`<title>%s</title>`, html.EscapeString(h.p.heading("Namespaces of "+h.p.baseName())))
	h.line(`<style>%s</style>`, pageStyle)
	h.line(`</head><body>`)
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

func (h *page) controls() {
	h.line(`<header class="bar"><input id="filter" type="search" placeholder="Filter by name, image, ID or PID  ( / )" aria-label="Filter by name, image, ID or PID" autocomplete="off" spellcheck="false">`)
	h.line(`<div id="kinds" role="group" aria-label="Show only what shares this kind of namespace">`)
	for _, k := range h.p.Kinds {
		h.line(`<button type="button" class="kind k-%s" data-kind="%s" aria-pressed="false">%s</button>`, k.Type, k.Type, k.Type)
	}
	h.line(`</div><output id="count"></output></header>`)
}

func (h *page) flow(regions []cmpdiff.Region, boxes []int) {
	h.line(`<div class="flow">`)
	for _, r := range regions {
		h.region(r)
	}
	for _, i := range boxes {
		h.box(i)
	}
	h.line(`</div>`)
}

func (h *page) region(r cmpdiff.Region) {
	class := "pod"
	if len(r.Shared) > 0 {
		class = "k-" + string(r.Shared[0].Type)
	}
	h.line(`<section class="region %s" aria-label="%s"><div class="tabs">`, class, html.EscapeString(linkText(r)))
	if r.Name != "" {
		h.line(`<span class="tab pod"><bdi>%s</bdi></span>`, html.EscapeString(shorten(escape.Line(r.Name), 120)))
	}
	for _, n := range r.Shared {
		h.line(`<span class="tab k-%s" data-group="%s">%s <small>%d</small></span>`, n.Type, groupKey(n), n.Type, n.ID.Inode)
	}
	h.line(`</div>`)
	h.flow(r.Within, r.Direct)
	h.line(`</section>`)
}

// lists are closed at first; a click opens them. Those that are folded are boxes in it.
func (h *page) lists() {
	for _, l := range h.p.lists() {
		h.line(`<details class="list %s"><summary><b>%s</b>`, l.class, l.title)
		for _, e := range l.entries {
			h.line(`<span class="entry" title="%s"><bdi>%s</bdi></span>`, html.EscapeString(e.meta), html.EscapeString(shorten(e.name, 40)))
		}
		h.line(`</summary>`)
		if l.class == "fold" {
			h.flow(nil, h.p.folded)
		} else {
			h.stopped()
		}
		h.line(`</details>`)
	}
}

func (h *page) stopped() {
	h.line(`<div class="flow">`)
	for _, s := range h.p.Stopped {
		h.open("box stopped", s.name(), s.name(), s.name(), s.Box)
		h.facts(s.Box)
		h.line(`</article>`)
	}
	h.line(`</div>`)
}

// groupKey is equal for all that are in one namespace.
func groupKey(n cmpdiff.Namespace) string {
	return fmt.Sprintf("%s-%d-%d", n.Type, n.ID.Device, n.ID.Inode)
}

func (h *page) box(i int) {
	b := h.p.Boxes[i]
	class := "box"
	if len(h.p.baseKinds(i)) > 0 {
		class += " exposed"
	}
	if b.State != "" {
		class += " idle"
	}
	h.open(class, h.p.name(i), h.p.heads(i), h.p.title(i), b)
	h.line(`<ul class="chips">`)
	for _, k := range h.p.Kinds {
		h.chip(k, i)
	}
	h.line(`</ul>`)
	h.facts(b)
	h.line(`</article>`)
}

// open begins a box: its name, what is looked for in it, and what a click copies.
func (h *page) open(class, name, head, title string, b Box) {
	words := strings.ToLower(strings.Join([]string{name, escape.Line(b.ID), b.meta(), b.all()}, " "))
	copies := ""
	if b.Command != "" && escape.Line(b.Command) == b.Command {
		copies = fmt.Sprintf(` data-copy="%s"`, html.EscapeString(b.Command))
	}
	h.line(`<article class="%s" tabindex="0" data-name="%s" data-words="%s"%s title="%s">`,
		class, html.EscapeString(name), html.EscapeString(words), copies, html.EscapeString(title))
	if b.State != "" {
		h.line(`<p class="state">%s</p>`, html.EscapeString(shorten(escape.Line(b.State), 60)))
	}
	h.line(`<h2><bdi>%s</bdi></h2>`, html.EscapeString(head))
	h.line(`<p class="meta">%s</p>`, html.EscapeString(b.meta()))
}

// facts are a line each; what several have in common is a group, as a namespace is.
func (h *page) facts(b Box) {
	for _, f := range b.facts() {
		h.line(`<p class="fact"><span class="key">%s</span>`, f.label())
		for _, v := range f.values {
			text, group := html.EscapeString(shorten(escape.Line(v), 120)), ""
			if g := h.p.group(f.key, v); g != "" {
				group = fmt.Sprintf(` data-group="%s" data-kind="%s %s"`, g, f.key, text)
			}
			h.line(`<span class="value"%s title="%s"><bdi>%s</bdi></span>`, group, text, text)
		}
		h.line(`</p>`)
	}
}

func (h *page) chip(k cmpdiff.Kind, i int) {
	state := h.p.state(k, i)
	group := ""
	if state == shared || state == base {
		group = fmt.Sprintf(` data-group="%s"`, groupKey(cmpdiff.Namespace{Type: k.Type, ID: k.Cells[i].ID}))
	}
	h.line(`<li class="chip %s k-%s" data-kind="%s"%s title="%s">%s</li>`, state, k.Type, k.Type, group, html.EscapeString(h.p.explain(k, i)), k.Type)
}

// links are drawn by the script, which knows where the boxes are.
func (h *page) links() {
	var groups []string
	for _, l := range h.p.Links {
		groups = append(groups, groupKey(l.Shared[0]))
	}
	slices.Sort(groups)
	h.line(`<div id="links" hidden data-groups="%s"></div>`, strings.Join(groups, " "))
}

func (h *page) foot() {
	h.line(`<footer class="bar"><p id="said" role="status"></p><p id="copied" role="status"></p><ul class="legend">`)
	h.line(`<li><i class="chip own"></i>its own</li><li><i class="chip shared k-net"></i>shared with another</li>`)
	h.line(`<li><i class="chip base"></i><bdi>the %s's</bdi></li><li><i class="chip unknown"></i>not known</li><li>a click copies dx exec</li></ul></footer>`, html.EscapeString(h.p.baseName()))
	h.line(`<script>%s</script>`, pageScript)
	h.line(`</body></html>`)
}
