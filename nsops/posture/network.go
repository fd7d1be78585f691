package posture

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"dx/nsops"
)

// Network is what the process's network namespace has.
type Network struct {
	Interfaces []Interface
	Routes     []Route // of the main table
	Ports      []Port  // open ones
	Truncated  bool    `json:",omitempty"` // there are more of one of the three
}

// Interface is one network device.
type Interface struct {
	Index     int
	Name      string
	Kind      string // ether, loopback, veth, bridge, dummy…
	State     string // up, down, unknown (operational)
	Up        bool   // administratively
	MTU       int
	MAC       string         `json:",omitempty"`
	Peer      int            `json:",omitempty"` // index of a veth's other end, in its own namespace
	Addresses []netip.Prefix // with the length of the network
}

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

// The bounds of what is kept, and of how long the kernel is waited for: a dump takes
// the lock of all network configuration, which somebody may hold.
const (
	maxInterfaces = 4096
	maxRoutes     = 4096
	netlinkTime   = 3 * time.Second
	dumpAttempts  = 3
)

func (r *reader) network() error {
	n := &Network{}
	if err := r.ports(n); err != nil {
		return err
	}
	var ns *os.File
	if !r.sharesOwn(nsops.Net) {
		var err error
		if ns, err = r.p.OpenFile("ns/net", unix.O_RDONLY); err != nil {
			return err
		}
	}
	links, err := inNamespace(ns, readLinks)
	if err != nil {
		return fmt.Errorf("network of pid %d: %w", r.p.PID, err)
	}
	n.Interfaces, n.Routes, n.Truncated = links.Interfaces, links.Routes, n.Truncated || links.Truncated
	r.out.Network = n
	return nil
}

// inNamespace runs read in a network namespace, which it closes; nil: in the caller's.
func inNamespace(ns *os.File, read func() (*Network, error)) (*Network, error) {
	type answer struct {
		n   *Network
		err error
	}
	done := make(chan answer, 1) // read may outlast the caller
	go func() {
		var a answer
		get := func() error {
			a.n, a.err = read()
			return a.err
		}
		if ns == nil {
			_ = get()
		} else {
			a.err = nsops.OnOwnThread(func() error { return visit(ns, get) })
		}
		done <- a
	}()
	select {
	case a := <-done:
		return a.n, a.err
	case <-time.After(netlinkTime):
		return nil, errors.New("rtnetlink does not answer in time")
	}
}

// visit runs get in a network namespace, which it closes.
func visit(ns *os.File, get func() error) error {
	err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
	ns.Close()
	if err != nil {
		return fmt.Errorf("join the network namespace: %w", err)
	}
	return get()
}

func readLinks() (*Network, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	if err := h.SetSocketTimeout(netlinkTime); err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		n, err := dump(h)
		// It changed while it was read.
		if !errors.Is(err, netlink.ErrDumpInterrupted) || attempt == dumpAttempts {
			return n, err
		}
	}
}

func dump(h *netlink.Handle) (*Network, error) {
	n := &Network{}
	links, err := h.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	n.Truncated = len(links) > maxInterfaces
	names := map[int]string{}
	for _, l := range links[:min(len(links), maxInterfaces)] {
		n.Interfaces = append(n.Interfaces, newInterface(l))
		names[l.Attrs().Index] = l.Attrs().Name
	}
	if err := n.dumpAddresses(h); err != nil {
		return nil, err
	}
	return n, n.dumpRoutes(h, names)
}

func newInterface(l netlink.Link) Interface {
	a := l.Attrs()
	i := Interface{
		Index: a.Index, Name: a.Name, Kind: l.Type(), State: a.OperState.String(), Up: a.RawFlags&unix.IFF_UP != 0,
		MTU: a.MTU, MAC: a.HardwareAddr.String(),
	}
	if l.Type() == "device" {
		i.Kind = a.EncapType // ether, loopback
	}
	if l.Type() == "veth" {
		i.Peer = a.ParentIndex
	}
	return i
}

func (n *Network) dumpAddresses(h *netlink.Handle) error {
	list, err := h.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("list addresses: %w", err)
	}
	at := map[int]int{}
	for i, iface := range n.Interfaces {
		at[iface.Index] = i
	}
	for _, a := range list {
		i, ok := at[a.LinkIndex]
		if p := prefix(a.IPNet); ok && p.IsValid() {
			n.Interfaces[i].Addresses = append(n.Interfaces[i].Addresses, p)
		}
	}
	return nil
}

func prefix(n *net.IPNet) netip.Prefix {
	if n == nil {
		return netip.Prefix{}
	}
	addr, ok := netip.AddrFromSlice(n.IP)
	if !ok {
		return netip.Prefix{}
	}
	ones, _ := n.Mask.Size()
	return netip.PrefixFrom(addr, ones)
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
