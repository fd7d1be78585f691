package netns

import (
	"fmt"
	"os"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// sizeofRtGenMsg is that of struct rtgenmsg, one byte, with its padding.
const sizeofRtGenMsg = 4

// Attributes of RTM_GETNSID (kernel include/uapi/linux/net_namespace.h).
const (
	netnsaNSID = 1
	netnsaFD   = 3
)

// id is the number that the thread's network namespace has given to another. NoNS if
// it has given none.
func id(ns *os.File) (int, error) {
	req := nl.NewNetlinkRequest(unix.RTM_GETNSID, 0)
	req.AddData(nl.NewRtGenMsg())
	req.AddData(nl.NewRtAttr(netnsaFD, nl.Uint32Attr(uint32(ns.Fd()))))
	msgs, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWNSID)
	if err != nil {
		return NoNS, fmt.Errorf("ask for the number of %s: %w", ns.Name(), err)
	}
	for _, m := range msgs {
		if id, ok := parseNSID(m); ok {
			return id, nil
		}
	}
	return NoNS, nil
}

// parseNSID parses an RTM_NEWNSID: struct rtgenmsg and attributes.
func parseNSID(msg []byte) (int, bool) {
	if len(msg) < sizeofRtGenMsg {
		return NoNS, false
	}
	attrs, err := attributes(msg[sizeofRtGenMsg:])
	if err != nil {
		return NoNS, false
	}
	for _, a := range attrs {
		if attrType(a) == netnsaNSID && len(a.Value) == 4 {
			return number(a), true
		}
	}
	return NoNS, false
}
