package execspec

import (
	"fmt"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"dx/nsops/caps"
)

// capabilities are the bundle's, as docker exec hands them to the runtime: the
// container's own sets (moby daemon/exec.go takes the process of the container's
// spec). To 20.10 those of a container that runs as another user than root are a
// bounding set only. --privileged replaces them by all that the engine has.
func (b *builder) capabilities() error {
	if b.o.Privileged {
		b.out.Process.Capabilities = all(b.f.Shim.Status.CapBnd & caps.Supported())
		b.from("Capabilities", "--privileged: all of /proc/%d/status CapBnd (the shim)", b.f.Shim.PID)
		return nil
	}
	b.out.Process.Capabilities = &specs.LinuxCapabilities{}
	if given := b.f.Spec.Process.Capabilities; given != nil {
		*b.out.Process.Capabilities = *given
	}
	if b.f.Manager == "podman" {
		b.podmanCapabilities()
	}
	origin := configJSON("process.capabilities")
	if b.boundByShim() {
		origin += fmt.Sprintf(", as far as /proc/%d/status CapBnd (the shim) has them", b.f.Shim.PID)
	}
	if lost := caps.Mask(b.out.Process.Capabilities.Bounding) &^ b.f.Init.Status.CapBnd; lost != 0 {
		origin += fmt.Sprintf(" (init itself has since dropped %s)", strings.Join(caps.Names(lost), ", "))
	}
	b.from("Capabilities", "%s", origin)
	return nil
}

// boundByShim takes away what the shim itself could not give: runc, its child,
// never has more. A "shim" that a container plays with a bundle of its own making
// gains nothing by it.
func (b *builder) boundByShim() bool {
	over := false
	c := b.out.Process.Capabilities
	for _, set := range []*[]string{&c.Bounding, &c.Permitted, &c.Effective, &c.Inheritable, &c.Ambient} {
		m := caps.Mask(*set)
		if m&^b.f.Shim.Status.CapBnd != 0 {
			*set, over = caps.Names(m&b.f.Shim.Status.CapBnd), true
		}
	}
	return over
}

// ownCapabilities are the bounding set of the process: no more than it or its
// children could have.
func (b *builder) ownCapabilities() error {
	if b.o.Privileged {
		b.out.Process.Capabilities = all(b.f.Self.Status.CapBnd & caps.Supported())
		b.from("Capabilities", "--privileged: all that dx itself has")
		return nil
	}
	b.out.Process.Capabilities = all(b.f.Init.Status.CapBnd & caps.Supported())
	b.from("Capabilities", "%s CapBnd", b.procFile("status"))
	return nil
}

// all is a set as docker exec gives it: bounding, permitted and effective alike,
// nothing inheritable or ambient.
func all(mask uint64) *specs.LinuxCapabilities {
	n := caps.Names(mask)
	return &specs.LinuxCapabilities{Bounding: n, Permitted: n, Effective: n}
}
