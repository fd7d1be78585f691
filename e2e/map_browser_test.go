package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dx/cmpdiff"
	"dx/cmpdiff/draw"
	"dx/e2e/browser"
	"dx/e2e/engine"
	"dx/nsops"
)

// shownBoxes are the names in the boxes that a page shows.
const shownBoxes = `[...document.querySelectorAll(".box")].filter(b => b.offsetParent).map(b => b.dataset.name).sort()`

func boxNamed(name string) string {
	return fmt.Sprintf(`[...document.querySelectorAll(".box")].find(b => b.dataset.name === %q)`, name)
}

func mustShow(t *testing.T, p *browser.Page, what string, want ...string) {
	t.Helper()
	got := browser.Eval[[]string](p, shownBoxes)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s: the page shows %q, want %q", what, got, want)
	}
}

func mustLight(t *testing.T, p *browser.Page, what string, want ...string) {
	t.Helper()
	got := browser.Eval[[]string](p, `[...document.querySelectorAll(".lit .box.with")].map(b => b.dataset.name).sort()`)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s: the page highlights %q, want %q", what, got, want)
	}
}

// save keeps a screenshot where DX_PICTURES says.
func save(t *testing.T, p *browser.Page, name string) {
	t.Helper()
	if dir := os.Getenv("DX_PICTURES"); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, name+".png"), p.Screenshot(), 0o644); err != nil {
			t.Error(err)
		}
	}
}

func page(t *testing.T, html string) *browser.Page {
	t.Helper()
	file := filepath.Join(t.TempDir(), "map.html")
	if err := os.WriteFile(file, []byte(html), 0o644); err != nil {
		t.Fatal(err)
	}
	return browser.Open(t, file, 1180, 860)
}

func TestMapPage(t *testing.T) {
	engine.Require(t, engine.Chromium)
	e := suite.Engine(t, engine.Host)
	w := mapNeighbours(t, e)
	p := page(t, mustMap(t, e, "html", w.names()...))
	all := w.names()

	mustShow(t, p, "at first", all...)
	mustLight(t, p, "at first")
	p.Point(boxNamed(w.web.Name))
	mustLight(t, p, "pointing at web", w.net.Name, w.both.Name)
	save(t, p, "pointer")
	p.Point(boxNamed(w.alone.Name))
	mustLight(t, p, "pointing at who shares nothing")
	p.Point(boxNamed(w.hostPID.Name))
	mustLight(t, p, "pointing at who is in the host's", w.hostToo.Name)
	p.Point(`document.querySelector("#count")`)
	mustLight(t, p, "pointing away")

	p.Press("/")
	p.Type(strings.ToUpper(w.ipc.Name))
	mustShow(t, p, "by name", w.ipc.Name)
	if n := browser.Eval[int](p, `[...document.querySelectorAll(".region")].filter(r => r.offsetParent).length`); n != 0 {
		t.Errorf("%d regions without a box are shown", n)
	}
	p.Press("Escape")
	mustShow(t, p, "after Escape", all...)
	p.Click(`document.querySelector(".kind.k-ipc")`)
	mustShow(t, p, "by kind", w.both.Name, w.ipc.Name)
	p.Click(`document.querySelector(".kind.k-ipc")`)
	mustShow(t, p, "without the kind", all...)

	p.Press("Escape")
	p.Press("/")
	p.Type(w.both.Name)
	p.Press("ArrowDown")
	mustLight(t, p, "the focus on both, all others hidden", w.web.Name, w.net.Name, w.ipc.Name)
	said := browser.Eval[string](p, `document.getElementById("said").textContent`)
	for _, want := range []string{w.both.Name, w.web.Name, w.ipc.Name, "net", "ipc"} {
		if !strings.Contains(said, want) {
			t.Errorf("the page says %q, want %s in it", said, want)
		}
	}
	p.Press("Escape")
	if n := browser.Eval[int](p, `document.querySelectorAll("#lines path").length`); n != 1 {
		t.Errorf("%d lines, want 1", n)
	}
	schemes(t, p)
	if len(p.Complaints) > 0 {
		t.Errorf("the page complains: %q", p.Complaints)
	}
}

// schemes looks whether the page follows the browser's.
func schemes(t *testing.T, p *browser.Page) {
	t.Helper()
	const colour = `getComputedStyle(document.body).backgroundColor`
	p.Dark(true)
	dark := browser.Eval[string](p, colour)
	save(t, p, "dark")
	p.Dark(false)
	if light := browser.Eval[string](p, colour); light == dark {
		t.Errorf("light and dark are both %s", light)
	}
	save(t, p, "light")
}

