package posture

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Fact is one thing that is known of a process, in the form in which postures are
// compared and shown: a name, and values as text.
type Fact struct {
	Section Section
	Name    string
	// Values is one value; of a Set its elements, perhaps none.
	Values []string
	Set    bool `json:",omitempty"`
	Unit   Unit `json:",omitempty"`
	// Volatile: it differs between any two processes (a PID, an inode number, an
	// address) or from one moment to the next (a counter).
	Volatile bool `json:",omitempty"`
	// Outer is the lower limit that a cgroup above sets; it is a fact of its own, too.
	Outer  string `json:",omitempty"`
	Origin string // the file that says so
}

// Unit is what a number counts.
type Unit string

// The units; without one, a value is shown as it is.
const (
	Bytes        Unit = "bytes"
	Microseconds Unit = "µs"
)

// Names of facts of which somebody else may have a claim.
const (
	PID           = "pid"
	UID           = "uid"
	GID           = "gid"
	UIDMap        = "uid map"
	GIDMap        = "gid map"
	Effective     = "effective"
	Bounding      = "bounding"
	Inheritable   = "inheritable"
	Ambient       = "ambient"
	AllCaps       = "all of the kernel's"
	Seccomp       = "seccomp"
	NoNewPrivs    = "no_new_privs"
	LSM           = "lsm label"
	MemoryLimit   = "memory limit"
	SwapLimit     = "swap limit"
	MemorySoft    = "memory reservation"
	PidsLimit     = "pids limit"
	CPULimit      = "cpu limit"
	CPUShares     = "cpu shares"
	CPUWeight     = "cpu weight"
	Cpuset        = "cpuset"
	Frozen        = "frozen"
	OOMScoreAdj   = "oom_score_adj"
	RootReadOnly  = "root read-only"
	Addresses     = "addresses"
	Yes, No       = "yes", "no"
	OwnNamespace  = "own"
	HostNamespace = "host's"
	Unlimited     = "unlimited"
)

// Facts lists what a posture holds, section by section.
func (p *Posture) Facts(pid int) []Fact {
	l := &lister{pid: pid}
	for _, of := range []func(*Posture){
		l.identity, l.namespaces, l.capabilities, l.security, l.cgroup, l.limits, l.mounts, l.network,
	} {
		of(p)
	}
	return l.facts
}

type lister struct {
	pid   int
	facts []Fact
}

func (l *lister) add(f Fact) { l.facts = append(l.facts, f) }

func (l *lister) one(s Section, name, value, origin string) *Fact {
	l.add(Fact{Section: s, Name: name, Values: []string{value}, Origin: origin})
	return &l.facts[len(l.facts)-1]
}

func (l *lister) set(s Section, name string, values []string, origin string) *Fact {
	l.add(Fact{Section: s, Name: name, Values: values, Set: true, Origin: origin})
	return &l.facts[len(l.facts)-1]
}

func (l *lister) file(name string) string { return file(l.pid, name) }

func (l *lister) identity(p *Posture) {
	id := p.Identity
	if id == nil {
		return
	}
	const s = SectionIdentity
	l.one(s, PID, strconv.Itoa(l.pid), fmt.Sprintf("/proc/%d", l.pid)).Volatile = true
	l.one(s, "pids inwards", numbers(id.Pids), l.file("status NSpid")).Volatile = true
	l.one(s, "command", strings.Join(id.Command, " "), l.file("cmdline")).Volatile = true
	l.one(s, UID, insideText(id.InsideUID), l.file("status Uid"))
	l.one(s, GID, insideText(id.InsideGID), l.file("status Gid"))
	l.set(s, "groups", texts(id.InsideGroups), l.file("status Groups"))
	l.one(s, "uid on the host", strconv.Itoa(int(id.User.Effective)), l.file("status Uid"))
	l.one(s, "gid on the host", strconv.Itoa(int(id.Group.Effective)), l.file("status Gid"))
	l.one(s, UIDMap, id.UIDMap.String(), l.file("uid_map"))
	l.one(s, GIDMap, id.GIDMap.String(), l.file("gid_map"))
	if id.Umask != nil {
		l.one(s, "umask", fmt.Sprintf("%04o", *id.Umask), l.file("status Umask"))
	}
}

func insideText(id *uint32) string {
	if id == nil {
		return "not mapped"
	}
	return strconv.FormatUint(uint64(*id), 10)
}

func numbers[T int | uint32](list []T) string { return strings.Join(texts(list), " ") }

func texts[T int | uint32](list []T) []string {
	out := make([]string, 0, len(list))
	for _, n := range list {
		out = append(out, strconv.FormatInt(int64(n), 10))
	}
	return out
}

func (l *lister) namespaces(p *Posture) {
	for _, ns := range p.Namespaces {
		whose := OwnNamespace
		if ns.Host {
			whose = HostNamespace
		}
		origin := l.file("ns/" + string(ns.Type))
		l.one(SectionNamespaces, string(ns.Type), whose, origin)
		l.one(SectionNamespaces, string(ns.Type)+" inode", strconv.FormatUint(ns.Inode, 10), origin).Volatile = true
	}
}

