// Package netns reads what is in the network namespace of a process: interfaces and
// their addresses, by rtnetlink(7). What listens there is in /proc (proc.OpenPorts).
// Changing a network does not belong here.
//
// The names of interfaces are a container's choice and may hold control characters.
package netns

import (
	"errors"
	"fmt"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"dx/nsops"
	"dx/nsops/proc"
)

// max bounds how many interfaces, and how many addresses, of one namespace are read:
// a container with CAP_NET_ADMIN makes as many as it likes.
const max = 1 << 14

// Network is what a network namespace holds.
type Network struct {
	Links []Link
	Addrs []Addr
	// Caller is the number that this namespace has given to the caller's own, for
	// Link.LowerNS; NoNS: none, or it is the same one.
	Caller int
}

// Link is an interface.
type Link struct {
	Index  int
	Name   string
	Kind   string // "veth", "bridge", "macvlan"…; empty for lo and hardware
	Master int    // index of the bridge or bond that it is part of; 0: none
	// Lower is the index of the interface that it is linked to: a veth's peer, a
	// macvlan's parent; 0: none. It is one of this namespace if LowerNS is NoNS,
	// else of the namespace to which this one has given that number.
	Lower   int
	LowerNS int
}

// NoNS stands for "no number": ids of namespaces as network_namespaces(7) peers see
// them begin with 0 (kernel include/uapi/linux/net_namespace.h, NETNSA_NSID_NOT_ASSIGNED).
const NoNS = -1

// Addr is an address of the interface with that index.
type Addr struct {
	Index  int
	Prefix netip.Prefix
}

// Link returns the interface with that index.
func (n Network) Link(index int) (Link, bool) {
	for _, l := range n.Links {
		if l.Index == index {
			return l, true
		}
	}
	return Link{}, false
}

// Read reads the network of the namespace that the process is in. It takes
// CAP_SYS_ADMIN, unless that is the caller's own.
func Read(p *proc.Process) (Network, error) {
	self, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return Network{}, err
	}
	defer self.Close()
	var n Network
	err = In(p, func() (err error) {
		if n, err = read(); err == nil {
			// After the dump, for which the kernel numbers what is linked to.
			n.Caller, err = id(self)
		}
		return err
	})
	if err != nil {
		return Network{}, fmt.Errorf("network of pid %d: %w", p.PID, err)
	}
	return n, nil
}

// In runs f on a thread that is in the process's network namespace. The thread ends
// with f: nothing else ever runs on one that has been elsewhere.
func In(p *proc.Process, f func() error) error {
	ns, err := p.OpenFile("ns/net", unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer ns.Close()
	return nsops.OnOwnThread(func() error {
		if err := enter(ns); err != nil {
			return err
		}
		return f()
	})
}

func enter(ns *os.File) error {
	same, err := isOwn(ns)
	if err != nil || same {
		return err
	}
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("setns %s: %w", ns.Name(), err)
	}
	return nil
}

// isOwn spares who is there already the right that setns(2) takes.
func isOwn(ns *os.File) (bool, error) {
	var own, st unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/net", &own); err != nil {
		return false, fmt.Errorf("stat /proc/thread-self/ns/net: %w", err)
	}
	if err := unix.Fstat(int(ns.Fd()), &st); err != nil {
		return false, fmt.Errorf("stat %s: %w", ns.Name(), err)
	}
	return own.Dev == st.Dev && own.Ino == st.Ino, nil
}

func read() (Network, error) {
	var n Network
	err := dump(unix.RTM_GETLINK, unix.RTM_NEWLINK, nl.NewIfInfomsg(unix.AF_UNSPEC), func(msg []byte) error {
		l, err := parseLink(msg)
		n.Links = append(n.Links, l)
		return err
	})
	if err != nil {
		return n, fmt.Errorf("list interfaces: %w", err)
	}
	err = dump(unix.RTM_GETADDR, unix.RTM_NEWADDR, nl.NewIfInfomsg(unix.AF_UNSPEC), func(msg []byte) error {
		a, err := parseAddr(msg)
		n.Addrs = append(n.Addrs, a)
		return err
	})
	if err != nil {
		return n, fmt.Errorf("list addresses: %w", err)
	}
	return n, nil
}

// dump asks for all objects of a kind. A dump during which something changed
// (NLM_F_DUMP_INTR) may lack that: the next one may as well, and this one is kept.
func dump(get int, answer uint16, head nl.NetlinkRequestData, each func([]byte) error) error {
	req := nl.NewNetlinkRequest(get, unix.NLM_F_DUMP)
	req.AddData(head)
	var failed error
	n := 0
	err := req.ExecuteIter(unix.NETLINK_ROUTE, answer, func(msg []byte) bool {
		failed = each(msg)
		n++
		return failed == nil && n < max
	})
	if errors.Is(err, nl.ErrDumpInterrupted) {
		err = nil
	}
	return errors.Join(err, failed)
}