// TestMapPageKeys goes from box to box.
func TestMapPageKeys(t *testing.T) {
	engine.Require(t, engine.Chromium)
	p := page(t, draw.HTML(strangers("a", "b", "c")))
	const focused = `document.activeElement.dataset.name || ""`
	browser.Eval[int](p, boxNamed("a")+".focus(), 1")
	for _, step := range []struct{ key, want string }{{"ArrowRight", "b"}, {"ArrowRight", "c"}, {"ArrowRight", "c"}, {"ArrowLeft", "b"}, {"Tab", "c"}} {
		p.Press(step.key)
		if got := browser.Eval[string](p, focused); got != step.want {
			t.Errorf("%s leads to %q, want %q", step.key, got, step.want)
		}
	}
}

// A name does nothing but be there: in no picture that a browser opens.
func TestMapNamesDoNotRun(t *testing.T) {
	engine.Require(t, engine.Chromium)
	attacks := []string{
		`<script>window.pwned=1</script>`, `"><img src=x onerror="window.pwned=1">`, `' onfocus='window.pwned=1' autofocus='`,
		`</title></style></script><script>window.pwned=1</script>`, `]]><script xmlns="http://www.w3.org/1999/xhtml">window.pwned=1</script>`,
		"\u202ereversed", "\x1b]0;x\a\x00", "&lt;b&gt;", strings.Repeat("x", 200), "javascript:window.pwned=1", "\u2069\u2069\u200f", "<!--", "{{.}}",
	}
	picture := strangers(attacks...)
	for format, text := range map[string]string{"html": draw.HTML(picture), "svg": draw.SVG(picture)} {
		file := filepath.Join(t.TempDir(), "map."+format)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		p := browser.Open(t, file, 1180, 860)
		if browser.Eval[bool](p, `"pwned" in window`) {
			t.Errorf("%s: a name ran", format)
		}
		if n := browser.Eval[int](p, `document.querySelectorAll("img,iframe,object,a,script:not(body > script),[onfocus],[autofocus],parsererror").length`); n != 0 {
			t.Errorf("%s: names made %d elements", format, n)
		}
		if n := browser.Eval[int](p, `document.querySelectorAll(".box").length`); n != len(attacks) {
			t.Errorf("%s: %d boxes, want %d", format, n, len(attacks))
		}
		if wide := browser.Eval[bool](p, `document.documentElement.scrollWidth > Math.max(innerWidth, document.documentElement.clientWidth)`); wide && format == "html" {
			t.Errorf("a name makes the page wider than the window")
		}
		save(t, p, "hostile-"+format)
		if len(p.Complaints) > 0 {
			t.Errorf("%s complains: %q", format, p.Complaints)
		}
	}
}

// The policy holds also where something got past the escaping.
func TestMapPagePolicy(t *testing.T) {
	engine.Require(t, engine.Chromium)
	html := strings.Replace(draw.HTML(strangers("a")), "</main>", `</main><script>window.pwned=1</script><img src="http://127.0.0.1:9/x" onerror="window.pwned=1"><b id="styled" style="color:red">b</b>`, 1)
	p := page(t, html)
	if browser.Eval[bool](p, `"pwned" in window`) {
		t.Error("a foreign script ran")
	}
	if c := browser.Eval[string](p, `document.getElementById("styled").style.color`); c != "" {
		t.Errorf("a foreign style counts: %s", c)
	}
	if len(p.Complaints) < 3 {
		t.Errorf("only %d violations were seen: %q", len(p.Complaints), p.Complaints)
	}
	if n := browser.Eval[int](p, `document.querySelectorAll(".box").length`); n != 1 {
		t.Errorf("%d boxes", n)
	}
}

// strangers are containers of these names that share one network.
func strangers(names ...string) draw.Picture {
	host := cmpdiff.Subject{Name: "host", Namespaces: nsops.Set{Own: map[nsops.Type]nsops.ID{}}}
	var subjects []cmpdiff.Subject
	var p draw.Picture
	for i, name := range names {
		set := nsops.Set{Own: map[nsops.Type]nsops.ID{}}
		for _, kind := range nsops.Types {
			host.Namespaces.Own[kind] = nsops.ID{Device: 4, Inode: 1}
			set.Own[kind] = nsops.ID{Device: 4, Inode: uint64(100 + i)}
		}
		set.Own[nsops.Net] = nsops.ID{Device: 4, Inode: 2}
		subjects = append(subjects, cmpdiff.Subject{Name: name, Namespaces: set})
		p.Boxes = append(p.Boxes, draw.Box{ID: name, PID: i + 1, Image: name})
	}
	p.Map = cmpdiff.Compare(host, subjects...).Map()
	return p
}
