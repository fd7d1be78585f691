package launch

import (
	"fmt"
	"io"
)

// Explain prints the program: a numbered line a system call, what it is for, and
// where its values came from. The child's steps are indented.
func (p *Program) Explain(w io.Writer) error {
	n := 0
	for _, s := range p.Steps {
		if s.Nr >= opFail && s.Name != "setns" {
			continue // plumbing of the loop, no system call
		}
		n++
		indent := ""
		if s.child {
			indent = "  "
		}
		why := s.Doing
		if s.Origin != "" {
			why += " (" + s.Origin + ")"
		}
		if _, err := fmt.Fprintf(w, "%3d  %s%s  # %s\n", n, indent, s, why); err != nil {
			return err
		}
	}
	return nil
}
