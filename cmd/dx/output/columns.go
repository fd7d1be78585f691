package output

import (
	"io"
	"strings"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"
)

// between are the blanks between two columns.
const between = "   "

// columns writes the lines of a table for tablewriter. The library's own renderer measures
// each text a dozen times and looks for colours in it, four fifths of what a list of 300
// containers costs; here the widths are known, and colours come last.
type columns struct {
	*renderer.Blueprint
	out    io.Writer
	widths []int
	rows   [][]Cell
	colour bool
	row    int // the next one
}

// Start implements tw.Renderer.
func (c *columns) Start(w io.Writer) error {
	c.out = w
	return c.Blueprint.Start(w)
}

// Header implements tw.Renderer.
func (c *columns) Header(lines [][]string, _ tw.Formatting) {
	for _, texts := range lines {
		c.line(texts, nil)
	}
}

// Row implements tw.Renderer.
func (c *columns) Row(texts []string, _ tw.Formatting) {
	c.line(texts, c.rows[c.row])
	c.row++
}

// line writes no blanks at its end.
func (c *columns) line(texts []string, cells []Cell) {
	var b strings.Builder
	gap := 0
	for i, text := range texts {
		if text == "" {
			gap += c.widths[i] + len(between)
			continue
		}
		b.WriteString(strings.Repeat(" ", gap))
		gap = c.widths[i] - width(text) + len(between)
		if c.colour && i < len(cells) && cells[i].Alert {
			text = red(text)
		}
		b.WriteString(text)
	}
	b.WriteByte('\n')
	io.WriteString(c.out, b.String())
}

func red(text string) string { return "\x1b[31m" + text + "\x1b[0m" }

// newTableWriter sets the table to docker's look: nothing is wrapped, cut, merged or
// rewritten. The module stays at v1.0.9: from v1.1.2 on its package initialisation fills
// caches, 3 ms of each start of dx, also of dx exec.
func newTableWriter(w io.Writer, c *columns) *tablewriter.Table {
	c.Blueprint = renderer.NewBlueprint(tw.Rendition{
		Borders:  tw.BorderNone,
		Symbols:  tw.NewSymbols(tw.StyleNone),
		Settings: tw.Settings{Separators: tw.SeparatorsNone, Lines: tw.LinesNone},
	})
	cells := tw.CellConfig{
		Formatting: tw.CellFormatting{AutoWrap: tw.WrapNone, AutoFormat: tw.Off},
		Padding:    tw.CellPadding{Global: tw.Padding{Overwrite: true}},
	}
	return tablewriter.NewTable(w,
		tablewriter.WithRenderer(c),
		tablewriter.WithConfig(tablewriter.Config{Header: cells, Row: cells, Behavior: tw.Behavior{TrimSpace: tw.Off}}),
	)
}
