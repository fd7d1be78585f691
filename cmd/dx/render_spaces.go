package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"dx/cmd/dx/output"
	"dx/nsops"
	"dx/nsops/census"
)

// spaceRecord is a namespace: one line of dx ns --tree, --procs or NAMESPACE with
// --format json.
type spaceRecord struct {
	Type       nsops.Type
	Inode      uint64 `header:"NAMESPACE"`
	Device     uint64
	Host       bool     // it is one of the host's own
	Parent     uint64   `json:",omitempty"` // inode; of PID and user namespaces
	Owner      uint64   `json:",omitempty"` // inode of the user namespace whose capabilities count in it
	OwnerUID   *uint32  `json:",omitempty"` // who created a user namespace
	Containers []string // those whose init is in it
	Processes  []spaceProcess
	Held       int         // how often something else than a process in it keeps it
	HeldBy     []spaceHold `json:",omitempty"` // the first of these
}

// spaceProcess is a process in a namespace; Container is empty outside of all.
type spaceProcess struct {
	Pid       int
	Command   string
	Container string `json:",omitempty"`
}

// spaceHold is a mount, an open file, a single thread or a process's plan for its children.
type spaceHold struct {
	Pid      int
	Command  string
	Path     string `json:",omitempty"` // where it is mounted, as the process sees it
	MountNS  uint64 `json:",omitempty"` // inode of the mount namespace that has the mount
	FD       *int   `json:",omitempty"`
	Socket   bool   `json:",omitempty"` // that descriptor is a socket, made in the namespace
	TID      int    `json:",omitempty"` // the thread that is in it, or that sees the mount
	Children bool   `json:",omitempty"` // the process's children will be born in it

	text string
}

func (r spaceRecord) Quiet() string      { return strconv.FormatUint(r.Inode, 10) }
func (r spaceRecord) Short() spaceRecord { return r }

func (w *spaces) record(ns *census.Namespace) spaceRecord {
	r := spaceRecord{
		Type: ns.Type, Inode: ns.ID.Inode, Device: ns.ID.Device, Host: slices.Contains(w.Host[:], ns.ID),
		Parent: ns.Parent.Inode, Owner: ns.Owner.Inode, OwnerUID: ns.OwnerUID, Held: ns.Held,
		Containers: []string{}, Processes: make([]spaceProcess, 0, len(ns.Members)),
	}
	for _, at := range ns.Members {
		p := w.Census.Processes[at]
		sp := spaceProcess{Pid: p.PID, Command: p.Comm}
		if in := w.In[at]; in >= 0 {
			c := w.Containers[in]
			sp.Container = c.Name
			if c.Process.PID == p.PID {
				r.Containers = append(r.Containers, c.Name)
			}
		}
		r.Processes = append(r.Processes, sp)
	}
	for _, h := range ns.Holds {
		r.HeldBy = append(r.HeldBy, w.newHold(h))
	}
	return r
}

func (w *spaces) newHold(h census.Hold) spaceHold {
	s := spaceHold{Pid: h.PID, Command: h.Comm, Path: h.Path, MountNS: h.MountNS.Inode, TID: h.TID, Children: h.Children}
	process := fmt.Sprintf("%d %s", h.PID, h.Comm)
	switch {
	case h.Children:
		s.text = "for the children of " + process
	case h.Socket:
		s.FD, s.Socket = &h.FD, true
		s.text = fmt.Sprintf("by a socket, fd %d of %s", h.FD, process)
	case h.Path == "" && h.TID != 0:
		s.text = fmt.Sprintf("thread %d of %s is in it", h.TID, process)
	case h.Path == "":
		s.FD = &h.FD
		s.text = fmt.Sprintf("open as fd %d of %s", h.FD, process)
	case h.MountNS == w.Host.Of(nsops.Mnt):
		s.text = "mounted on " + h.Path
	default:
		s.text = "mounted on " + h.Path + " where " + process + " is"
	}
	return s
}

// who says in a few words who is in a namespace.
func (r spaceRecord) who(all bool) string {
	names := r.residents()
	if !r.Host {
		names = append(names, r.guests(func(p spaceProcess) string { return ": " + p.text() })...)
	}
	return r.orNobody(names, all)
}

// briefly is who without the processes.
func (r spaceRecord) briefly(all bool) string {
	names := r.residents()
	if !r.Host {
		names = append(names, slices.Compact(r.guests(func(spaceProcess) string { return "" }))...)
	}
	return r.orNobody(names, all)
}

func (r spaceRecord) orNobody(names []string, all bool) string {
	switch {
	case len(names) > 0:
		return output.JoinFew(names, ", ", maxNames, all)
	case len(r.Processes) > 0:
		return "-"
	}
	return "nobody"
}

func (r spaceRecord) residents() []string {
	if r.Host {
		return append([]string{"host"}, r.Containers...)
	}
	return slices.Clone(r.Containers)
}

// guests are the processes that are in it without the init of their container, by
// that container and what describe says.
func (r spaceRecord) guests(describe func(spaceProcess) string) []string {
	home := map[string]bool{}
	for _, name := range r.Containers {
		home[name] = true
	}
	var out []string
	for _, p := range r.Processes {
		text := strings.TrimPrefix(describe(p), ": ")
		switch {
		case p.Container != "" && !home[p.Container]:
			out = append(out, "in "+p.Container+describe(p))
		case p.Container == "" && text != "":
			out = append(out, text)
		}
	}
	return out
}

