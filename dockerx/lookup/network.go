package lookup

import (
	"fmt"
	"strconv"

	"dx/dockerx"
	"dx/nsops/network"
)

// matchInterface takes a name for one of the host's interfaces, to which a container's
// is linked, and else for one inside containers.
func (t *Finder) matchInterface(q Query) ([]Hit, string, error) {
	host, err := readHome()
	if err != nil {
		return nil, "", err
	}
	for _, l := range host.Interfaces { // if:7
		if strconv.Itoa(l.Index) == q.Name {
			q.Name = l.Name
		}
	}
	ends := endsOf(host.Interfaces, q.Name)
	var linked, inside, shared []Hit
	for _, c := range t.containers {
		n, ns, ok, err := t.network(c)
		switch {
		case err != nil:
			return nil, "", err
		case !ok:
			continue
		case ns == host.ns:
			if len(ends) > 0 {
				shared = append(shared, Hit{Interface, c, q.Name + " is in the host's net namespace, which it shares"})
			}
			continue
		}
		linked = append(linked, linkedTo(c, n, host.Network, ends, q.Name)...)
		for _, l := range n.Interfaces {
			if l.Name == q.Name {
				inside = append(inside, Hit{Interface, c, fmt.Sprintf("%s is in its net namespace (ifindex %d)", l.Name, l.Index)})
			}
		}
	}
	for _, hits := range [][]Hit{linked, inside, shared} {
		if len(hits) > 0 {
			return hits, "", nil
		}
	}
	tried := fmt.Sprintf("no interface is called %s, here or in a container", q.Name)
	if len(ends) > 0 {
		tried = fmt.Sprintf("no container's interface is linked to the host's %s", q.Name)
	}
	return nil, tried, nil
}

// endsOf are the interface with that name and, if it is a bridge or bond, its parts.
func endsOf(links []network.Interface, name string) map[int]network.Interface {
	out := map[int]network.Interface{}
	for _, l := range links {
		if l.Name == name {
			out[l.Index] = l
		}
	}
	for _, l := range links {
		if _, ok := out[l.Master]; ok && l.Master != 0 {
			out[l.Index] = l
		}
	}
	return out
}

// linkedTo are the interfaces of a container that the kernel links to one of ends: by
// index, and by the number of the namespace in which that index counts.
func linkedTo(c *dockerx.Container, n, host *network.Network, ends map[int]network.Interface, name string) []Hit {
	var hits []Hit
	for _, l := range n.Interfaces {
		end, ok := ends[l.Lower]
		if !ok || n.Caller == network.NoNS || l.LowerNS != n.Caller {
			continue
		}
		relation := "is peer of"
		if l.Kind != "veth" {
			relation = fmt.Sprintf("(%s) is on", l.Kind)
		}
		how := fmt.Sprintf("%s in its net namespace %s %s (ifindex %d)", l.Name, relation, end.Name, end.Index)
		if bridge, ok := host.Interface(end.Master); ok && bridge.Name == name {
			how += " on " + name
		}
		hits = append(hits, Hit{Interface, c, how})
	}
	return hits
}

func (t *Finder) matchIP(q Query) ([]Hit, string, error) {
	host, err := readHome()
	if err != nil {
		return nil, "", err
	}
	var hits []Hit
	for _, c := range t.containers {
		n, ns, ok, err := t.network(c)
		if err != nil {
			return nil, "", err
		}
		if !ok {
			continue
		}
		for _, i := range n.Interfaces {
			for _, a := range i.Addresses {
				if a.Addr().Unmap() != q.Addr {
					continue
				}
				how := fmt.Sprintf("%s in its net namespace has %s", i.Name, a)
				if ns == host.ns {
					how = fmt.Sprintf("%s in the host's net namespace, which it shares, has %s", i.Name, a)
				}
				hits = append(hits, Hit{IP, c, how})
			}
		}
	}
	return hits, fmt.Sprintf("no container's interface has the address %s", q.Addr), nil
}
