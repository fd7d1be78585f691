package host

import (
	"errors"

	"dx/nsops/proc"
)

// asKeeper opens a process that is a shim, or another manager's monitor, whose word counts;
// nil if it is none. Of the working directory no more than its name is looked at until then.
func (l *Listing) asKeeper(pid int) (*believed, *monitor, *Doubt) {
	cwd, err := proc.ReadlinkOf(pid, "cwd")
	if err != nil {
		return nil, nil, nil
	}
	if _, id, ok := splitBundlePath(cutDeleted(cwd)); ok {
		shim, doubt := l.asShim(pid, id)
		if doubt != nil {
			if m, _ := l.asMonitor(pid); m != nil {
				return nil, m, nil
			}
		}
		return shim, nil, doubt
	}
	// A conmon is where `podman run` was typed.
	m, doubt := l.asMonitor(pid)
	return nil, m, doubt
}

func (l *Listing) asShim(pid int, id string) (*believed, *Doubt) {
	p, err := proc.OpenDir(pid)
	if err != nil {
		return nil, nil
	}
	status, err := l.trust.Shim(p, id)
	if err != nil {
		p.Close()
		if errors.Is(err, errNoShim) {
			return nil, nil
		}
		return nil, &Doubt{ID: id, Err: err}
	}
	return &believed{Process: p, status: status}, nil
}
