package output

import (
	"io"
	"os"

	"github.com/moby/term"

	"dx/nsops/escape"
)

// Screen is where a result goes, and what that can show.
type Screen struct {
	io.Writer
	Terminal bool
	Colour   bool
	Width    int // columns; 0: as wide as it takes
}

// NewScreen looks at the file, and at NO_COLOR (no-color.org) and TERM.
func NewScreen(f *os.File, getenv func(string) string) Screen {
	s := Screen{Writer: f, Terminal: term.IsTerminal(f.Fd())}
	dumb := getenv("TERM") == "" || getenv("TERM") == "dumb"
	s.Colour = s.Terminal && !dumb && getenv("NO_COLOR") == ""
	if size, err := term.GetWinsize(f.Fd()); err == nil && s.Terminal {
		s.Width = int(size.Width)
	}
	return s
}

// safe escapes control characters on a terminal and leaves them elsewhere.
func (s Screen) safe(text string) string {
	if s.Terminal {
		return escape.Lines(text)
	}
	return text
}
