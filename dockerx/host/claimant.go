package host

import "dx/nsops/proc"

// claimant is a process whose word is in question, and what has been read of it.
type claimant struct {
	*proc.Process
	status *proc.Status // nil: not read yet
}

// Status reads it once.
func (c *claimant) Status() (proc.Status, error) {
	if c.status == nil {
		st, err := c.Process.Status()
		if err != nil {
			return st, err
		}
		c.status = &st
	}
	return *c.status, nil
}

// uids does without the status where it can: a list asks hundreds of shims.
func (c *claimant) uids() ([4]uint32, error) {
	if c.status == nil {
		if uids, ok := c.UIDs(); ok {
			return uids, nil
		}
	}
	st, err := c.Status()
	return st.UID, err
}
