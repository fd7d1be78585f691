package execspec

import (
	"strconv"
	"strings"

	"dx/nsops"
	"dx/nsops/proc"
)

// readSelf reads of dx what its child would inherit.
func readSelf() (*Process, error) {
	self, err := proc.Self()
	if err != nil {
		return nil, err
	}
	defer self.Close()
	p := &Process{PID: self.PID}
	for _, step := range []func(*proc.Process) error{p.readStatus, p.readNamespaces, p.readRlimits, p.readAttributes} {
		if err := step(self); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *Process) readStatus(from *proc.Process) (err error) {
	p.Status, err = from.Status()
	return err
}

func (p *Process) readNamespaces(from *proc.Process) (err error) {
	p.Namespaces, err = nsops.Read(from)
	return err
}

func (p *Process) readRlimits(from *proc.Process) (err error) {
	p.Rlimits, err = from.Rlimits()
	return err
}

func (p *Process) readAttributes(from *proc.Process) (err error) {
	p.Attributes, err = from.Attributes()
	return err
}

func (p *Process) readOOMScoreAdj(from *proc.Process) error {
	data, err := from.ReadFile("oom_score_adj")
	if err == nil {
		p.OOMScoreAdj, err = strconv.Atoi(strings.TrimSpace(string(data)))
	}
	return err
}
