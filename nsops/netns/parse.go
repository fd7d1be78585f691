package netns

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

var errShort = errors.New("message is too short")

// attributes parses attributes. The kernel pads each to 4 bytes; nl.ParseRouteAttr
// panics where the last one is not.
func attributes(b []byte) ([]syscall.NetlinkRouteAttr, error) {
	if odd := len(b) % unix.RTA_ALIGNTO; odd != 0 {
		b = append(b[:len(b):len(b)], make([]byte, unix.RTA_ALIGNTO-odd)...)
	}
	return nl.ParseRouteAttr(b)
}

// attrType takes off the flags of nla_type (NLA_F_NESTED, NLA_F_NET_BYTEORDER).
func attrType(a syscall.NetlinkRouteAttr) uint16 {
	return a.Attr.Type &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
}

// number is an attribute of 32 bits; 0 if it has another size.
func number(a syscall.NetlinkRouteAttr) int {
	if len(a.Value) != 4 {
		return 0
	}
	return int(int32(binary.NativeEndian.Uint32(a.Value)))
}

func text(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}

// parseLink parses an RTM_NEWLINK: struct ifinfomsg and attributes (rtnetlink(7)).
func parseLink(msg []byte) (Link, error) {
	if len(msg) < unix.SizeofIfInfomsg {
		return Link{}, errShort
	}
	l := Link{Index: int(int32(binary.NativeEndian.Uint32(msg[4:]))), LowerNS: NoNS}
	attrs, err := attributes(msg[unix.SizeofIfInfomsg:])
	if err != nil {
		return l, err
	}
	for _, a := range attrs {
		switch attrType(a) {
		case unix.IFLA_IFNAME:
			l.Name = text(a.Value)
		case unix.IFLA_MASTER:
			l.Master = number(a)
		case unix.IFLA_LINK:
			l.Lower = number(a)
		case unix.IFLA_LINK_NETNSID:
			l.LowerNS = number(a)
		case unix.IFLA_LINKINFO:
			l.Kind = kind(a.Value)
		}
	}
	if l.Lower == l.Index && l.LowerNS == NoNS {
		l.Lower = 0 // hardware names itself
	}
	return l, nil
}

func kind(info []byte) string {
	attrs, err := attributes(info)
	if err != nil {
		return ""
	}
	for _, a := range attrs {
		if attrType(a) == unix.IFLA_INFO_KIND {
			return text(a.Value)
		}
	}
	return ""
}

// parseAddr parses an RTM_NEWADDR: struct ifaddrmsg and attributes. On a
// point-to-point link IFA_ADDRESS is the other end's and IFA_LOCAL the own.
func parseAddr(msg []byte) (Addr, error) {
	if len(msg) < unix.SizeofIfAddrmsg {
		return Addr{}, errShort
	}
	a := Addr{Index: int(binary.NativeEndian.Uint32(msg[4:]))}
	attrs, err := attributes(msg[unix.SizeofIfAddrmsg:])
	if err != nil {
		return a, err
	}
	var own netip.Addr
	for _, at := range attrs {
		t := attrType(at)
		if t != unix.IFA_LOCAL && (t != unix.IFA_ADDRESS || own.IsValid()) {
			continue
		}
		if ip, ok := netip.AddrFromSlice(at.Value); ok {
			own = ip
		}
	}
	a.Prefix = netip.PrefixFrom(own, int(msg[1]))
	return a, nil
}
