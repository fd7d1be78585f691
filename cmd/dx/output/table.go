package output

import (
	"bytes"
	"io"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"

	"dx/nsops/escape"
)

// Table is a verb's result as people read it: docker's plain columns. Texts are made
// visible here, so that no verb can forget it.
type Table struct {
	Header []string
	Rows   [][]Cell
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
		return "\x1b[31m" + escape.Line(c.Text) + "\x1b[0m"
	}
	return escape.Line(c.Text)
}

// write prints the table without the blanks that padding leaves at line ends.
func (t Table) write(w io.Writer, colour bool) error {
	var b bytes.Buffer
	columns := newTableWriter(&b)
	var header []string
	for _, name := range t.Header {
		header = append(header, escape.Line(name))
	}
	columns.Header(header)
	for _, cells := range t.Rows {
		var texts []string
		for _, c := range cells {
			texts = append(texts, c.render(colour))
		}
		if err := columns.Append(texts); err != nil {
			return err
		}
	}
	if err := columns.Render(); err != nil {
		return err
	}
	for line := range bytes.Lines(b.Bytes()) {
		if _, err := w.Write(append(bytes.TrimRight(line, " \n"), '\n')); err != nil {
			return err
		}
	}
	return nil
}

// newTableWriter is docker's look: no lines, three blanks between columns, nothing
// wrapped, cut, merged or rewritten. The module stays at v1.0.9: from v1.1.2 on its
// package initialisation fills caches, 3 ms of each start of dx, also of dx exec.
func newTableWriter(w io.Writer) *tablewriter.Table {
	cells := tw.CellConfig{
		Formatting: tw.CellFormatting{AutoWrap: tw.WrapNone, AutoFormat: tw.Off},
		Alignment:  tw.CellAlignment{Global: tw.AlignLeft},
		Padding:    tw.CellPadding{Global: tw.Padding{Right: "   ", Overwrite: true}},
	}
	return tablewriter.NewTable(w,
		tablewriter.WithRenderer(renderer.NewBlueprint(tw.Rendition{
			Borders:  tw.BorderNone,
			Symbols:  tw.NewSymbols(tw.StyleNone),
			Settings: tw.Settings{Separators: tw.SeparatorsNone, Lines: tw.LinesNone},
		})),
		tablewriter.WithConfig(tablewriter.Config{Header: cells, Row: cells, Behavior: tw.Behavior{TrimSpace: tw.Off}}),
	)
}
