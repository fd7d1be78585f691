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

// columns writes the lines of a table for tablewriter, to which each is one text. With a text for
// each cell the library measures it a dozen times and makes maps of it, four fifths of what a
// table of 300 containers costs; here the widths are known.
type columns struct {
	*renderer.Blueprint
	out    io.Writer
	widths []int
	colour bool
}

// Start implements tw.Renderer.
func (c *columns) Start(w io.Writer) error {
	c.out = w
	return c.Blueprint.Start(w)
}

// Header implements tw.Renderer.
func (c *columns) Header(lines [][]string, f tw.Formatting) {
	for _, texts := range lines {
		c.Row(texts, f)
	}
}

// Row implements tw.Renderer.
func (c *columns) Row(texts []string, _ tw.Formatting) {
	io.WriteString(c.out, texts[0]+"\n")
}

// line is one of the table's, without blanks at its end.
func (c *columns) line(cells []Cell) string {
	var b strings.Builder
	gap := 0
	for i, cell := range cells {
		text := cell.Text
		if text == "" {
			gap += c.widths[i] + len(between)
			continue
		}
		b.WriteString(strings.Repeat(" ", gap))
		gap = c.widths[i] - width(text) + len(between)
		if c.colour && cell.Alert {
			text = red(text)
		}
		b.WriteString(text)
	}
	return b.String()
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
