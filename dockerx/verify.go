package dockerx

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"dx/dockerx/host"
	"dx/nsops/proc"
)

// initClaim is what a source says of a container's init process.
type initClaim struct {
	ref, id string
	pid     int
	source  Source

	// shown says that the container is not to be entered: its cgroup's name is then
	// enough, whoever gave it.
	shown bool

	// recorded says that a file of root's names the PID: the process may then be in dx's
	// own PID namespace, as with --pid host.
	recorded bool

	// found is what a listing has opened and read of the container; nil: nothing.
	found *host.Found
}

// verify takes hold of the process that a claim names and proves that it is the
// container's init. Its directory is opened first, so that what is proved is true of
// the process that is returned.
//
// At least one proof is needed: the shim behind it serves a bundle with that ID
// whose init it is, at best with the same start time in the runtime's state; or,
// where no shim is left, a cgroup that holds the ID. No proof may be against it. Whose
// word is a proof is for host.Trust to say.
//
// The text says what the proof was.
func verify(c initClaim) (*verified, error) {
	p, err := proc.Open(c.pid)
	if errors.Is(err, proc.ErrGone) {
		return nil, c.stale("that process is gone or a zombie")
	}
	if err != nil {
		return nil, err
	}
	v := &verified{process: p}
	if err := c.prove(v); err != nil {
		v.close()
		return nil, err
	}
	return v, nil
}

// verified is a container's init, and what was seen of it on the way.
type verified struct {
	process *proc.Process
	bundle  *host.Bundle // nil: no shim serves it
	proof   string       // in words
}

func (v *verified) close() error {
	if v.bundle != nil {
		v.bundle.Close()
	}
	return v.process.Close()
}

func (c initClaim) stale(reason string, args ...any) error {
	return &StaleError{Ref: c.ref, ID: c.id, PID: c.pid, Source: c.source, Reason: fmt.Sprintf(reason, args...)}
}

func (c initClaim) prove(v *verified) error {
	err := c.proveByBundle(v)
	if errors.Is(err, host.ErrNoBundle) && c.found != nil {
		// Of a manager whose containers have no bundle, as LXC and systemd-nspawn.
		if proof, ok := c.found.Vouched(v.process); ok {
			v.proof = proof
			return nil
		}
	}
	if errors.Is(err, host.ErrNoBundle) || errors.Is(err, fs.ErrPermission) {
		// The shim has died, or dx may not look at it.
		v.proof, err = c.proveByCgroup(v.process, err)
	}
	if err != nil && v.process.Alive() != nil {
		return c.stale("that process has just ended")
	}
	return err
}

// proveByBundle returns host.ErrNoBundle if no shim can tell.
func (c initClaim) proveByBundle(v *verified) error {
	if c.proveByFound(v) {
		return nil
	}
	p := v.process
	b, err := host.Open(p)
	if err != nil {
		return err
	}
	v.bundle = b
	if b.ID != c.id {
		return c.stale("that is the init of container %s", b.ID)
	}
	v.proof = servedBy(p, b)
	if head, err := b.StateHead(); err == nil {
		v.proof += asTheStateSays
		return c.agrees(p, head)
	}
	// The bundle's init.pid names it and it is a child of that shim (host.Open):
	// without a start time that is proof enough.
	return nil
}

// proveByFound takes the bundle that a listing has open, if the runtime's state, which is
// read only now, names the process and when it started: then init.pid need not be read
// again. Where anything is otherwise, all is looked at anew.
func (c initClaim) proveByFound(v *verified) bool {
	if c.found == nil {
		return false
	}
	p := v.process
	b, err := c.found.BundleOf(p)
	if err != nil {
		return false
	}
	head, err := b.StateHead()
	if err != nil || b.ID != c.id || head.InitPID != p.PID || head.InitStart == 0 || c.agrees(p, head) != nil {
		b.Close()
		return false
	}
	v.bundle, v.proof = b, servedBy(p, b)+asTheStateSays
	if proof, ok := c.found.Vouched(p); ok {
		v.proof = proof
	}
	return true
}

const asTheStateSays = "; it started when the runtime's state says"

func servedBy(p *proc.Process, b *host.Bundle) string {
	if b.Manager != "" {
		return fmt.Sprintf("pid %d is what the runtime's state of %s names, kept for root or for you in dx's namespaces", p.PID, b.Path)
	}
	return fmt.Sprintf("pid %d is what %s/init.pid names, and a child of pid %d, a shim of root's or of your own in dx's namespaces", p.PID, b.Path, b.Shim.PID)
}

// agrees compares with what the runtime noted of the init process.
func (c initClaim) agrees(p *proc.Process, state *host.State) error {
	if state.ID != "" && state.ID != c.id {
		return c.stale("the runtime's state of it is that of %s", state.ID)
	}
	if state.InitStart != 0 && state.InitStart != p.StartTime {
		return c.stale("that process started at tick %d and the container's init at tick %d", p.StartTime, state.InitStart)
	}
	return nil
}

// proveByCgroup is for a process with no shim as its parent, or with one that is not
// believed: noShim says which.
func (c initClaim) proveByCgroup(p *proc.Process, noShim error) (string, error) {
	cgroups, err := p.Cgroups()
	if err != nil {
		return "", err
	}
	if !host.InCgroup(cgroups, c.namespace(), c.id) {
		var disbelief *host.DisbeliefError
		if errors.As(noShim, &disbelief) {
			return "", c.stale("%v", disbelief)
		}
		return "", c.stale("no shim serves it and its cgroup %s does not hold the container's ID", deepest(cgroups))
	}
	if !c.shown {
		if err := c.believeCgroup(p); err != nil {
			return "", err
		}
	}
	if b, err := host.Find(p); err == nil {
		defer b.Close()
		return c.proveByState(p, b)
	}
	return fmt.Sprintf("no shim serves pid %d, but its cgroup %s is the container's", p.PID, deepest(cgroups)), nil
}

// namespace is containerd's, where it is known.
func (c initClaim) namespace() string {
	if c.found == nil {
		return ""
	}
	return c.found.Namespace
}

func (c initClaim) believeCgroup(p *proc.Process) error {
	trust, err := host.NewTrust()
	if err != nil {
		return err
	}
	believe := trust.Cgroup
	if c.recorded {
		believe = trust.CgroupNamed
	}
	if err := believe(p, c.id); err != nil {
		return c.stale("%v", err)
	}
	return nil
}

// proveByState is for a process whose shim serves a bundle, but whose bundle names no init,
// or another one: the runtime's own state names the process and when it started.
func (c initClaim) proveByState(p *proc.Process, b *host.Bundle) (string, error) {
	state, err := b.StateHead()
	if b.ID != c.id || err != nil || state.ID != c.id || state.InitPID != p.PID || state.InitStart != p.StartTime {
		return "", c.stale("that is not the init but another process of container %s", b.ID)
	}
	return fmt.Sprintf("the runtime's state names pid %d and when it started, and a shim of root's or of your own is above it", p.PID), nil
}

// deepest picks the cgroup that tells most: the deepest.
func deepest(cgroups []proc.Cgroup) string {
	out := "/"
	for _, cg := range cgroups {
		if strings.Count(cg.Path, "/") > strings.Count(out, "/") || len(cg.Path) > len(out) {
			out = cg.Path
		}
	}
	return out
}
