package nsops

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"dx/nsops/proc"
)

// Realm is the outermost user namespace that a process is in and the caller is not. Who
// has joined it has no rights but those in it, and no ids but those that it maps: what its
// owner could have had without (user_namespaces(7)).
type Realm struct {
	ID    ID
	Owner uint32 // who made it, as the caller counts
	Depth int    // 1: the process is in it; more: in one below; 0: it is in the caller's own
}

// RealmOf returns it. ErrNotVisible if the process's user namespace is neither the caller's nor
// one below.
func RealmOf(p *proc.Process) (Realm, error) {
	self, err := proc.Self()
	if err != nil {
		return Realm{}, err
	}
	own, err := Identify(self, User)
	if err != nil {
		return Realm{}, err
	}
	fd, err := p.OpenFD("ns/user", unix.O_RDONLY)
	if err != nil {
		return Realm{}, err
	}
	at, err := newHandle(fd, fmt.Sprintf("/proc/%d/ns/user", p.PID))
	if err != nil {
		return Realm{}, err
	}
	defer func() { at.Close() }()
	if at.ID == own {
		return Realm{}, nil
	}
	for depth := 1; ; depth++ {
		above, err := at.Parent()
		if err != nil {
			return Realm{}, err
		}
		if above.ID == own {
			above.Close()
			owner, err := at.OwnerUID()
			return Realm{ID: at.ID, Owner: owner, Depth: depth}, errors.Join(err, p.Alive())
		}
		at.Close()
		at = above
	}
}
