package dockerx

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"dx/dockerx/docker"
)

// Port is a port of the host's that Docker has published for a container.
type Port struct {
	Proto     string         // "tcp", "udp", "sctp"
	Host      netip.AddrPort // the address may be unspecified: all of the host's
	Container uint16
}

func portsOf(ports docker.Ports) []Port {
	var out []Port
	for port, bindings := range ports {
		for _, b := range bindings {
			out = appendPort(out, port, b)
		}
	}
	slices.SortFunc(out, func(a, b Port) int { return a.Host.Compare(b.Host) })
	return out
}

// appendPort leaves out what is not a port: an engine says what it likes.
func appendPort(list []Port, container string, b docker.Binding) []Port {
	inner, proto, _ := strings.Cut(container, "/")
	to, errTo := strconv.ParseUint(inner, 10, 16)
	from, errFrom := strconv.ParseUint(b.HostPort, 10, 16)
	ip, errIP := netip.ParseAddr(cmp.Or(b.HostIP, "0.0.0.0"))
	if errTo != nil || errFrom != nil || errIP != nil {
		return list
	}
	return append(list, Port{Proto: proto, Host: netip.AddrPortFrom(ip, uint16(from)), Container: uint16(to)})
}
