package draw

import (
	"container/heap"
	"math"
	"slices"
)

// point and rect are in the picture's pixels.
type (
	point struct{ x, y int }
	rect  struct{ x, y, w, h int }
)

// Measures of lines.
const (
	lane      = 7  // between a box and the channel beside it: less than half of a gap
	clearance = 3  // that lines keep from boxes
	bend      = 24 // what a corner costs, in pixels of length
)

// router leads lines through the channels between boxes: they are horizontal and vertical
// and touch no wall. Whatever holds text is one.
type router struct {
	walls []rect
	beams []int // xs of the channels
	rows  []int // ys
}

// channels are beside a rectangle.
func (r *router) channels(a rect) {
	r.beams = append(r.beams, a.x-lane, a.x+a.w+lane)
	r.rows = append(r.rows, a.y-lane, a.y+a.h+lane)
}

// grid is the channels as one link uses them: a little beside those of the next link, so
// that two lines in one channel can be told apart.
type grid struct {
	xs, ys      []int
	right, down []bool // whether the step from a crossing to the next x, or y, is barred
}

// shifts of links, in turn.
var shifts = [...]int{0, 3, -3, 2, -2}

func (r *router) grid(link int, doors []door) *grid {
	shift := shifts[link%len(shifts)]
	g := &grid{}
	for _, x := range r.beams {
		g.xs = append(g.xs, x+shift)
	}
	for _, y := range r.rows {
		g.ys = append(g.ys, y+shift)
	}
	for _, d := range doors {
		if d.dx == 0 {
			g.xs = append(g.xs, d.x)
		} else {
			g.ys = append(g.ys, d.y)
		}
	}
	slices.Sort(g.xs)
	slices.Sort(g.ys)
	g.xs, g.ys = slices.Compact(g.xs), slices.Compact(g.ys)
	g.bar(r.walls)
	return g
}

// bar closes the steps that touch a wall, or come near it.
func (g *grid) bar(walls []rect) {
	g.right, g.down = make([]bool, g.size()), make([]bool, g.size())
	for _, w := range walls {
		fromX, toX := within(g.xs, w.x-clearance, w.x+w.w+clearance)
		fromY, toY := within(g.ys, w.y-clearance, w.y+w.h+clearance)
		for i := max(fromX-1, 0); i < min(toX+1, len(g.xs)); i++ {
			for j := max(fromY-1, 0); j < min(toY+1, len(g.ys)); j++ {
				inX, inY := i >= fromX && i < toX, j >= fromY && j < toY
				if inY && i < toX {
					g.right[g.index(i, j)] = true
				}
				if inX && j < toY {
					g.down[g.index(i, j)] = true
				}
			}
		}
	}
}

// within is the range of a sorted list that lies between two values.
func within(list []int, low, high int) (from, to int) {
	from, _ = slices.BinarySearch(list, low+1)
	to, _ = slices.BinarySearch(list, high)
	return from, to
}

func (g *grid) size() int          { return len(g.xs) * len(g.ys) }
func (g *grid) index(i, j int) int { return i*len(g.ys) + j }

// door is where a line may leave a box, and in which direction.
type door struct {
	point
	dx, dy int
}

// doors are in the middle of the sides, beside those of the other links of the box.
func doors(a rect, slot int) []door {
	x, y := a.x+a.w/2+12*spread(slot, (a.w-40)/12), a.y+a.h/2+10*spread(slot, (a.h-30)/10)
	return []door{
		{point{x, a.y + a.h}, 0, 1}, {point{x, a.y}, 0, -1},
		{point{a.x, y}, -1, 0}, {point{a.x + a.w, y}, 1, 0},
	}
}

// spread is 0, 1, -1, 2, -2… within a room of n.
func spread(slot, n int) int {
	slot %= max(n, 1)
	if slot%2 == 1 {
		return (slot + 1) / 2
	}
	return -slot / 2
}

// at is the node that a door leads to, in the first channel before it; -1: there is none.
func (g *grid) at(d door) int {
	i, _ := slices.BinarySearch(g.xs, d.x+d.dx*(clearance+1))
	j, _ := slices.BinarySearch(g.ys, d.y+d.dy*(clearance+1))
	if d.dx < 0 && (i == len(g.xs) || g.xs[i] > d.x-clearance-1) {
		i--
	}
	if d.dy < 0 && (j == len(g.ys) || g.ys[j] > d.y-clearance-1) {
		j--
	}
	if i < 0 || j < 0 || i >= len(g.xs) || j >= len(g.ys) {
		return -1
	}
	if d.dx == 0 {
		return 2*g.index(i, j) + 1
	}
	return 2 * g.index(i, j)
}

// line is one way, from a box or a line of the same link to a box.
type line []point

