package output

import (
	"bytes"
	"errors"
	"fmt"
)

// Card is a result of several parts for people: lines and tables. What it is given is
// escaped. Nothing is printed before Print.
type Card struct {
	p   *Printer
	b   bytes.Buffer
	err error
}

// NewCard begins a card.
func (p *Printer) NewCard() *Card { return &Card{p: p} }

// Line adds a line.
func (c *Card) Line(text string) { c.Cells(Cell{Text: text}) }

// Linef adds a line.
func (c *Card) Linef(format string, args ...any) { c.Line(fmt.Sprintf(format, args...)) }

// Cells adds a line of parts that stand beside each other.
func (c *Card) Cells(parts ...Cell) {
	for _, part := range parts {
		c.b.WriteString(part.render(c.p.screen.Colour))
	}
	c.b.WriteByte('\n')
}

// Blank adds an empty line.
func (c *Card) Blank() { c.b.WriteByte('\n') }

// Table adds a table.
func (c *Card) Table(t Table) { c.err = errors.Join(c.err, t.write(&c.b, c.p.screen)) }

// Print prints the card.
func (c *Card) Print() error {
	_, err := c.b.WriteTo(c.p.screen)
	return errors.Join(c.err, err)
}
