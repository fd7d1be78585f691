package draw

import (
	"fmt"
	"math"
	"slices"

	"dx/cmpdiff"
	"dx/nsops/escape"
)

// Measures of the SVG, in its pixels.
const (
	boxWidth            = 236
	gap                 = 16
	regionPad           = 14
	tabStep, tabTop     = 22, 8
	chipsLeft, chipsTop = 12, 54
	chipWidth           = 50
	chipHeight          = 18
	chipStepX           = 54
	chipStepY           = 22
	chipColumns         = 4
	chipsEnd            = 6
	factStep            = 16
	widest              = 16 // boxes side by side
	listHead            = 36
	entryHeight         = 36
)

// Shapes, as width by height: the picture is like a screen, and regions are rather
// rows than columns, so that they fill rows.
const (
	screen   = 1.6
	rowShape = 3.4
)

// area is a rectangle of the picture: a box, a region with areas in it, or a list.
type area struct {
	rect
	box    int             // index of the subject; -1 for others
	region *cmpdiff.Region // nil for others
	list   *list           // nil for others
	tabs   []tab           // of a region
	within []area          // their x and y count from the picture's corner
}

// tab is a label of a region: what it is, or a namespace that it shares.
type tab struct {
	rect
	class, text string
}

// layOut places regions and boxes in rows and returns the room they take. Their
// corner is 0, 0.
func (l *plan) layOut(regions []cmpdiff.Region, boxes []int, shape float64) ([]area, int, int) {
	var items []area
	for i := range regions {
		items = append(items, l.regionArea(&regions[i]))
	}
	for _, i := range boxes {
		items = append(items, area{rect: rect{w: boxWidth, h: l.boxHeight(i)}, box: i})
	}
	return pack(items, shape)
}

func (l *plan) boxHeight(i int) int {
	rows := (len(l.Kinds) + chipColumns - 1) / chipColumns
	h := chipsTop + rows*chipStepY + chipsEnd
	if n := len(l.Boxes[i].facts()); n > 0 {
		h += n*factStep + 4
	}
	return h
}

func (l *plan) regionArea(r *cmpdiff.Region) area {
	within, w, h := l.layOut(r.Within, r.Direct, rowShape)
	tabs, head := tabsOf(r, w)
	for i := range within {
		within[i].move(regionPad, head)
	}
	return area{rect: rect{w: w + 2*regionPad, h: h + head + regionPad}, box: -1, region: r, tabs: tabs, within: within}
}

// tabsOf are in as many rows as they need: with inodes where one row has room for them.
// head is how high they are.
func tabsOf(r *cmpdiff.Region, width int) (tabs []tab, head int) {
	row := func(inodes bool) (list []tab, w int) {
		if r.Name != "" {
			list = append(list, tab{class: "pod", text: fit(shorten(escape.Line(r.Name), 120), width-16, 11)})
		}
		for _, n := range r.Shared {
			list = append(list, tab{class: "k-" + string(n.Type), text: tabText(n, inodes)})
		}
		for i := range list {
			list[i].w, list[i].h = textWidth(list[i].text, 11)+16, 18
			w += list[i].w + 6
		}
		return list, w - 6
	}
	tabs, w := row(true)
	if w > width {
		tabs, _ = row(false)
	}
	x, y := 0, 0
	for i := range tabs {
		if x > 0 && x+tabs[i].w > width {
			x, y = 0, y+tabStep
		}
		tabs[i].x, tabs[i].y = x+regionPad, y+tabTop
		x += tabs[i].w + 6
	}
	return tabs, y + tabStep + tabTop + 4
}

func tabText(n cmpdiff.Namespace, inode bool) string {
	if !inode {
		return string(n.Type)
	}
	return fmt.Sprintf("%s %d", n.Type, n.ID.Inode)
}

// listArea is as wide as the picture.
func listArea(l *list, width int) area {
	columns := max(1, (width-2*chipsLeft+gap)/(boxWidth+gap))
	rows := (len(l.entries) + columns - 1) / columns
	return area{rect: rect{w: width, h: listHead + rows*entryHeight + chipsEnd}, box: -1, list: l}
}

