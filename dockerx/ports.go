package dockerx

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"dx/dockerx/engine"
	"dx/dockerx/host"
)

// Port is a port of the host's that Docker has published for a container.
type Port struct {
	Proto     string         // "tcp", "udp", "sctp"
	Host      netip.AddrPort // the address may be unspecified: all of the host's
	Container uint16
}

func portsOfEngine(list []engine.Port) []Port {
	var out []Port
	for _, p := range list {
		out = appendPort(out, p.Container, p.HostIP, p.HostPort)
	}
	return sortPorts(out)
}

func portsOfDocker(d *host.Docker) []Port {
	var out []Port
	for port, bindings := range d.NetworkSettings.Ports {
		for _, b := range bindings {
			out = appendPort(out, port, b.HostIP, b.HostPort)
		}
	}
	return sortPorts(out)
}

func sortPorts(list []Port) []Port {
	slices.SortFunc(list, func(a, b Port) int { return a.Host.Compare(b.Host) })
	return list
}

// appendPort leaves out what is not a port: an engine says what it likes.
func appendPort(list []Port, container, hostIP, hostPort string) []Port {
	inner, proto, _ := strings.Cut(container, "/")
	to, errTo := strconv.ParseUint(inner, 10, 16)
	from, errFrom := strconv.ParseUint(hostPort, 10, 16)
	if hostIP == "" {
		hostIP = "0.0.0.0"
	}
	ip, errIP := netip.ParseAddr(hostIP)
	if errTo != nil || errFrom != nil || errIP != nil {
		return list
	}
	return append(list, Port{Proto: proto, Host: netip.AddrPortFrom(ip, uint16(from)), Container: uint16(to)})
}
