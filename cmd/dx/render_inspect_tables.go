package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"dx/cmd/dx/output"
	"dx/nsops/network"
	"dx/nsops/posture"
)

// lists are the parts of a section that have columns of their own.
func (v *inspectView) lists(s posture.Section) []output.Table {
	switch {
	case s == posture.SectionMounts && v.s.posture.Mounts != nil:
		return []output.Table{v.mounts(v.s.posture.Mounts)}
	case s == posture.SectionNetwork && v.s.posture.Network != nil:
		n := v.s.posture.Network
		return []output.Table{v.interfaces(n), v.routes(n), v.ports(n)}
	}
	return nil
}

// bounded cuts a long list, and says so.
func (v *inspectView) bounded(t output.Table, truncated bool) output.Table {
	if more := len(t.Rows) - cardRows; more > 0 && !v.noTrunc {
		t.Rows = append(t.Rows[:cardRows], output.Row(fmt.Sprintf("  … %d more (--no-trunc)", more)))
	}
	if truncated {
		t.Rows = append(t.Rows, output.Row("  … and more than dx reads"))
	}
	for i := range t.Rows {
		for len(t.Rows[i]) < len(t.Header) {
			t.Rows[i] = append(t.Rows[i], output.Cell{})
		}
	}
	return t
}

func (v *inspectView) mounts(m *posture.Mounts) output.Table {
	t := output.Table{Header: []string{"  MOUNTED ON", "SOURCE ON THE HOST", "TYPE", "OPTIONS"}}
	for _, mount := range m.List {
		from := mount.HostSource
		if from == "" {
			from = "-"
		}
		t.Rows = append(t.Rows, output.Row("  "+v.cut(mount.Destination), v.cut(from), v.cut(mount.FSType), v.cut(strings.Join(mount.Options, ","))))
	}
	return v.bounded(t, m.Truncated)
}

func (v *inspectView) interfaces(n *posture.Network) output.Table {
	t := output.Table{Header: []string{"  INTERFACE", "KIND", "STATE", "MTU", "MAC", "ADDRESSES", "HOST END"}, Drop: []string{"MTU", "MAC", "KIND"}}
	for _, i := range n.Interfaces {
		var addresses []string
		for _, a := range i.Addresses {
			addresses = append(addresses, a.String())
		}
		state := i.State
		if !i.Up {
			state = "down"
		}
		t.Rows = append(t.Rows, output.Row("  "+i.Name, i.Kind, state, strconv.Itoa(i.MTU), i.MAC, v.cut(strings.Join(addresses, " ")), i.HostEnd))
	}
	if !slices.ContainsFunc(n.Interfaces, func(i network.Interface) bool { return i.HostEnd != "" }) {
		t = t.Without("HOST END")
	}
	return v.bounded(t, n.Truncated)
}

func (v *inspectView) routes(n *posture.Network) output.Table {
	t := output.Table{Header: []string{"  ROUTE"}}
	for _, r := range n.Routes {
		text := r.String()
		if r.Source != "" {
			text += " src " + r.Source
		}
		t.Rows = append(t.Rows, output.Row("  "+text))
	}
	return v.bounded(t, n.Truncated)
}

func (v *inspectView) ports(n *posture.Network) output.Table {
	t := output.Table{Header: []string{"  OPEN PORT", "ADDRESS", "OWNER"}}
	for _, p := range n.Ports {
		t.Rows = append(t.Rows, output.Row("  "+p.Protocol+"/"+strconv.Itoa(int(p.Address.Port())), p.Address.Addr().String(), fmt.Sprintf("uid %d", p.UID)))
	}
	return v.bounded(t, n.Truncated)
}
