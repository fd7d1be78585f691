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
	visible "dx/nsops/escape"
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

// What is folded opens by a click, and where something in it is looked for.
func TestMapPageFolds(t *testing.T) {
	engine.Require(t, engine.Chromium)
	p := page(t, draw.HTML(hermits("a", "b", "c", "d", "e")))
	seen := func(what string, want int) {
		t.Helper()
		if n := browser.Eval[int](p, `[...document.querySelectorAll(".box")].filter(b => b.checkVisibility({contentVisibilityAuto: true})).length`); n != want {
			t.Errorf("%s: %d boxes are seen, want %d", what, n, want)
		}
	}
	seen("at first", 0)
	p.Click(`document.querySelector(".fold summary b")`)
	seen("opened", 5)
	p.Click(`document.querySelector(".fold summary b")`)
	seen("closed", 0)
	p.Press("/")
	p.Type("pid 3")
	seen("looked for", 1)
	p.Press("Escape")
	seen("after Escape", 0)
	p.Press("/")
	p.Type("nobody")
	if browser.Eval[bool](p, `document.querySelector(".fold").checkVisibility()`) {
		t.Error("a fold in which nothing is found is shown")
	}
	if len(p.Complaints) > 0 {
		t.Errorf("the page complains: %q", p.Complaints)
	}
}

// A click copies what gets into the container, and so does Enter. What comes from the
// clipboard is typed into the page's field.
func TestMapPageCopies(t *testing.T) {
	engine.Require(t, engine.Chromium)
	picture := strangers("a", `b'"<b>`)
	picture.Boxes[0].Command, picture.Boxes[1].Command = "dx exec -it a sh", `dx exec -it 'b'\''"<b>' sh`
	p := page(t, draw.HTML(picture))
	paste := func() string {
		t.Helper()
		browser.Eval[int](p, `(f => { f.value = ""; f.focus(); return 1 })(document.getElementById("filter"))`)
		p.Call("Input.dispatchKeyEvent", map[string]any{"type": "rawKeyDown", "key": "v", "windowsVirtualKeyCode": 86, "modifiers": 2, "commands": []string{"paste"}}, nil)
		return browser.Eval[string](p, `document.getElementById("filter").value`)
	}
	for i, copy := range []func(){
		func() { p.Click(boxNamed(picture.Subjects[0])) },
		func() { browser.Eval[int](p, boxNamed(picture.Subjects[1])+".focus(), 1"); p.Press("Enter") },
	} {
		copy()
		want := picture.Boxes[i].Command
		p.Wait(fmt.Sprintf(`document.getElementById("copied").textContent.includes(%q)`, want))
		if got := paste(); got != want {
			t.Errorf("the clipboard has %q, want %q", got, want)
		}
		p.Press("Escape")
	}
	if len(p.Complaints) > 0 {
		t.Errorf("the page complains: %q", p.Complaints)
	}
}

// crossed are the texts of a page that a line touches.
const crossed = `(() => {
	const texts = [], out = [];
	const walk = document.createTreeWalker(document.getElementById("map"), NodeFilter.SHOW_TEXT);
	for (let node; node = walk.nextNode();) if (node.data.trim() && node.parentElement.checkVisibility()) {
		const range = document.createRange();
		range.selectNodeContents(node);
		for (const r of range.getClientRects()) if (r.width) texts.push([node.data, r]);
	}
	const at = document.getElementById("lines").getBoundingClientRect();
	for (const path of document.querySelectorAll("#lines path")) {
		const points = path.getAttribute("d").slice(1).split("L").map(p => p.split(" ").map(Number));
		for (let i = 1; i < points.length; i++) for (const [text, r] of texts) {
			const [x1, y1] = points[i - 1], [x2, y2] = points[i];
			if (Math.min(x1, x2) + at.left < r.right && Math.max(x1, x2) + at.left > r.left && Math.min(y1, y2) + at.top < r.bottom && Math.max(y1, y2) + at.top > r.top) out.push(text);
		}
	}
	return out;
})()`

