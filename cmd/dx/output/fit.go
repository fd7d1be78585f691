package output

import "slices"

// What a column may be cut to: without need, and before the screen's edge cuts it.
const (
	enough = 24
	least  = 6
)

// fitted is the table for a screen: its widest columns are cut, then those that it can do
// without are left out, then all are cut. What it says is all there with --no-trunc.
func (t Table) fitted(width int) Table {
	for _, name := range append([]string{""}, t.Drop...) {
		t = t.Without(name)
		if widths, ok := narrowed(t.widths(), width, enough); ok {
			return t.cut(widths)
		}
	}
	widths, ok := narrowed(t.widths(), width, least)
	for !ok && len(t.Header) > 1 {
		t = t.Without(t.Header[len(t.Header)-1])
		widths, ok = narrowed(t.widths(), width, least)
	}
	return t.cut(widths)
}

// narrowed takes from the widest columns until all fit; false: they do not.
func narrowed(widths []int, width, least int) ([]int, bool) {
	total := (len(widths) - 1) * len(between)
	for _, w := range widths {
		total += w
	}
	for total > width {
		i := 0
		for j := range widths {
			if widths[j] > widths[i] {
				i = j
			}
		}
		if len(widths) == 0 || widths[i] <= least {
			return widths, false
		}
		widths[i]--
		total--
	}
	return widths, true
}

// Without is the table without a column.
func (t Table) Without(name string) Table {
	i := slices.Index(t.Header, name)
	if i < 0 {
		return t
	}
	out := Table{Header: slices.Delete(slices.Clone(t.Header), i, i+1), Drop: t.Drop}
	for _, cells := range t.Rows {
		if i < len(cells) {
			cells = slices.Delete(slices.Clone(cells), i, i+1)
		}
		out.Rows = append(out.Rows, cells)
	}
	return out
}

func (t Table) cut(widths []int) Table {
	out := Table{}
	for i, name := range t.Header {
		out.Header = append(out.Header, CutTo(name, widths[i]))
	}
	for _, cells := range t.Rows {
		var row []Cell
		for i, c := range cells {
			row = append(row, Cell{Text: CutTo(c.Text, widths[i]), Alert: c.Alert})
		}
		out.Rows = append(out.Rows, row)
	}
	return out
}
