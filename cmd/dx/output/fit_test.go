package output

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestTableFits: no line is wider than the screen, whatever it holds. What can be done
// without goes before a name is cut to nothing.
func TestTableFits(t *testing.T) {
	table := Table{
		Header: []string{"ID", "NAME", "COMMAND", "PORTS"},
		Rows: [][]Cell{
			Row("8e058298222c", "web", strings.Repeat("sleep ", 20), "0.0.0.0:80->80/tcp"),
			Row("000000000000", "日本語の名前", "\U0001f600\U0001f600", ""),
		},
		Drop: []string{"COMMAND", "PORTS"},
	}
	for width, want := range map[int][]string{
		80: {
			"ID             NAME           COMMAND                         PORTS",
			"8e058298222c   web            sleep sleep sleep sleep slee…   0.0.0.0:80->80/tcp",
			"000000000000   日本語の名前   😀😀",
		},
		60: {
			"ID             NAME           PORTS",
			"8e058298222c   web            0.0.0.0:80->80/tcp",
			"000000000000   日本語の名前",
		},
		24: {
			"ID           NAME",
			"8e0582982…   web",
			"000000000…   日本語の名…",
		},
	} {
		var b strings.Builder
		if err := table.write(&b, Screen{Width: width}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.Join(want, "\n")+"\n", b.String()); diff != "" {
			t.Errorf("%d columns (-want +got):\n%s", width, diff)
		}
	}
	for width := 1; width < 120; width++ {
		var b strings.Builder
		if err := table.write(&b, Screen{Width: width}); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(b.String()) {
			if got := terminal.StringWidth(strings.TrimSuffix(line, "\n")); got > width && width > 2*least+len(between) {
				t.Errorf("on %d columns a line has %d: %q", width, got, line)
			}
		}
	}
}

// TestNoTable: nothing to show is no line.
func TestNoTable(t *testing.T) {
	var b strings.Builder
	if err := (Table{}).write(&b, Screen{Width: 80}); err != nil || b.Len() != 0 {
		t.Errorf("%q, %v, want nothing", b.String(), err)
	}
}
