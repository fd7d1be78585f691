package main

import (
	"context"
	"fmt"

	"dx/cmd/dx/output"
	"dx/dockerx/namespaces"
)

// spaces are the namespaces that are shown, and what has failed.
type spaces struct {
	failures
	*namespaces.World
}

// showSpaces shows namespaces themselves: those referred to, as a tree, or with their
// processes.
func (a *app) showSpaces(ctx context.Context, find namespaces.Finder, out *output.Printer, o nsOptions, refs []string) error {
	w := spaces{failures{app: a}, &namespaces.World{}}
	list, err := find.Running(ctx)
	if err != nil {
		a.exitCode(fmt.Errorf("namespaces are shown without the names of containers: %w", err))
	}
	w.Containers = list
	defer w.Close()
	if len(refs) > 0 && namespaces.IsRef(refs[0]) {
		return w.referred(out, refs)
	}
	for _, ref := range refs {
		if err := w.Ask(ctx, find, ref); err != nil {
			w.add(err)
		}
	}
	if len(refs) > 0 && len(w.Refs) == 0 {
		return &statusError{code: exitFailure}
	}
	if err := w.take(o.all); err != nil {
		return err
	}
	return w.status(w.show(out, o))
}

// take makes the pass over /proc, and says what it could not see.
func (w *spaces) take(deep bool) error {
	err := w.Take(deep)
	if err == nil {
		w.sayMissing()
	}
	return err
}

// sayMissing is one line for each reason why not all was seen.
func (w *spaces) sayMissing() {
	if n := w.Census.Hidden; n > 0 {
		w.say("the namespaces of %s could not be read%s", count(n, "process", "processes"), ptraceHint())
	}
	if n := w.Census.Partial; n > 0 {
		w.say("not all open files and mounts of %s were looked at: they are hidden or too many", count(n, "process", "processes"))
	}
	if w.Census.Crowded {
		w.say("there are so many namespaces that not all were looked at")
	}
}

func ptraceHint() string {
	if missingCapability(nil) == "" {
		return ""
	}
	return "; other users' take CAP_SYS_PTRACE" + withSudo()
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// referred shows the namespaces that references name.
func (w *spaces) referred(out *output.Printer, refs []string) error {
	var wanted []namespaces.Ref
	for _, ref := range refs {
		r, err := namespaces.OpenRef(ref)
		if err != nil {
			w.add(err)
			continue
		}
		defer r.Close()
		wanted = append(wanted, r)
	}
	if len(wanted) == 0 {
		return w.status(nil)
	}
	if err := w.take(true); err != nil {
		return err
	}
	var records []spaceRecord
	for _, r := range wanted {
		records = append(records, w.refer(r)...)
	}
	var err error
	if len(records) > 0 {
		err = renderSpaces(out, records)
	}
	return w.status(err)
}

// refer finds what one reference means.
func (w *spaces) refer(r namespaces.Ref) []spaceRecord {
	list, unasked := w.Find(r)
	var out []spaceRecord
	for _, ns := range list {
		out = append(out, w.record(ns))
	}
	if len(out) == 0 {
		w.add(fmt.Errorf("%s: not found: of what dx may see, no process or thread is in it, and no mount, open file or socket keeps it%s", r.Text, w.unchecked(unasked)))
	}
	return out
}

// unchecked says what else may keep a namespace that was not found.
func (w *spaces) unchecked(sockets error) string {
	text := ""
	if w.Census.NoInodes {
		text = "; not checked: files opened by way of a mount (that takes Linux 5.14)"
	}
	if sockets != nil {
		text += fmt.Sprintf("; not checked: all sockets, which keep a network namespace (%v)", sockets)
	}
	return text
}

// show renders all namespaces, or those of the containers that were asked for.
func (w *spaces) show(out *output.Printer, o nsOptions) error {
	list := w.Choose(namespaces.Choice{Tree: o.tree, All: o.all})
	records := make([]spaceRecord, 0, len(list))
	for _, ns := range list {
		records = append(records, w.record(ns))
	}
	if o.tree {
		return output.Render(out, records, func() output.Table { return w.treeTable(list, o.NoTrunc) })
	}
	return output.Render(out, records, func() output.Table { return procsTable(records, o.NoTrunc) })
}
