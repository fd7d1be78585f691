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

// NewScreen looks at the file, and whether it shall have colours: auto is where the file
// is a terminal that has them, unless NO_COLOR (no-color.org) or CLICOLOR_FORCE
// (bixense.com/clicolors) is set.
func NewScreen(f *os.File, colour string, getenv func(string) string) Screen {
	s := Screen{Writer: f, Terminal: term.IsTerminal(f.Fd())}
	force := getenv("CLICOLOR_FORCE")
	switch {
	case colour == "always" || colour == "never":
		s.Colour = colour == "always"
	case getenv("NO_COLOR") != "":
	case force != "" && force != "0":
		s.Colour = true
	default:
		s.Colour = s.Terminal && getenv("TERM") != "" && getenv("TERM") != "dumb"
	}
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
