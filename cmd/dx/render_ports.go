package main

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"dx/dockerx/docker"
)

// psPort is a container's port, and where the host has it: ip is empty where nowhere.
type psPort struct {
	ip           string
	inner, outer int
	proto        string
}

// portsText shows ports as docker ps does: ports that follow each other as one range,
// those that the host has under another number behind them.
func portsText(ports docker.Ports) string {
	type key struct{ ip, proto string }
	type span struct{ first, last int }
	var keys []key
	open := map[key]span{}
	var whole, moved []string
	for _, p := range portList(ports) {
		if p.ip != "" && p.outer != p.inner {
			moved = append(moved, fmt.Sprintf("%s->%d/%s", net.JoinHostPort(p.ip, strconv.Itoa(p.outer)), p.inner, p.proto))
			continue
		}
		k := key{p.ip, p.proto}
		s, ok := open[k]
		switch {
		case !ok:
			keys = append(keys, k)
		case p.inner == s.last+1:
			open[k] = span{s.first, p.inner}
			continue
		default:
			whole = append(whole, rangeText(k.ip, k.proto, s.first, s.last))
		}
		open[k] = span{p.inner, p.inner}
	}
	for _, k := range keys {
		whole = append(whole, rangeText(k.ip, k.proto, open[k].first, open[k].last))
	}
	return strings.Join(append(whole, moved...), ", ")
}

func rangeText(ip, proto string, first, last int) string {
	text := strconv.Itoa(first)
	if last != first {
		text += "-" + strconv.Itoa(last)
	}
	if ip != "" {
		text = net.JoinHostPort(ip, text) + "->" + text
	}
	return text + "/" + proto
}

// portList leaves out what is no port: an engine says what it likes.
func portList(ports docker.Ports) []psPort {
	var out []psPort
	for port, bindings := range ports {
		number, proto, _ := strings.Cut(port, "/")
		inner, err := strconv.ParseUint(number, 10, 16)
		if err != nil {
			continue
		}
		if len(bindings) == 0 {
			out = append(out, psPort{inner: int(inner), proto: proto})
		}
		for _, b := range bindings {
			if outer, err := strconv.ParseUint(b.HostPort, 10, 16); err == nil {
				out = append(out, psPort{ip: b.HostIP, inner: int(inner), outer: int(outer), proto: proto})
			}
		}
	}
	slices.SortFunc(out, func(a, b psPort) int {
		return cmp.Or(cmp.Compare(a.inner, b.inner), cmp.Compare(a.ip, b.ip), cmp.Compare(a.outer, b.outer), cmp.Compare(a.proto, b.proto))
	})
	return out
}
