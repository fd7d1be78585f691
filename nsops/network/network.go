// Package network reads what is in the network namespace of a process: interfaces,
// addresses and routes, by rtnetlink(7). What listens there is in /proc
// (proc.OpenPorts). Changing a network does not belong here.
//
// The names of interfaces are a container's choice and may hold control characters.
package network

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
	"dx/nsops/proc"
)

// Network is what a network namespace has.
type Network struct {
	Interfaces []Interface
	Routes     []Route // of the main table
	Truncated  bool    `json:",omitempty"` // there are more of one of them
	// Caller is the number that this namespace has given to the caller's own, for
	// Interface.LowerNS; NoNS: none, or it is the same one.
	Caller int `json:"-"`
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

	// HostEnd is what it is linked to in the caller's own namespace, and the bridge that this
	// is part of: "veth12ab on docker0"; empty: nothing, or LinkTo was not asked.
	HostEnd string `json:",omitempty"`

	Master int `json:"-"` // index of the bridge or bond that it is part of; 0: none
	// Lower is the index of the interface that it is linked to: a veth's peer, a
	// macvlan's parent; 0: none. It is one of this namespace if LowerNS is NoNS,
	// else of the namespace to which this one has given that number.
	Lower   int `json:"-"`
	LowerNS int `json:"-"`
}

// NoNS stands for "no number": ids of namespaces as network_namespaces(7) peers see
// them begin with 0 (kernel include/uapi/linux/net_namespace.h, NETNSA_NSID_NOT_ASSIGNED).
const NoNS = -1

// The bounds of what is kept, and of how long the kernel is waited for: a dump takes
// the lock of all network configuration, which somebody may hold. A container with
// CAP_NET_ADMIN makes as many interfaces as it likes.
const (
	maxInterfaces = 1 << 14
	maxRoutes     = 4096
	answerTime    = 3 * time.Second
	dumpAttempts  = 3
)

// Interface returns the one with that index.
func (n *Network) Interface(index int) (Interface, bool) {
	for _, i := range n.Interfaces {
		if i.Index == index {
			return i, true
		}
	}
	return Interface{}, false
}

// LinkTo names the ends of interfaces that are in the caller's own namespace, whose network
// is home.
func (n *Network) LinkTo(home *Network) {
	if n.Caller == NoNS {
		return
	}
	for i := range n.Interfaces {
		link := &n.Interfaces[i]
		end, ok := home.Interface(link.Lower)
		if !ok || link.LowerNS != n.Caller || link.Lower == 0 {
			continue
		}
		link.HostEnd = end.Name
		if bridge, ok := home.Interface(end.Master); ok && end.Master != 0 {
			link.HostEnd += " on " + bridge.Name
		}
	}
}

// Read reads the network of the namespace that the process is in. It takes
// CAP_SYS_ADMIN, unless that is the caller's own.
func Read(p *proc.Process) (*Network, error) { return read(p, dump) }

// ReadInterfaces is Read without the routes.
func ReadInterfaces(p *proc.Process) (*Network, error) { return read(p, dumpInterfaces) }

func read(p *proc.Process, dump func(*netlink.Handle) (*Network, error)) (*Network, error) {
	ns, err := p.OpenFile("ns/net", unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		ns.Close()
		return nil, err
	}
	n, err := inTime(func() (*Network, error) {
		defer own.Close()
		defer ns.Close()
		return readIn(ns, own, dump)
	})
	if err != nil {
		return nil, fmt.Errorf("network of pid %d: %w", p.PID, err)
	}
	return n, nil
}

// inTime does not wait longer than answerTime: read may outlast the caller.
func inTime(read func() (*Network, error)) (*Network, error) {
	type answer struct {
		n   *Network
		err error
	}
	done := make(chan answer, 1)
	go func() {
		n, err := read()
		done <- answer{n, err}
	}()
	select {
	case a := <-done:
		return a.n, a.err
	case <-time.After(answerTime):
		return nil, errors.New("rtnetlink does not answer in time")
	}
}

// readIn runs a dump in a network namespace: on a thread of its own, unless that is
// the caller's, which spares the right that setns(2) takes.
func readIn(ns, own *os.File, dump func(*netlink.Handle) (*Network, error)) (n *Network, err error) {
	same, err := sameFile(ns, own)
	if err != nil {
		return nil, err
	}
	if same {
		return attempt(nil, dump)
	}
	err = nsops.OnOwnThread(func() (err error) {
		if err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("join the network namespace: %w", err)
		}
		n, err = attempt(own, dump)
		return err
	})
	return n, err
}

func sameFile(a, b *os.File) (bool, error) {
	one, err := a.Stat()
	if err != nil {
		return false, err
	}
	other, err := b.Stat()
	return os.SameFile(one, other), err
}

// attempt dumps the thread's network namespace. If own is another, it asks for its
// number after the dump, for which the kernel numbers what is linked to.
func attempt(own *os.File, dump func(*netlink.Handle) (*Network, error)) (*Network, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	if err := h.SetSocketTimeout(answerTime); err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		n, err := dump(h)
		// It changed while it was read.
		if errors.Is(err, netlink.ErrDumpInterrupted) && attempt < dumpAttempts {
			continue
		}
		if err != nil {
			return nil, err
		}
		n.Caller = NoNS
		if own != nil {
			if n.Caller, err = h.GetNetNsIdByFd(int(own.Fd())); err != nil {
				return nil, fmt.Errorf("ask for the number of %s: %w", own.Name(), err)
			}
		}
		return n, nil
	}
}

func dump(h *netlink.Handle) (*Network, error) {
	n, err := dumpInterfaces(h)
	if err != nil {
		return nil, err
	}
	names := map[int]string{}
	for _, i := range n.Interfaces {
		names[i.Index] = i.Name
	}
	return n, n.dumpRoutes(h, names)
}

func dumpInterfaces(h *netlink.Handle) (*Network, error) {
	links, err := h.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	n := &Network{Truncated: len(links) > maxInterfaces}
	for _, l := range links[:min(len(links), maxInterfaces)] {
		n.Interfaces = append(n.Interfaces, newInterface(l))
	}
	return n, n.dumpAddresses(h)
}

func newInterface(l netlink.Link) Interface {
	a := l.Attrs()
	i := Interface{
		Index: a.Index, Name: a.Name, Kind: l.Type(), State: a.OperState.String(), Up: a.RawFlags&unix.IFF_UP != 0,
		MTU: a.MTU, MAC: a.HardwareAddr.String(),
		Master: a.MasterIndex, Lower: a.ParentIndex, LowerNS: int(int32(a.NetNsID)), // the library reads -1 as unsigned
	}
	if i.Lower == i.Index && i.LowerNS == NoNS {
		i.Lower = 0 // hardware names itself
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