// join leads lines between boxes, so that all are connected. Those in the result that end
// at a box do so at its border. ok is false if one cannot be reached.
func (r *router) join(link int, boxes []rect, slots []int) (lines []line, ok bool) {
	all := make([][]door, len(boxes))
	var every []door
	for n, b := range boxes {
		all[n] = doors(b, slots[n])
		every = append(every, all[n]...)
	}
	s := &search{grid: r.grid(link, every), from: map[int]point{}}
	s.open(all[0])
	left := map[int]bool{}
	for n := 1; n < len(boxes); n++ {
		left[n] = true
	}
	for len(left) > 0 {
		n, way := s.nearest(all, left)
		if way == nil {
			return lines, false
		}
		delete(left, n)
		lines = append(lines, way)
		s.open(all[n])
	}
	return lines, true
}

// search is Dijkstra's, from all that is connected so far. A node is a crossing of the grid
// and how a line comes to it: twice the crossing's index, and one more if vertically.
type search struct {
	*grid
	from map[int]point // nodes where lines may begin, and what is there: a box's border, or a line
}

func (s *search) open(list []door) {
	for _, d := range list {
		if n := s.at(d); n >= 0 {
			s.from[n] = d.point
		}
	}
}

// nearest finds the box that is nearest to what is connected, and the way to it.
func (s *search) nearest(all [][]door, left map[int]bool) (int, line) {
	type goal struct {
		box  int
		door point
	}
	goals := map[int]goal{}
	for n := range all {
		if left[n] {
			for _, d := range all[n] {
				goals[s.at(d)] = goal{n, d.point}
			}
		}
	}
	cost, before := make([]int, 2*s.size()), make([]int, 2*s.size())
	for n := range cost {
		cost[n], before[n] = math.MaxInt, -1
	}
	q := &queue{}
	for n := range s.from {
		cost[n] = 0
		heap.Push(q, queued{n, 0})
	}
	for q.Len() > 0 {
		top := heap.Pop(q).(queued)
		if top.cost > cost[top.node] {
			continue
		}
		if g, ok := goals[top.node]; ok {
			return g.box, s.way(top.node, before, g.door)
		}
		for _, next := range s.steps(top.node) {
			if c := top.cost + next.cost; c < cost[next.node] {
				cost[next.node], before[next.node] = c, top.node
				heap.Push(q, queued{next.node, c})
			}
		}
	}
	return 0, nil
}

// steps are to the neighbours, or round a corner.
func (s *search) steps(n int) (out []queued) {
	out = append(out, queued{n ^ 1, bend})
	at := n / 2
	i, j := at/len(s.ys), at%len(s.ys)
	if n%2 == 1 {
		if j > 0 && !s.down[at-1] {
			out = append(out, queued{n - 2, s.ys[j] - s.ys[j-1]})
		}
		if j+1 < len(s.ys) && !s.down[at] {
			out = append(out, queued{n + 2, s.ys[j+1] - s.ys[j]})
		}
		return out
	}
	column := len(s.ys)
	if i > 0 && !s.right[at-column] {
		out = append(out, queued{n - 2*column, s.xs[i] - s.xs[i-1]})
	}
	if i+1 < len(s.xs) && !s.right[at] {
		out = append(out, queued{n + 2*column, s.xs[i+1] - s.xs[i]})
	}
	return out
}

// way goes back from the end. Where it leads along, others of the same link may begin.
func (s *search) way(n int, before []int, end point) line {
	way, passed := line{end}, map[int]point{}
	for ; before[n] >= 0; n = before[n] {
		p := s.place(n)
		way = way.to(p)
		passed[n&^1], passed[n|1] = p, p
	}
	way = way.to(s.place(n)).to(s.from[n])
	for n, p := range passed {
		if _, known := s.from[n]; !known {
			s.from[n] = p
		}
	}
	return way
}

func (s *search) place(n int) point { return point{s.xs[n/2/len(s.ys)], s.ys[n/2%len(s.ys)]} }

// to adds a point; of three on one line the middle one goes.
func (l line) to(p point) line {
	n := len(l)
	switch {
	case n > 0 && l[n-1] == p:
		return l
	case n > 1 && (l[n-2].x == l[n-1].x && l[n-1].x == p.x || l[n-2].y == l[n-1].y && l[n-1].y == p.y):
		l[n-1] = p
		return l
	}
	return append(l, p)
}

// queue has the cheapest node first; of equal ones the first in the picture, so that the
// same map gives the same lines.
type queue []queued

type queued struct{ node, cost int }

func (q queue) Len() int      { return len(q) }
func (q queue) Swap(a, b int) { q[a], q[b] = q[b], q[a] }
func (q queue) Less(a, b int) bool {
	return q[a].cost < q[b].cost || q[a].cost == q[b].cost && q[a].node < q[b].node
}
func (q *queue) Push(x any) { *q = append(*q, x.(queued)) }
func (q *queue) Pop() any {
	last := len(*q) - 1
	x := (*q)[last]
	*q = (*q)[:last]
	return x
}
