package tty

import "os"

// Outputs are the ends from which the process's output is read: two pipes, or
// the pty's master. A command that runs on without dx needs a reader for them.
func (s *Stdio) Outputs() []*os.File {
	if s.master != nil {
		return []*os.File{s.master}
	}
	return []*os.File{s.out, s.err}
}
