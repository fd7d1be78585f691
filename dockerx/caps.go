package dockerx

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/moby/sys/capability"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// capabilities are the bundle's, as docker exec hands them to the runtime: the
// container's own sets (moby daemon/exec.go takes the process of the container's
// spec). To 20.10 those of a container that runs as another user than root are a
// bounding set only. --privileged replaces them by all that the engine has.
func (b *builder) capabilities() error {
	if b.o.Privileged {
		b.out.Process.Capabilities = all(b.shim.CapBnd & kernelCaps())
		b.from("Capabilities", "--privileged: all of /proc/%d/status CapBnd (the shim)", b.bundle.Shim.PID)
		return nil
	}
	b.out.Process.Capabilities = &specs.LinuxCapabilities{}
	if given := b.spec.Process.Capabilities; given != nil {
		*b.out.Process.Capabilities = *given
	}
	origin := b.configJSON("process.capabilities")
	if b.boundByShim() {
		origin += fmt.Sprintf(", as far as /proc/%d/status CapBnd (the shim) has them", b.bundle.Shim.PID)
	}
	if lost := mask(b.out.Process.Capabilities.Bounding) &^ b.init.CapBnd; lost != 0 {
		origin += fmt.Sprintf(" (init itself has since dropped %s)", strings.Join(names(lost), ", "))
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
		m := mask(*set)
		if m&^b.shim.CapBnd != 0 {
			*set, over = names(m&b.shim.CapBnd), true
		}
	}
	return over
}

// ownCapabilities are the bounding set of the process: no more than it or its
// children could have.
func (b *builder) ownCapabilities() error {
	if b.o.Privileged {
		st, err := selfStatus()
		if err != nil {
			return err
		}
		b.out.Process.Capabilities = all(st.CapBnd & kernelCaps())
		b.from("Capabilities", "--privileged: all that dx itself has")
		return nil
	}
	b.out.Process.Capabilities = all(b.init.CapBnd & kernelCaps())
	b.from("Capabilities", "%s CapBnd", b.procFile("status"))
	return nil
}

// all is a set as docker exec gives it: bounding, permitted and effective alike,
// nothing inheritable or ambient.
func all(mask uint64) *specs.LinuxCapabilities {
	n := names(mask)
	return &specs.LinuxCapabilities{Bounding: n, Permitted: n, Effective: n}
}

// names gives the names of a mask, in the order of their numbers.
func names(mask uint64) []string {
	var out []string
	for _, c := range capability.ListKnown() {
		if mask&(1<<c) != 0 {
			out = append(out, "CAP_"+strings.ToUpper(c.String()))
		}
	}
	return out
}

func mask(names []string) uint64 {
	var m uint64
	for _, c := range capability.ListKnown() {
		for _, n := range names {
			if n == "CAP_"+strings.ToUpper(c.String()) {
				m |= 1 << c
			}
		}
	}
	return m
}

// kernelCaps is the mask of the capabilities that this kernel knows.
func kernelCaps() uint64 {
	b, err := os.ReadFile("/proc/sys/kernel/cap_last_cap")
	last, errNumber := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || errNumber != nil || last >= 63 {
		return ^uint64(0)
	}
	return 1<<(last+1) - 1
}