// The lines of a page go round what is written, however wide the window is.
func TestMapPageLines(t *testing.T) {
	engine.Require(t, engine.Chromium)
	picture := tangle(40)
	p := page(t, draw.HTML(picture))
	want := 0
	for _, l := range picture.Links {
		want += len(l.Members) - 1
	}
	if want < 10 {
		t.Fatalf("only %d lines are to be drawn", want)
	}
	for _, width := range []int{1180, 700, 1920} {
		p.Call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false}, nil)
		p.Wait(fmt.Sprintf("innerWidth === %d", width))
		browser.Eval[int](p, `dispatchEvent(new Event("resize")), 1`)
		if n := browser.Eval[int](p, `document.querySelectorAll("#lines path").length`); n != want {
			t.Errorf("%d pixels wide: %d lines, want %d", width, n, want)
		}
		if texts := browser.Eval[[]string](p, crossed); len(texts) > 0 {
			t.Errorf("%d pixels wide: lines cross %q", width, texts)
		}
		save(t, p, fmt.Sprintf("lines-%d", width))
	}
	if len(p.Complaints) > 0 {
		t.Errorf("the page complains: %q", p.Complaints)
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
	picture.Origin = strings.Join(attacks, " ")
	for i, a := range attacks {
		b := &picture.Boxes[i]
		b.State, b.Label, b.Command = a, a, a
		b.Ports, b.Networks, b.Volumes = []string{a, a}, []string{a, "net"}, []string{a, "vol"}
		picture.Stopped = append(picture.Stopped, draw.Stopped{Name: a, Box: *b})
	}
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
		if n := browser.Eval[int](p, `document.querySelectorAll(".box:not(.stopped)").length`); n != len(attacks) {
			t.Errorf("%s: %d boxes, want %d", format, n, len(attacks))
		}
		if copied := browser.Eval[[]string](p, `[...document.querySelectorAll("[data-copy]")].map(b => b.dataset.copy)`); slices.ContainsFunc(copied, func(c string) bool { return visible.Line(c) != c }) {
			t.Errorf("%s: what a click copies is not one visible line: %q", format, copied)
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
	return pictured(names, func(int, nsops.Type) uint64 { return 2 }, nsops.Net)
}

// hermits share nothing.
func hermits(names ...string) draw.Picture { return pictured(names, nil) }

// tangle is n containers that share in ways that no frames can show.
func tangle(n int) draw.Picture {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("%s-%d", strings.Repeat("name", 1+i%4), i))
	}
	p := pictured(names, func(i int, kind nsops.Type) uint64 {
		switch kind {
		case nsops.Net:
			return uint64(10 + i%9)
		case nsops.PID:
			return uint64(30 + i%7)
		}
		return uint64(50 + i%13)
	}, nsops.Net, nsops.PID, nsops.IPC)
	for i := range p.Boxes {
		p.Boxes[i].Networks, p.Boxes[i].Ports = []string{"front", "back"}[:i%3], []string{"8080→80"}[:i%2]
	}
	return p
}

// pictured have namespaces of their own but for some kinds, of which group tells the number.
func pictured(names []string, group func(int, nsops.Type) uint64, kinds ...nsops.Type) draw.Picture {
	host := cmpdiff.Subject{Name: "host", Namespaces: nsops.Set{Own: map[nsops.Type]nsops.ID{}}}
	var subjects []cmpdiff.Subject
	var p draw.Picture
	for i, name := range names {
		set := nsops.Set{Own: map[nsops.Type]nsops.ID{}}
		for k, kind := range nsops.Types {
			host.Namespaces.Own[kind] = nsops.ID{Device: 4, Inode: 1}
			set.Own[kind] = nsops.ID{Device: 4, Inode: uint64(1000 + 10*i + k)}
			if slices.Contains(kinds, kind) {
				set.Own[kind] = nsops.ID{Device: 4, Inode: group(i, kind)}
			}
		}
		subjects = append(subjects, cmpdiff.Subject{Name: name, Namespaces: set})
		p.Boxes = append(p.Boxes, draw.Box{ID: name, PID: i + 1, Image: name})
	}
	p.Map = cmpdiff.Compare(host, subjects...).Map()
	return p
}
