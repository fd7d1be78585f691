package launch

import (
	"fmt"
	"io"

	"dx/nsops/escape"
)

// Explain prints the program: a numbered line a system call, what it is for, and
// where its values came from. Those of P are indented where the first
// ones are a keeper's, and the child's further. Names and labels in it may
// be a container's: a line holds visible characters only.
func (p *Program) Explain(w io.Writer) error {
	n := 0
	for _, s := range p.Steps {
		if s.Nr >= opFail && !s.spare {
			continue // plumbing of the loop, no system call
		}
		n++
		indent := ""
		for _, deeper := range []bool{s.kept, s.child} {
			if deeper {
				indent += "  "
			}
		}
		why := s.Doing
		if s.Origin != "" {
			why += " (" + s.Origin + ")"
		}
		line := fmt.Sprintf("%3d  %s%s  # %s", n, indent, s, why)
		if _, err := fmt.Fprintln(w, escape.Line(line)); err != nil {
			return err
		}
	}
	return nil
}
