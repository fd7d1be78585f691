package network

import (
	"fmt"
	"strconv"
)

// String is what makes one interface differ from another of the same name.
func (i Interface) String() string {
	state := "down"
	if i.Up {
		state = "up"
	}
	return fmt.Sprintf("%s %s mtu %d", i.Kind, state, i.MTU)
}

// String is close to what ip route prints. The source address is not in it: it is
// the interface's own.
func (r Route) String() string {
	text := r.Destination
	if r.Type != "unicast" && r.Type != "" {
		text = r.Type + " " + text
	}
	if r.Destination == "default" && r.Family == "inet6" {
		text += " (ipv6)"
	}
	if r.Gateway != "" {
		text += " via " + r.Gateway
	}
	if r.Interface != "" {
		text += " dev " + r.Interface
	}
	if r.Metric != 0 {
		text += " metric " + strconv.Itoa(r.Metric)
	}
	return text
}
