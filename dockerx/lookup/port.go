package lookup

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"dx/dockerx"
	"dx/dockerx/membership"
	"dx/nsops"
	"dx/nsops/proc"
)

// maxPorts bounds how many open ports of one network namespace are looked at.
const maxPorts = 1 << 20

// listener is a socket on the port, and who holds it.
type listener struct {
	proc.Socket
	ns      nsops.ID
	holders []holder
}

type holder struct {
	pid        int
	name       string
	containers []*dockerx.Container
	forwards   string // the address to which docker-proxy forwards; empty: it is none
	toPort     string
}

// proxyName is what the processes are called that forward published ports (moby,
// cmd/docker-proxy).
const proxyName = "docker-proxy"

// matchPort finds who listens on a port in a container's network namespace, and whose
// port the host's is: by docker-proxy, which listens there, else by Docker's word.
func (t *Finder) matchPort(q Query) ([]Hit, string, error) {
	host, err := readHome()
	if err != nil {
		return nil, "", err
	}
	p := &portSearch{Finder: t, query: q, host: host, users: map[nsops.ID][]*dockerx.Container{}}
	if err := p.listen(); err != nil {
		return nil, "", err
	}
	if len(p.listeners) > 0 {
		if err := p.findHolders(); err != nil {
			return nil, "", err
		}
	}
	hits, err := p.hits()
	return hits, fmt.Sprintf("nothing listens on port %d in a container's net namespace, and none has it published", q.Port), err
}

type portSearch struct {
	*Finder
	query     Query
	host      home
	users     map[nsops.ID][]*dockerx.Container // by net namespace
	listeners map[uint64]*listener              // by inode of the socket: one number space for the host
	order     []*listener
}

// listen reads the open ports of each network namespace once, the host's included.
func (p *portSearch) listen() error {
	self, err := proc.Self()
	if err != nil {
		return err
	}
	defer self.Close()
	if err := p.ports(self, p.host.ns); err != nil {
		return err
	}
	for _, c := range p.containers {
		set, err := p.set(c)
		if err != nil {
			return err
		}
		ns := set.Own[nsops.Net]
		if ns.IsZero() {
			continue
		}
		p.users[ns] = append(p.users[ns], c)
		if len(p.users[ns]) > 1 || ns == p.host.ns {
			continue
		}
		if err := p.cannot(c, "ports", p.ports(c.Process, ns)); err != nil {
			return err
		}
	}
	return nil
}

func (p *portSearch) ports(of *proc.Process, ns nsops.ID) error {
	sockets, _, err := of.OpenPorts(maxPorts)
	for _, s := range sockets {
		if s.Addr.Port() != p.query.Port || p.query.Proto != "" && s.Proto != p.query.Proto {
			continue
		}
		if p.listeners == nil {
			p.listeners = map[uint64]*listener{}
		}
		if p.listeners[s.Inode] == nil {
			l := &listener{Socket: s, ns: ns}
			p.listeners[s.Inode] = l
			p.order = append(p.order, l)
		}
	}
	return err
}

// findHolders makes one pass over the processes for the sockets' descriptors; only in
// those namespaces where somebody listens.
func (p *portSearch) findHolders() error {
	x, err := p.index()
	if err != nil {
		return err
	}
	wanted := map[nsops.ID]bool{}
	for _, l := range p.listeners {
		wanted[l.ns] = true
	}
	return proc.Each(func(of *proc.Process) error {
		st, err := of.Identity("ns/net")
		if err != nil || !wanted[nsops.IDOf(&st)] {
			return ignore(err)
		}
		return ignore(p.holds(of, x))
	})
}

func (p *portSearch) holds(of *proc.Process, x *membership.Index) error {
	inodes, err := of.Sockets()
	if err != nil {
		return err
	}
	slices.Sort(inodes)
	for _, inode := range slices.Compact(inodes) {
		l := p.listeners[inode]
		if l == nil {
			continue
		}
		h := holder{pid: of.PID}
		a, err := x.Of(of)
		if err != nil {
			return err
		}
		h.containers = p.these(a.In)
		if stat, err := of.Stat(); err == nil {
			h.name = stat.Comm
		}
		if len(h.containers) == 0 && h.name == proxyName {
			flags := proxyFlags(of)
			h.forwards, h.toPort = flags["-container-ip"], flags["-container-port"]
		}
		l.holders = append(l.holders, h)
	}
	return nil
}

