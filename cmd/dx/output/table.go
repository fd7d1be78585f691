package output

import (
	"io"

	"dx/nsops/escape"
)

// Table is a verb's result as people read it: docker's plain columns. Texts are made
// visible here, so that no verb can forget it.
type Table struct {
	Header []string
	Rows   [][]Cell
	// Drop are the columns that a narrow terminal can do without, the first one first.
	Drop []string
}

// Cell is one text. An alert is red where the screen has colours; the text must say
// the same without them.
type Cell struct {
	Text  string
	Alert bool
}

// Row makes cells of plain texts.
func Row(texts ...string) []Cell {
	cells := make([]Cell, 0, len(texts))
	for _, text := range texts {
		cells = append(cells, Cell{Text: text})
	}
	return cells
}

func (c Cell) render(colour bool) string {
	if c.Alert && colour {
		return red(escape.Line(c.Text))
	}
	return escape.Line(c.Text)
}

// write prints the table in docker's look: no lines, three blanks between columns, and
// none at line ends. It is made to fit a screen that has a width.
func (t Table) write(w io.Writer, s Screen) error {
	if len(t.Header)+len(t.Rows) == 0 {
		return nil
	}
	t = t.visible()
	if s.Width > 0 {
		t = t.fitted(s.Width)
	}
	c := &columns{widths: t.widths(), colour: s.Colour}
	table := newTableWriter(w, c)
	if len(t.Header) > 0 {
		table.Header(c.line(Row(t.Header...)))
	}
	for _, cells := range t.Rows {
		if err := table.Append(c.line(cells)); err != nil {
			return err
		}
	}
	return table.Render()
}

// visible is the table with its texts escaped, as they are measured and printed.
func (t Table) visible() Table {
	out := Table{Drop: t.Drop}
	for _, name := range t.Header {
		out.Header = append(out.Header, escape.Line(name))
	}
	for _, cells := range t.Rows {
		var row []Cell
		for _, c := range cells {
			row = append(row, Cell{Text: escape.Line(c.Text), Alert: c.Alert})
		}
		out.Rows = append(out.Rows, row)
	}
	return out
}

// widths are those of the columns.
func (t Table) widths() []int {
	var out []int
	for _, cells := range append([][]Cell{Row(t.Header...)}, t.Rows...) {
		for i, c := range cells {
			if i == len(out) {
				out = append(out, 0)
			}
			out[i] = max(out[i], width(c.Text))
		}
	}
	return out
}
