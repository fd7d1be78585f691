package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"dx/cmd/dx/output"
	"dx/dockerx"
	"dx/dockerx/membership"
	"dx/nsops"
	"dx/nsops/callerfile"
	"dx/nsops/census"
	"dx/nsops/launch"
)

// isSpaceRef tells a reference to a namespace from one to a container, whose name has
// no such characters but for a slash in front. "containerd:NAMESPACE/ID" is a container's.
func isSpaceRef(ref string) bool {
	_, _, link := nsops.ParseLink(ref)
	if r, err := dockerx.ParseReference(ref); err != nil || r.Qualified() {
		return false
	}
	return link || strings.HasPrefix(ref, "inode:") || strings.Contains(strings.TrimPrefix(ref, "/"), "/")
}

// spaceRef is what a reference to a namespace says; with a handle where it is a path.
type spaceRef struct {
	ref    string
	id     nsops.ID   // the device is 0 where it does not matter
	kind   nsops.Type // empty: any
	handle *nsops.Handle
}

func (r spaceRef) means(ns *census.Namespace) bool {
	return ns.ID.Inode == r.id.Inode && (r.id.Device == 0 || r.id.Device == ns.ID.Device) && (r.kind == "" || r.kind == ns.Type)
}

// openSpaceRef reads a reference; a path is opened, which keeps its namespace there.
func openSpaceRef(ref string) (spaceRef, error) {
	r := spaceRef{ref: ref}
	if t, inode, ok := nsops.ParseLink(ref); ok {
		r.kind, r.id.Inode = t, inode
		return r, nil
	}
	numbers, ok := strings.CutPrefix(ref, "inode:")
	if !ok {
		h, err := openNamespace(ref)
		if err != nil {
			return r, err
		}
		r.handle, r.id, r.kind = h, h.ID, h.Type
		return r, nil
	}
	if device, inode, both := strings.Cut(numbers, ":"); both {
		n, err := strconv.ParseUint(device, 10, 64)
		if err != nil || n == 0 {
			return r, fmt.Errorf("reference %q: %q is not a device number, as the field Device of --format json has it", ref, device)
		}
		r.id.Device, numbers = n, inode
	}
	n, err := strconv.ParseUint(numbers, 10, 64)
	if err != nil || n == 0 {
		return r, fmt.Errorf("reference %q: %q is not an inode number", ref, numbers)
	}
	r.id.Inode = n
	return r, nil
}

// openNamespace opens the namespace that a path leads to. Nothing but nsfs is asked
// again: it always answers.
func openNamespace(path string) (*nsops.Handle, error) {
	var d launch.Deputy
	defer d.Close()
	f, info, err := callerfile.Find(&d, path, true)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info.FS.Type != unix.NSFS_MAGIC {
		return nil, fmt.Errorf("%s: %w", path, nsops.ErrNotNamespace)
	}
	return nsops.OpenFile(f)
}

// nsWorld is a census in which the containers have names.
type nsWorld struct {
	*app
	census     *census.Census
	host       census.Places
	containers []*dockerx.Container
	in         []int // of each process of the census: an index of containers, or -1
	refs       []int // indexes of containers that were asked for
	failed     bool
}

// showSpaces shows namespaces themselves: those referred to, as a tree, or with their
// processes.
func (a *app) showSpaces(ctx context.Context, find finder, out *output.Printer, o nsOptions, refs []string) error {
	w := nsWorld{app: a}
	list, err := find.Running(ctx)
	if err != nil {
		w.exitCode(fmt.Errorf("namespaces are shown without the names of containers: %w", err))
	}
	w.containers = list
	defer func() { closeAll(w.containers) }()
	if len(refs) > 0 && isSpaceRef(refs[0]) {
		return w.referred(out, refs)
	}
	for _, ref := range refs {
		w.resolve(ctx, find, ref)
	}
	if len(refs) > 0 && len(w.refs) == 0 {
		return &statusError{code: exitFailure}
	}
	if err := w.take(o.all); err != nil {
		return err
	}
	err = w.show(out, o)
	if err == nil && w.failed {
		err = &statusError{code: exitFailure}
	}
	return err
}

func (w *nsWorld) resolve(ctx context.Context, find finder, ref string) {
	c, err := find.Resolve(ctx, ref)
	if err != nil {
		w.exitCode(err)
		w.failed = true
		return
	}
	for i, known := range w.containers {
		if known.Process.PID == c.Process.PID {
			w.refs = append(w.refs, i)
			c.Close()
			return
		}
	}
	w.refs = append(w.refs, len(w.containers))
	w.containers = append(w.containers, c)
}

// take makes the pass over /proc.
func (w *nsWorld) take(deep bool) error {
	set, _, err := nsops.ReadHost()
	if err != nil && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	w.host = census.PlacesOf(set)
	if w.census, err = census.Take(deep); err != nil {
		return err
	}
	w.in = membership.New(membersOf(w.containers)).Attribute(w.census)
	w.sayMissing()
	return nil
}

// membersOf are containers as membership takes them.
func membersOf(list []*dockerx.Container) []membership.Container {
	out := make([]membership.Container, len(list))
	for i, c := range list {
		out[i] = membership.Container{ID: c.ID, Init: c.Process}
	}
	return out
}

