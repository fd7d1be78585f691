package posture

import (
	"net/netip"

	"dx/nsops/network"
)

// Network is what the process's network namespace has.
type Network struct {
	*network.Network
	Ports []Port // open ones
}

// maxPorts bounds how many open ports are kept of one process.
const maxPorts = 4096

// Port is one on which a process of the network namespace takes what comes: a TCP
// socket that listens, or a UDP socket that is not connected.
type Port struct {
	Protocol string // tcp, tcp6, udp, udp6
	Address  netip.AddrPort
	UID      uint32 // of the socket's owner, as the caller sees it
	Inode    uint64
}

func (r *reader) network() error {
	n := &Network{}
	more, err := r.ports(n)
	if err != nil {
		return err
	}
	if n.Network, err = network.Read(r.p); err != nil {
		return err
	}
	n.Truncated = n.Truncated || more
	r.out.Network = n
	return nil
}

// ports reads the tables that the process sees, which are those of its namespace.
func (r *reader) ports(n *Network) (more bool, err error) {
	list, more, err := r.p.OpenPorts(maxPorts)
	for _, s := range list {
		p := Port{Protocol: s.Proto, Address: s.Addr, UID: s.UID, Inode: s.Inode}
		if s.Addr.Addr().Is6() {
			p.Protocol += "6"
		}
		n.Ports = append(n.Ports, p)
	}
	return more, err
}
