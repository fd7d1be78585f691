package output

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCard(t *testing.T) {
	for colour, want := range map[bool]string{
		false: `HUNG: x\x1b[2J` + "\n\nID   NAME\n1    web\n2    db\n 7. web\n",
		true:  "\x1b[31mHUNG\x1b[0m: x\\x1b[2J\n\nID   NAME\n1    web\n2    \x1b[31mdb\x1b[0m\n 7. web\n",
	} {
		var b bytes.Buffer
		p, err := newPrinter(Screen{Writer: &b, Colour: colour}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		c := p.NewCard()
		c.Cells(Cell{Text: "HUNG", Alert: true}, Cell{Text: ": x\x1b[2J"})
		c.Blank()
		c.Table(sampleTable())
		c.Linef("%2d. %s", 7, "web")
		if b.Len() > 0 {
			t.Errorf("before Print: %q", b.String())
		}
		if err := c.Print(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, b.String()); diff != "" {
			t.Errorf("colour %v (-want +got):\n%s", colour, diff)
		}
	}
}