func (l *lister) capabilities(p *Posture) {
	c := p.Capabilities
	if c == nil {
		return
	}
	const s = SectionCapabilities
	l.set(s, Bounding, c.Bounding, l.file("status CapBnd"))
	l.set(s, Effective, c.Effective, l.file("status CapEff"))
	l.set(s, "permitted", c.Permitted, l.file("status CapPrm"))
	l.set(s, Inheritable, c.Inheritable, l.file("status CapInh"))
	l.set(s, Ambient, c.Ambient, l.file("status CapAmb"))
	l.one(s, AllCaps, yesNo(c.Complete), "/proc/sys/kernel/cap_last_cap")
}

func yesNo(b bool) string {
	if b {
		return Yes
	}
	return No
}

func (l *lister) security(p *Posture) {
	sec := p.Security
	if sec == nil {
		return
	}
	const s = SectionSecurity
	l.one(s, Seccomp, sec.Seccomp, l.file("status Seccomp"))
	l.one(s, "seccomp filters", strconv.Itoa(sec.SeccompFilters), l.file("status Seccomp_filters"))
	l.one(s, NoNewPrivs, yesNo(sec.NoNewPrivs), l.file("status NoNewPrivs"))
	if sec.LSM != "" {
		l.one(s, LSM, sec.LSM, l.file("attr/current"))
	}
}

func (l *lister) limits(p *Posture) {
	lim := p.Limits
	if lim == nil {
		return
	}
	const s = SectionLimits
	for _, r := range lim.Rlimits {
		l.one(s, r.Name, r.String(), l.file("limits"))
	}
	l.one(s, OOMScoreAdj, strconv.Itoa(lim.OOMScoreAdj), l.file("oom_score_adj"))
	l.one(s, "cpus allowed", lim.CPUs, l.file("status Cpus_allowed_list"))
}

// String is SOFT:HARD as in docker's --ulimit, one number where they are the same.
func (r Rlimit) String() string {
	if r.Soft == r.Hard {
		return r.Hard.String()
	}
	return r.Soft.String() + ":" + r.Hard.String()
}

func (l *lister) mounts(p *Posture) {
	if p.Mounts == nil {
		return
	}
	const s = SectionMounts
	origin := l.file("mountinfo")
	points := map[string]int{} // destination → index in l.facts
	for _, m := range p.Mounts.List {
		if m.Destination == "/" {
			l.one(s, RootReadOnly, yesNo(m.ReadOnly), origin)
		}
		i, stacked := points[m.Destination]
		if !stacked {
			i = len(l.facts)
			points[m.Destination] = i
			l.set(s, m.Destination, nil, origin)
		}
		l.facts[i].Values = append(l.facts[i].Values, m.String())
	}
}

// String is what makes one mount differ from another: type, what of it, options.
func (m Mount) String() string {
	parts := []string{m.FSType}
	switch {
	case m.FSType == "overlay":
	case m.Root != "/" && m.HostSource != "":
		parts = append(parts, m.HostSource)
	case m.Root != "/":
		parts = append(parts, m.Source+m.Root)
	case m.Source != m.FSType && m.Source != "none":
		parts = append(parts, m.Source)
	}
	options := slices.Clone(m.Options)
	if m.ReadOnly && !slices.Contains(options, "ro") {
		options = append(options, "read-only file system")
	}
	for _, o := range m.Super {
		if shownSuper(m.FSType, o) {
			options = append(options, o)
		}
	}
	return strings.Join(append(parts, strings.Join(options, ",")), " ")
}

// shownSuper reports whether an option of a file system is a matter of posture: those of
// the kinds that are made for one container.
func shownSuper(fstype, option string) bool {
	key, _, _ := strings.Cut(option, "=")
	switch fstype {
	case "tmpfs", "ramfs":
		return slices.Contains([]string{"size", "nr_inodes", "mode", "uid", "gid", "noswap"}, key)
	case "proc":
		return slices.Contains([]string{"hidepid", "subset", "gid"}, key)
	case "cgroup":
		return key != "rw" && key != "ro"
	}
	return false
}

func (l *lister) network(p *Posture) {
	n := p.Network
	if n == nil {
		return
	}
	const s, origin = SectionNetwork, "rtnetlink"
	var all []string
	for _, i := range n.Interfaces {
		networks, addresses := []string{}, []string{}
		for _, a := range i.Addresses {
			networks = append(networks, a.Masked().String())
			addresses = append(addresses, a.String())
		}
		// No interface is named so that it could pass for another fact.
		name := "interface " + i.Name
		l.one(s, name, i.String(), origin)
		l.one(s, name+" index", strconv.Itoa(i.Index), origin).Volatile = true
		if i.MAC != "" {
			l.one(s, name+" mac", i.MAC, origin).Volatile = true
		}
		if len(addresses) > 0 {
			l.set(s, name+" networks", networks, origin)
			l.set(s, name+" addresses", addresses, origin).Volatile = true
		}
		all = append(all, addresses...)
	}
	l.set(s, Addresses, all, origin).Volatile = true
	routes := []string{}
	for _, r := range n.Routes {
		routes = append(routes, r.String())
	}
	l.set(s, "routes", routes, origin)
	ports := []string{}
	for _, port := range n.Ports {
		ports = append(ports, port.Protocol+" "+port.Address.String())
	}
	slices.Sort(ports)
	l.set(s, "open ports", slices.Compact(ports), l.file("net/{tcp,tcp6,udp,udp6}"))
}