// entry is where a list has its n-th entry.
func (a area) entry(n int) (x, y int) {
	columns := max(1, (a.w-2*chipsLeft+gap)/(boxWidth+gap))
	return a.x + chipsLeft + n%columns*(boxWidth+gap), a.y + listHead + n/columns*entryHeight
}

// whole places everything: the lists below the boxes.
func (l *plan) whole() (areas []area, w, h int) {
	areas, w, h = l.layOut(l.regions, l.boxes, screen)
	lists := l.lists()
	entries := 0
	for i := range lists {
		entries += len(lists[i].entries)
	}
	if entries > 0 {
		w = max(w, listWidth(entries))
	}
	w = max(w, narrowest)
	for i := range lists {
		if h > 0 {
			h += gap
		}
		a := listArea(&lists[i], w)
		a.move(0, h)
		areas, h = append(areas, a), h+a.h
	}
	return areas, w, h
}

// listWidth is that of a list of n on its own, in the shape of a screen.
func listWidth(n int) int {
	columns := int(math.Ceil(math.Sqrt(float64(n) * screen * entryHeight / (boxWidth + gap))))
	return min(columns, n)*(boxWidth+gap) - gap + 2*chipsLeft
}

func (a *area) move(dx, dy int) {
	a.x += dx
	a.y += dy
	for i := range a.tabs {
		a.tabs[i].x += dx
		a.tabs[i].y += dy
	}
	for i := range a.within {
		a.within[i].move(dx, dy)
	}
}

// pack tries rows of different widths and keeps those of the best shape.
func pack(items []area, shape float64) (best []area, w, h int) {
	distance := math.Inf(1)
	for n := 1; n <= min(widest, max(1, columns(items))); n++ {
		limit := n*boxWidth + (n-1)*gap + 2*regionPad
		for _, a := range items {
			limit = max(limit, a.w) // the picture is as wide as that in any case
		}
		rows, width, height := flow(items, limit)
		if d := math.Abs(math.Log(float64(width) / float64(max(height, 1)) / shape)); d < distance {
			best, w, h, distance = rows, width, height, d
		}
	}
	for i := range best {
		x, y := best[i].x, best[i].y
		best[i].x, best[i].y = 0, 0
		best[i].move(x, y)
	}
	return best, w, h
}

// columns is how many boxes the items are wide, side by side.
func columns(items []area) int {
	n := 0
	for _, a := range items {
		n += (a.w + boxWidth - 1) / boxWidth
	}
	return n
}

// flow fills rows from left to right, each item into the first that has room for it. It
// moves the items only, not what is in them.
func flow(items []area, limit int) (out []area, w, h int) {
	var rows [][]area
	var widths []int
	for _, a := range items {
		at := slices.IndexFunc(widths, func(x int) bool { return x+a.w <= limit })
		if at < 0 {
			at = len(rows)
			rows, widths = append(rows, nil), append(widths, 0)
		}
		a.x = widths[at]
		rows[at] = append(rows[at], a)
		widths[at] += a.w + gap
		w = max(w, a.x+a.w)
	}
	for _, row := range rows {
		level(row)
		if h > 0 {
			h += gap
		}
		high := 0
		for i := range row {
			row[i].y = h
			high = max(high, row[i].h)
		}
		out, h = append(out, row...), h+high
	}
	return out, w, h
}

// level makes the boxes of a row equally high.
func level(row []area) {
	highest := 0
	for _, a := range row {
		if a.region == nil {
			highest = max(highest, a.h)
		}
	}
	for i := range row {
		if row[i].region == nil {
			row[i].h = highest
		}
	}
}

// chip is where a box has its n-th kind of namespace.
func (a area) chip(n int) (x, y int) {
	return a.x + chipsLeft + n%chipColumns*chipStepX, a.y + chipsTop + n/chipColumns*chipStepY
}
