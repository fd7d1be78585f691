package dockerx

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"sync"

	"dx/dockerx/engine"
	"dx/dockerx/host"
	"dx/nsops/proc"
)

// EngineDisbeliefError says that an engine was asked which is not root's of this host,
// nor dx's own user's. What it says is shown, but no container is entered at its word:
// it decides which process is meant, and what runs there as which user.
type EngineDisbeliefError struct {
	Engine string // its address
	Reason string // the rule that refused: "pid 4711, which listens there, runs as uid 1000"

	// Owner is the plain user whose engine it is, in a user namespace of his: what is in
	// there may be entered anyway. 0: nobody's.
	Owner uint32
}

func (e *EngineDisbeliefError) Error() string {
	return fmt.Sprintf("the engine at %s is not believed: %s; its containers are shown, but only an engine of root's or of your own on this host can say which process is to be entered", e.Engine, e.Reason)
}

// belief is what has been found out about whom the engine's connections lead to.
type belief struct {
	mu     sync.Mutex
	looked int // at so many connections
	reason string
	owner  uint32 // see EngineDisbeliefError
}

// doubt returns an EngineDisbeliefError if an answer came from an engine whose word does
// not count, by the rule for any process (host.Trust).
func (r *Resolver) doubt() error {
	peers, err := r.engine.Peers()
	r.belief.mu.Lock()
	defer r.belief.mu.Unlock()
	reason := r.belief.reason
	if err != nil {
		reason = err.Error()
	}
	owner := r.belief.owner
	for _, p := range peers[min(r.belief.looked, len(peers)):] {
		reason2, owner2 := doubtPeer(p)
		if reason == "" {
			reason, owner = reason2, owner2
		} else if owner2 != owner {
			owner = 0
		}
	}
	if err != nil {
		owner = 0
	}
	r.belief.looked, r.belief.reason, r.belief.owner = len(peers), reason, owner
	if reason == "" {
		return nil
	}
	return &EngineDisbeliefError{Engine: r.engine.Host(), Reason: reason, Owner: owner}
}

// doubtOf is doubt of a container that was verified: what is in the user namespace of the
// engine's own user may be entered, by whomever it was named. b is its bundle; nil: there
// is none.
func (r *Resolver) doubtOf(b *host.Bundle) error {
	err := r.doubt()
	var not *EngineDisbeliefError
	if errors.As(err, &not) && not.Owner != 0 && b != nil && b.Owner == not.Owner {
		return nil
	}
	return err
}

// listens reports whether a process of this host is the engine, or stands before it.
func (r *Resolver) listens() bool {
	peers, _ := r.engine.Peers()
	return slices.ContainsFunc(peers, func(p engine.Peer) bool { return p.Process != nil })
}

// doubtPeer says why who listens does not count, and whose engine it is if that is one of a
// plain user's, for what is in his user namespace.
func doubtPeer(p engine.Peer) (reason string, owner uint32) {
	trust, err := host.NewTrust()
	if err != nil {
		return err.Error(), 0
	}
	if reason = doubtListening(trust, p); reason == "" {
		return "", 0
	}
	owner, users := userOf(trust, p)
	if users && int(owner) == os.Geteuid() {
		return "", 0
	}
	return reason, owner
}

// userOf returns the plain user whose engine listens on a unix socket of his.
func userOf(trust host.Trust, p engine.Peer) (owner uint32, ok bool) {
	if p.Elsewhere || p.Path == "" || p.Process == nil {
		return 0, false
	}
	owner, ok = trust.EngineOwner(p.Process)
	if !ok || p.File != nil && p.File.Uid != owner || slices.ContainsFunc(p.UIDs, func(uid uint32) bool { return uid != owner }) {
		return 0, false
	}
	return owner, true
}

func doubtListening(trust host.Trust, p engine.Peer) string {
	if p.Elsewhere {
		return "it is reached by an address that is not of this host alone"
	}
	for _, uid := range p.UIDs {
		if !trust.Owns(uid) {
			return fmt.Sprintf("its socket is one of uid %d", uid)
		}
	}
	if p.Path != "" {
		return doubtUnix(trust, p)
	}
	for _, inode := range p.Inodes {
		if reason := doubtHolders(trust, inode); reason != "" {
			return reason
		}
	}
	return ""
}

const unseen = "the process that listens there is not one that dx sees"

func doubtUnix(trust host.Trust, p engine.Peer) string {
	if p.File != nil && !trust.Owns(p.File.Uid) {
		return fmt.Sprintf("%s belongs to uid %d", p.Path, p.File.Uid)
	}
	if p.Process == nil {
		return unseen
	}
	return doubtListener(trust, p.Process)
}

// doubtHolders wants everybody who has a socket open to count: it may have been handed
// to one who does.
func doubtHolders(trust host.Trust, inode uint64) string {
	holders := host.Holders(inode)
	reason := ""
	for _, p := range holders {
		if reason == "" {
			reason = doubtListener(trust, p)
		}
		p.Close()
	}
	if len(holders) == 0 && os.Geteuid() == 0 {
		return unseen
	}
	return reason
}

func doubtListener(trust host.Trust, p *proc.Process) string {
	exe, err := trust.Check(p)
	var not *host.DisbeliefError
	switch {
	case errors.Is(err, fs.ErrPermission) && (os.Geteuid() != 0 || p.PID == 1):
		// A plain user may enter nothing either. Root that lacks rights may be unable
		// to look at init, which is root's in any case.
		return ""
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("pid %d, which listens there, may not be looked at without %s", p.PID, lookingTakes)
	case errors.As(err, &not):
		return fmt.Sprintf("pid %d, which listens there, does not count: %s", p.PID, not.Reason)
	case err != nil:
		return err.Error()
	case path.Base(exe.Path) == "docker-proxy":
		return fmt.Sprintf("pid %d, which listens there, is docker-proxy: a container answers", p.PID)
	}
	return ""
}