func (p spaceProcess) text() string { return fmt.Sprintf("%s (%d)", p.Command, p.Pid) }

// heldBy says what keeps it beside who is in it, few ways of how many there are.
func (r spaceRecord) heldBy(few int) string {
	var texts []string
	for _, h := range r.HeldBy[:min(few, len(r.HeldBy))] {
		texts = append(texts, h.text)
	}
	text := strings.Join(texts, ", ")
	if more := r.Held - len(texts); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// whoOrWhat is who, and where that is nobody, what keeps it.
func (r spaceRecord) whoOrWhat(all bool) string {
	who := r.who(all)
	if len(r.Processes) > 0 || len(r.HeldBy) == 0 {
		return who
	}
	return who + ", " + r.heldBy(1)
}

func (r spaceRecord) commands(all bool) string {
	if len(r.Processes) == 0 && len(r.HeldBy) > 0 {
		return "(" + r.heldBy(1) + ")"
	}
	var texts []string
	for _, p := range r.Processes {
		texts = append(texts, p.text())
	}
	return output.JoinFew(texts, ", ", maxNames, all)
}

func procsTable(records []spaceRecord, all bool) output.Table {
	t := output.Table{Header: []string{"TYPE", "NAMESPACE", "PROCESSES", "WHO", "COMMANDS"}}
	for _, r := range records {
		t.Rows = append(t.Rows, output.Row(string(r.Type), strconv.FormatUint(r.Inode, 10), strconv.Itoa(len(r.Processes)), r.briefly(all), r.commands(all)))
	}
	return t
}

// treeTable draws namespaces below each other.
func (w *spaces) treeTable(list []*census.Namespace, all bool) output.Table {
	t := output.Table{Header: []string{"NAMESPACE", "OWNED BY", "UID", "PROCESSES", "WHO"}}
	for _, root := range census.Forest(list) {
		w.branch(&t, root, "", "", all)
	}
	return t
}

// branch adds a namespace and those below it: head stands before its own line, rest
// before theirs.
func (w *spaces) branch(t *output.Table, n *census.Node, head, rest string, all bool) {
	r := w.record(n.Namespace)
	t.Rows = append(t.Rows, output.Row(fmt.Sprintf("%s%s %d", head, r.Type, r.Inode), number(r.Owner), w.creator(n.Namespace), strconv.Itoa(len(r.Processes)), r.whoOrWhat(all)))
	for i, child := range n.Children {
		if i == len(n.Children)-1 {
			w.branch(t, child, rest+"└─ ", rest+"   ", all)
		} else {
			w.branch(t, child, rest+"├─ ", rest+"│  ", all)
		}
	}
}

func number(inode uint64) string {
	if inode == 0 {
		return "-"
	}
	return strconv.FormatUint(inode, 10)
}

// creator is the user who created a user namespace, or the one that owns another kind.
func (w *spaces) creator(ns *census.Namespace) string {
	if ns.Type != nsops.User {
		ns = w.Census.Namespaces[ns.Owner]
	}
	if ns == nil || ns.OwnerUID == nil {
		return "-"
	}
	return strconv.Itoa(int(*ns.OwnerUID))
}

// renderSpaces prints namespaces one by one: a table of facts, and one of processes.
func renderSpaces(out *output.Printer, records []spaceRecord) error {
	if !out.IsTable() {
		return output.Render(out, records, nil)
	}
	page := out.NewCard()
	for i, r := range records {
		if i > 0 {
			page.Blank()
		}
		page.Table(r.facts(out.NoTrunc))
		if len(r.Processes) > 0 {
			page.Blank()
			r.writeProcesses(page, out.NoTrunc)
		}
	}
	return page.Print()
}

// maxHolds is how many of the things that keep a namespace are named without
// --no-trunc.
const maxHolds = 3

func (r spaceRecord) facts(all bool) output.Table {
	facts := output.Table{Header: []string{"NAMESPACE", fmt.Sprintf("%s %d", r.Type, r.Inode)}}
	fact := func(name, text string) { facts.Rows = append(facts.Rows, output.Row(name, text)) }
	fact("WHO", r.who(all))
	if r.Type == nsops.PID || r.Type == nsops.User {
		fact("PARENT", number(r.Parent))
	}
	fact("OWNED BY", number(r.Owner))
	if r.OwnerUID != nil {
		fact("OWNER UID", strconv.Itoa(int(*r.OwnerUID)))
	}
	if len(r.HeldBy) > 0 {
		few := maxHolds
		if all {
			few = len(r.HeldBy)
		}
		fact("KEPT", r.heldBy(few))
	}
	fact("PROCESSES", strconv.Itoa(len(r.Processes)))
	return facts
}

func (r spaceRecord) writeProcesses(page *output.Card, all bool) {
	t := output.Table{Header: []string{"PID", "CONTAINER", "COMMAND"}}
	list := r.Processes
	if !all {
		list = list[:min(len(list), maxProcesses)]
	}
	for _, p := range list {
		name := p.Container
		if name == "" {
			name = "-"
		}
		t.Rows = append(t.Rows, output.Row(strconv.Itoa(p.Pid), name, p.Command))
	}
	page.Table(t)
	more(page, len(r.Processes)-len(list))
}
