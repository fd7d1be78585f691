package tools

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"

	"dx/nsops"
	"dx/nsops/proc"
)

// Watcher is a process that could take over a process of the host's that runs where
// it sees it: through /proc/PID/root, /proc/PID/fd or ptrace(2).
type Watcher struct {
	PID    int
	Name   string
	Reason string
}

// Tracers looks for processes that would have the rights over a process with the
// given status, in dx's own user namespace, and that see it once it is in target's
// PID namespace: those of that namespace and of the ones around it up to dx's own.
// Where target shares dx's PID namespace, it is those of its mount namespace.
func Tracers(target *proc.Process, own proc.Status) ([]Watcher, error) {
	s, err := newSight(target)
	if err != nil {
		return nil, err
	}
	pids, err := proc.PIDs()
	if err != nil {
		return nil, err
	}
	var found []Watcher
	for _, pid := range pids {
		w, err := s.look(pid, own)
		if err != nil {
			return nil, err
		}
		if w != nil {
			found = append(found, *w)
		}
	}
	return found, nil
}

// sight is who sees the target's PID namespace.
type sight struct {
	user, mnt nsops.ID          // dx's user namespace, the target's mount namespace
	pids      map[nsops.ID]bool // PID namespaces from the target's up to dx's, without that
}

func newSight(target *proc.Process) (*sight, error) {
	self, err := proc.Self()
	if err != nil {
		return nil, err
	}
	defer self.Close()
	ours, err := nsops.Read(self)
	if err != nil {
		return nil, err
	}
	theirs, err := nsops.Read(target)
	if err != nil {
		return nil, err
	}
	pids, err := pidNamespaces(target, ours.Own[nsops.PID])
	return &sight{user: ours.Own[nsops.User], mnt: theirs.Own[nsops.Mnt], pids: pids}, err
}

// pidNamespaces are the target's and those around it (ioctl_nsfs(2)), up to ours.
func pidNamespaces(target *proc.Process, ours nsops.ID) (map[nsops.ID]bool, error) {
	around, err := nsops.Ancestors(target, nsops.PID)
	if err != nil {
		return nil, err
	}
	ids := map[nsops.ID]bool{}
	for _, id := range around {
		if id == ours {
			return ids, nil
		}
		ids[id] = true
	}
	return nil, fmt.Errorf("pid %d: its PID namespace is not below dx's own", target.PID)
}

// look looks at one process; nil if it is no watcher, or gone.
func (s *sight) look(pid int, own proc.Status) (*Watcher, error) {
	p, err := proc.Open(pid)
	if errors.Is(err, proc.ErrGone) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer p.Close()
	set, err := nsops.Read(p)
	switch {
	case errors.Is(err, proc.ErrGone):
		return nil, nil
	case errors.Is(err, fs.ErrPermission):
		return s.lookUnread(p)
	case err != nil:
		return nil, err
	}
	if !s.pids[set.Own[nsops.PID]] && (len(s.pids) > 0 || set.Own[nsops.Mnt] != s.mnt) || set.Own[nsops.User] != s.user {
		return nil, nil
	}
	st, err := p.Status()
	if errors.Is(err, proc.ErrGone) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if reason := power(st, own); reason != "" {
		return &Watcher{PID: pid, Name: st.Name, Reason: reason}, nil
	}
	return nil, nil
}

// lookUnread judges a process that dx may not look at: it has a capability that dx
// lacks. NSpid, which anybody may read, tells whether it is in a PID namespace below
// dx's: one of the target's container has as many numbers as the target or fewer.
func (s *sight) lookUnread(p *proc.Process) (*Watcher, error) {
	st, err := p.Status()
	if errors.Is(err, proc.ErrGone) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if len(st.NSpid) < 2 || len(st.NSpid) > 1+len(s.pids) {
		return nil, nil
	}
	return &Watcher{PID: p.PID, Name: st.Name, Reason: "more rights than dx, which may not even look at it"}, nil
}

// power says why a process of the same user namespace has power over another one
// (ptrace(2), "Ptrace access mode checking"; security/commoncap.c,
// cap_ptrace_access_check). The bounding set counts: a program file may raise all of
// it, and with CAP_SETUID any user is available.
func power(st, over proc.Status) string {
	switch {
	case st.CapBnd&(1<<unix.CAP_SYS_PTRACE) != 0:
		return "CAP_SYS_PTRACE"
	case st.CapBnd&(1<<unix.CAP_SYS_RESOURCE) != 0:
		// launch.Plan.Seen sets a limit that this one could lift.
		return "CAP_SYS_RESOURCE, and could have a core file made of the command"
	case over.CapPrm&^st.CapBnd == 0:
		return "all the capabilities that the command has"
	}
	return ""
}
