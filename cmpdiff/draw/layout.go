package draw

import (
	"math"

	"dx/cmpdiff"
)

// Measures of the SVG, in its pixels.
const (
	boxWidth, boxHeight = 236, 104
	gap                 = 16
	regionPad           = 14
	regionHead          = 34 // above what is in a region
	chipsLeft, chipsTop = 12, 54
	chipWidth           = 50
	chipHeight          = 18
	chipStepX           = 54
	chipStepY           = 22
	chipColumns         = 4
	widest              = 16 // boxes side by side
)

// Shapes, as width by height: the picture is like a screen, and regions are rather
// rows than columns, so that they fill rows.
const (
	screen   = 1.6
	rowShape = 3.4
)

// area is a rectangle of the picture: a box, or a region with areas in it.
type area struct {
	x, y, w, h int
	box        int             // index of the subject; -1 for a region
	region     *cmpdiff.Region // nil for a box
	within     []area          // their x and y count from the picture's corner
}

// layOut places regions and boxes in rows and returns the room they take. Their
// corner is 0, 0.
func layOut(regions []cmpdiff.Region, boxes []int, shape float64) ([]area, int, int) {
	var items []area
	for i := range regions {
		items = append(items, regionArea(&regions[i]))
	}
	for _, i := range boxes {
		items = append(items, area{w: boxWidth, h: boxHeight, box: i})
	}
	return pack(items, shape)
}

func regionArea(r *cmpdiff.Region) area {
	within, w, h := layOut(r.Within, r.Direct, rowShape)
	for i := range within {
		within[i].move(regionPad, regionHead)
	}
	return area{w: w + 2*regionPad, h: h + regionHead + regionPad, box: -1, region: r, within: within}
}

func (a *area) move(dx, dy int) {
	a.x += dx
	a.y += dy
	for i := range a.within {
		a.within[i].move(dx, dy)
	}
}

// pack tries rows of different widths and keeps those of the best shape.
func pack(items []area, shape float64) (best []area, w, h int) {
	distance := math.Inf(1)
	for n := 1; n <= min(widest, max(1, columns(items))); n++ {
		rows, width, height := flow(items, n*boxWidth+(n-1)*gap)
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

// flow fills rows from left to right. It moves the items only, not what is in them.
func flow(items []area, limit int) (out []area, w, h int) {
	x, y, row := 0, 0, 0
	for _, a := range items {
		if x > 0 && x+a.w > limit {
			x, y, row = 0, y+row+gap, 0
		}
		a.x, a.y = x, y
		out = append(out, a)
		x += a.w + gap
		row = max(row, a.h)
		w, h = max(w, a.x+a.w), max(h, y+row)
	}
	return out, w, h
}

// chip is where a box has its n-th kind of namespace.
func (a area) chip(n int) (x, y int) {
	return a.x + chipsLeft + n%chipColumns*chipStepX, a.y + chipsTop + n/chipColumns*chipStepY
}