// proxyFlags reads the command line of a docker-proxy.
func proxyFlags(p *proc.Process) map[string]string {
	flags := map[string]string{}
	b, _, err := p.CommandLine(4096)
	if err != nil {
		return flags
	}
	args := strings.Split(string(b), "\x00")
	for i := range len(args) - 1 {
		if strings.HasPrefix(args[i], "-") {
			flags[args[i]] = args[i+1]
		}
	}
	return flags
}

// ofProxy finds the container to which a docker-proxy forwards.
func (t *Finder) ofProxy(p *proc.Process) ([]Hit, error) {
	flags := proxyFlags(p)
	ip, err := netip.ParseAddr(flags["-container-ip"])
	if err != nil {
		return nil, nil //nolint:nilerr // not what docker-proxy writes: it says nothing
	}
	found, _, err := t.matchIP(Query{Kind: IP, Addr: ip.Unmap()})
	for i := range found {
		found[i].Kind = PID
		found[i].Evidence = fmt.Sprintf("docker-proxy, which forwards %s/%s to %s",
			net.JoinHostPort(flags["-host-ip"], flags["-host-port"]), flags["-proto"], net.JoinHostPort(flags["-container-ip"], flags["-container-port"]))
	}
	return found, err
}

func (p *portSearch) hits() ([]Hit, error) {
	var hits []Hit
	for _, l := range p.order {
		found, err := p.ofListener(l)
		if err != nil {
			return nil, err
		}
		hits = append(hits, found...)
	}
	for _, c := range p.containers {
		for _, port := range c.Ports {
			if port.Host.Port() != p.query.Port || p.query.Proto != "" && port.Proto != p.query.Proto {
				continue
			}
			if !slices.ContainsFunc(hits, func(h Hit) bool { return h.Container == c && strings.HasPrefix(h.Evidence, "docker-proxy") }) {
				hits = append(hits, Hit{Port, c, fmt.Sprintf("published by Docker: %s/%s leads to its port %d", port.Host, port.Proto, port.Container)})
			}
		}
	}
	return hits, nil
}

// ofListener says whose a listening socket is: that of the containers in which its
// holders are; else, in a namespace that is not the host's, of all that use it.
func (p *portSearch) ofListener(l *listener) ([]Hit, error) {
	where := "its net namespace"
	if l.ns == p.host.ns {
		where = "the host's net namespace"
	}
	var hits []Hit
	said := map[*dockerx.Container]bool{}
	slices.SortFunc(l.holders, func(a, b holder) int { return cmp.Compare(a.pid, b.pid) })
	for _, h := range l.holders {
		if h.forwards != "" {
			found, err := p.behindProxy(l, h)
			if err != nil || len(found) > 0 {
				return found, err
			}
		}
		for _, c := range h.containers {
			if !said[c] {
				hits = append(hits, Hit{Port, c, fmt.Sprintf("process %d (%s) listens on %s/%s in %s", h.pid, h.name, l.Addr, l.Proto, where)})
			}
			said[c] = true
		}
	}
	if len(hits) > 0 || l.ns == p.host.ns {
		return hits, nil
	}
	for _, c := range p.users[l.ns] {
		hits = append(hits, Hit{Port, c, fmt.Sprintf("%s/%s is open in %s", l.Addr, l.Proto, where)})
	}
	return hits, nil
}

// behindProxy finds the container to which a docker-proxy forwards, by its address.
func (p *portSearch) behindProxy(l *listener, h holder) ([]Hit, error) {
	ip, err := netip.ParseAddr(h.forwards)
	if err != nil {
		return nil, nil //nolint:nilerr // not what docker-proxy writes: it says nothing
	}
	found, _, err := p.matchIP(Query{Kind: IP, Addr: ip.Unmap()})
	for i := range found {
		found[i].Kind = Port
		found[i].Evidence = fmt.Sprintf("docker-proxy (process %d) forwards %s/%s to %s", h.pid, l.Addr, l.Proto, netAddr(h))
	}
	return found, err
}

func netAddr(h holder) string {
	if strings.Contains(h.forwards, ":") {
		return "[" + h.forwards + "]:" + h.toPort
	}
	return h.forwards + ":" + h.toPort
}
