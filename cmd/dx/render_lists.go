package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/docker/go-units"

	"dx/nsops/posture"
)

// lists are the parts of a section that have columns of their own.
func (c *card) lists(s posture.Section) []table {
	switch {
	case s == posture.SectionMounts && c.s.posture.Mounts != nil:
		return []table{c.mounts(c.s.posture.Mounts)}
	case s == posture.SectionNetwork && c.s.posture.Network != nil:
		n := c.s.posture.Network
		return []table{c.interfaces(n), c.routes(n), c.ports(n)}
	}
	return nil
}

// bounded cuts a long list, and says so.
func (c *card) bounded(t table, truncated bool) table {
	if more := len(t.rows) - cardRows; more > 0 && !c.noTrunc {
		t.rows = append(t.rows[:cardRows], row(fmt.Sprintf("  … %d more (--no-trunc)", more)))
	}
	if truncated {
		t.rows = append(t.rows, row("  … and more than dx reads"))
	}
	for i := range t.rows {
		for len(t.rows[i]) < len(t.header) {
			t.rows[i] = append(t.rows[i], cell{})
		}
	}
	return t
}

func (c *card) mounts(m *posture.Mounts) table {
	t := table{header: []string{"  MOUNTED ON", "SOURCE ON THE HOST", "TYPE", "OPTIONS"}}
	for _, mount := range m.List {
		from := mount.HostSource
		if from == "" {
			from = "-"
		}
		t.rows = append(t.rows, row("  "+c.cut(mount.Destination), c.cut(from), c.cut(mount.FSType), c.cut(strings.Join(mount.Options, ","))))
	}
	return c.bounded(t, m.Truncated)
}

func (c *card) interfaces(n *posture.Network) table {
	t := table{header: []string{"  INTERFACE", "KIND", "STATE", "MTU", "MAC", "ADDRESSES"}}
	for _, i := range n.Interfaces {
		var addresses []string
		for _, a := range i.Addresses {
			addresses = append(addresses, a.String())
		}
		state := i.State
		if !i.Up {
			state = "down"
		}
		t.rows = append(t.rows, row("  "+i.Name, i.Kind, state, strconv.Itoa(i.MTU), i.MAC, c.cut(strings.Join(addresses, " "))))
	}
	return c.bounded(t, n.Truncated)
}

func (c *card) routes(n *posture.Network) table {
	t := table{header: []string{"  ROUTE"}}
	for _, r := range n.Routes {
		text := r.String()
		if r.Source != "" {
			text += " src " + r.Source
		}
		t.rows = append(t.rows, row("  "+text))
	}
	return c.bounded(t, n.Truncated)
}

func (c *card) ports(n *posture.Network) table {
	t := table{header: []string{"  OPEN PORT", "ADDRESS", "OWNER"}}
	for _, p := range n.Ports {
		t.rows = append(t.rows, row("  "+p.Protocol+"/"+strconv.Itoa(int(p.Address.Port())), p.Address.Addr().String(), fmt.Sprintf("uid %d", p.UID)))
	}
	return c.bounded(t, n.Truncated)
}

// human makes a number with a unit readable; it is not exact.
func human(unit posture.Unit, value string) string {
	n, err := strconv.ParseUint(value, 10, 64)
	if err != nil {
		return value
	}
	switch unit {
	case posture.Bytes:
		return units.BytesSize(float64(n))
	case posture.Microseconds:
		return (time.Duration(min(n, 1<<53)) * time.Microsecond).String()
	}
	return value
}

// cutText shortens what no screen has room for.
func cutText(text string) string {
	const most = 100
	text = shortIDs(text)
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return string([]rune(text)[:most-1]) + "…"
}

// shortIDs cuts the IDs of 64 digits in a path as shortID cuts one.
func shortIDs(text string) string {
	parts := strings.FieldsFunc(text, func(r rune) bool { return !isHex(r) })
	for _, p := range parts {
		if len(p) == 64 {
			text = strings.ReplaceAll(text, p, p[:12]+"…")
		}
	}
	return text
}

func isHex(r rune) bool { return r >= '0' && r <= '9' || r >= 'a' && r <= 'f' }