// sayMissing is one line for each reason why not all was seen.
func (w *nsWorld) sayMissing() {
	if n := w.census.Hidden; n > 0 {
		w.say("the namespaces of %s could not be read%s", count(n, "process", "processes"), ptraceHint())
	}
	if n := w.census.Partial; n > 0 {
		w.say("not all open files and mounts of %s were looked at: they are hidden or too many", count(n, "process", "processes"))
	}
	if w.census.Crowded {
		w.say("there are so many namespaces that not all were looked at")
	}
}

func ptraceHint() string {
	if missingCapability() == "" {
		return ""
	}
	return "; other users' take CAP_SYS_PTRACE: run with sudo"
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// referred shows the namespaces that references name.
func (w *nsWorld) referred(out *output.Printer, refs []string) error {
	var wanted []spaceRef
	for _, ref := range refs {
		r, err := openSpaceRef(ref)
		if err != nil {
			w.exitCode(err)
			w.failed = true
			continue
		}
		if r.handle != nil {
			defer r.handle.Close()
		}
		wanted = append(wanted, r)
	}
	if len(wanted) == 0 {
		return &statusError{code: exitFailure}
	}
	if err := w.take(true); err != nil {
		return err
	}
	var records []spaceRecord
	for _, r := range wanted {
		records = append(records, w.refer(r)...)
	}
	if len(records) > 0 {
		if err := renderSpaces(out, records); err != nil {
			return err
		}
	}
	if w.failed {
		return &statusError{code: exitFailure}
	}
	return nil
}

// refer finds what one reference means.
func (w *nsWorld) refer(r spaceRef) []spaceRecord {
	if r.handle != nil {
		w.census.Add(r.handle)
	}
	list := w.meant(r)
	var unasked error
	if len(list) == 0 && (r.kind == "" || r.kind == nsops.Net) {
		unasked = w.census.Sockets()
		list = w.meant(r)
	}
	var out []spaceRecord
	for _, ns := range list {
		out = append(out, w.record(ns))
	}
	if len(out) == 0 {
		w.exitCode(fmt.Errorf("%s: not found: of what dx may see, no process or thread is in it, and no mount, open file or socket keeps it%s", r.ref, w.unchecked(unasked)))
		w.failed = true
	}
	return out
}

// meant are the namespaces that a reference means. One that only others keep (a parent with
// nobody in it) is known once they were asked.
func (w *nsWorld) meant(r spaceRef) []*census.Namespace {
	w.census.Relate(func(ns *census.Namespace) bool {
		return r.means(ns) || ns.Type == nsops.PID || ns.Type == nsops.User
	})
	return slices.DeleteFunc(w.census.List(), func(ns *census.Namespace) bool { return !r.means(ns) })
}

// unchecked says what else may keep a namespace that was not found.
func (w *nsWorld) unchecked(sockets error) string {
	text := ""
	if w.census.NoInodes {
		text = "; not checked: files opened by way of a mount (that takes Linux 5.14)"
	}
	if sockets != nil {
		text += fmt.Sprintf("; not checked: all sockets, which keep a network namespace (%v)", sockets)
	}
	return text
}

// show renders all namespaces, or those of the containers that were asked for.
func (w *nsWorld) show(out *output.Printer, o nsOptions) error {
	chosen := w.chosen(o)
	w.census.Relate(chosen)
	var list []*census.Namespace
	for _, ns := range w.census.List() {
		if (!o.tree || o.all || ns.Type == nsops.PID || ns.Type == nsops.User) && chosen(ns) {
			list = append(list, ns)
		}
	}
	if o.tree && len(w.refs) > 0 {
		list = w.withRelatives(list)
	}
	records := make([]spaceRecord, 0, len(list))
	for _, ns := range list {
		records = append(records, w.record(ns))
	}
	if o.tree {
		return output.Render(out, records, func() output.Table { return w.treeTable(list, o.NoTrunc) })
	}
	return output.Render(out, records, func() output.Table { return procsTable(records, o.NoTrunc) })
}

// chosen tells the namespaces that the containers asked for are in, with any process
// of theirs, or keep.
func (w *nsWorld) chosen(o nsOptions) func(*census.Namespace) bool {
	if len(w.refs) == 0 {
		return func(*census.Namespace) bool { return true }
	}
	asked, pids := map[int]bool{}, map[int]bool{}
	ids := map[nsops.ID]bool{}
	for _, at := range w.refs {
		asked[at] = true
		pids[w.containers[at].Process.PID] = true
		if w.containers[at].Ref == "host" {
			for _, id := range w.host {
				ids[id] = true
			}
		}
	}
	held := map[int]bool{}
	for i, p := range w.census.Processes {
		if !asked[w.in[i]] && !pids[p.PID] {
			continue
		}
		held[p.PID] = o.all
		for _, id := range p.Places {
			ids[id] = true
		}
	}
	return func(ns *census.Namespace) bool {
		for _, h := range ns.Holds {
			if held[h.PID] {
				return true
			}
		}
		return ids[ns.ID]
	}
}

// withRelatives adds what is above each namespace, so that a tree has its branches.
func (w *nsWorld) withRelatives(list []*census.Namespace) []*census.Namespace {
	seen := map[nsops.ID]bool{}
	for _, ns := range list {
		seen[ns.ID] = true
	}
	for _, ns := range list {
		for _, up := range w.census.Above(ns) {
			if !seen[up.ID] {
				seen[up.ID] = true
				list = append(list, up)
			}
		}
	}
	return list
}
