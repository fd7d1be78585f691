package network

import (
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Route is one route. Destination is "default" or a network.
type Route struct {
	Destination string
	Gateway     string `json:",omitempty"`
	Interface   string `json:",omitempty"` // several of a multipath route: "eth0,eth1"
	Source      string `json:",omitempty"` // preferred source address
	Metric      int
	Type        string // unicast, blackhole…
	Family      string // inet, inet6
}

func (n *Network) dumpRoutes(h *netlink.Handle, names map[int]string) error {
	for _, f := range []struct {
		family int
		name   string
	}{{netlink.FAMILY_V4, "inet"}, {netlink.FAMILY_V6, "inet6"}} {
		err := h.RouteListFilteredIter(f.family, &netlink.Route{}, 0, func(r netlink.Route) bool {
			if len(n.Routes) == maxRoutes {
				n.Truncated = true
				return false
			}
			n.Routes = append(n.Routes, newRoute(r, f.name, names))
			return true
		})
		if err != nil {
			return fmt.Errorf("list %s routes: %w", f.name, err)
		}
	}
	return nil
}

func newRoute(r netlink.Route, family string, names map[int]string) Route {
	out := Route{
		Destination: "default", Interface: names[r.LinkIndex], Metric: r.Priority, Family: family,
		Type: routeTypes[r.Type],
	}
	if p := prefix(r.Dst); p.IsValid() && p.Bits() > 0 {
		out.Destination = p.String()
	}
	if r.Gw != nil {
		out.Gateway = r.Gw.String()
	}
	if r.Src != nil {
		out.Source = r.Src.String()
	}
	for _, hop := range r.MultiPath {
		out.Interface = joined(out.Interface, names[hop.LinkIndex])
		if hop.Gw != nil {
			out.Gateway = joined(out.Gateway, hop.Gw.String())
		}
	}
	return out
}

func joined(list, one string) string {
	if list == "" || list == one {
		return one
	}
	return list + "," + one
}

// routeTypes are those of rtnetlink(7) that a main table can hold.
var routeTypes = map[int]string{
	unix.RTN_UNICAST: "unicast", unix.RTN_LOCAL: "local", unix.RTN_BROADCAST: "broadcast", unix.RTN_ANYCAST: "anycast",
	unix.RTN_MULTICAST: "multicast", unix.RTN_BLACKHOLE: "blackhole", unix.RTN_UNREACHABLE: "unreachable",
	unix.RTN_PROHIBIT: "prohibit", unix.RTN_THROW: "throw", unix.RTN_NAT: "nat",
}
