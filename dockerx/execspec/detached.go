package execspec

import (
	"errors"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"

	"dx/dockerx/host"
)

// A detached container has a runtime's state and a bundle, and no shim that would serve
// it. What `runc exec` gives a process there is the bundle's process, as config.json has it
// now, in what state.json says that the container was made with; all else is inherited
// from whoever calls runc. dx takes that from the container's init instead: its caller's
// is nothing for a container.

// findDetached looks whether a runtime's state tells of the container of a process.
func (r *reader) findDetached() error {
	d, err := host.DetachedOf(r.c.Process)
	var disbelief *host.DisbeliefError
	switch {
	case errors.As(err, &disbelief):
		r.c.Warn(disbelief.Error())
		return nil
	case errors.Is(err, host.ErrNoBundle):
		return nil
	case err != nil:
		return err
	}
	r.f.ID, r.f.Bundle, r.f.Spec, r.f.State = d.ID, d.State.Bundle, d.Spec, d.State
	return nil
}

func (b *builder) detachedCapabilities() error {
	if b.o.Privileged {
		return b.ownCapabilities()
	}
	b.out.Process.Capabilities = &specs.LinuxCapabilities{}
	if given := b.f.Spec.Process.Capabilities; given != nil {
		*b.out.Process.Capabilities = *given
	}
	b.from("Capabilities", "%s", configJSON("process.capabilities"))
	return nil
}

func (b *builder) detachedSeccomp() error {
	b.out.Seccomp = b.f.Spec.Linux.Seccomp
	b.from("Seccomp", "%s", stateJSON("config.seccomp"))
	return nil
}

func (b *builder) detachedLimits() error {
	b.from("Rlimits", "%s, the others as in %s", configJSON("process.rlimits"), b.procFile("limits"))
	b.setLimits(slices.Clone(b.f.Spec.Process.Rlimits), b.f.Init.Rlimits)
	return nil
}

func (b *builder) detachedOOMScore() error {
	score := b.f.State.OOMScoreAdj
	if score == nil {
		return b.ownOOMScore()
	}
	b.out.Process.OOMScoreAdj = score
	b.from("OOMScoreAdj", "%s", stateJSON("config.oom_score_adj"))
	return nil
}

func (b *builder) detachedUmask() error {
	if b.umaskOfState() {
		return nil
	}
	return b.ownUmask()
}

// detachedNamespaces are those that the state lists if the process is the container's
// init; any other may have some of its own, and may change them at will.
func (b *builder) detachedNamespaces() error {
	if b.f.Init.PID != b.f.State.InitPID {
		return b.exactNamespaces()
	}
	b.listedNamespaces(nil)
	b.from("Namespaces", "%s", stateJSON("config.namespaces"))
	return nil
}
