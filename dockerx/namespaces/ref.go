package namespaces

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"dx/dockerx"
	"dx/nsops"
	"dx/nsops/callerfile"
	"dx/nsops/census"
	"dx/nsops/launch"
)

// IsRef tells a reference to a namespace from one to a container, whose name has
// no such characters but for a slash in front. "containerd:NAMESPACE/ID" is a container's,
// and so is "OUTER//INNER".
func IsRef(ref string) bool {
	_, _, link := nsops.ParseLink(ref)
	if dockerx.IsNested(ref) {
		return false
	}
	if r, err := dockerx.ParseReference(ref); err != nil || r.Qualified() {
		return false
	}
	return link || strings.HasPrefix(ref, "inode:") || strings.Contains(strings.TrimPrefix(ref, "/"), "/")
}

// Ref is what a reference to a namespace says.
type Ref struct {
	Text   string
	ID     nsops.ID      // the device is 0 where it does not matter
	Type   nsops.Type    // empty: any
	Handle *nsops.Handle // of a path; nil: it is none
}

// Means reports whether the reference is to that namespace.
func (r Ref) Means(ns *census.Namespace) bool {
	return ns.ID.Inode == r.ID.Inode && (r.ID.Device == 0 || r.ID.Device == ns.ID.Device) && (r.Type == "" || r.Type == ns.Type)
}

// Close lets go of the namespace.
func (r Ref) Close() error {
	if r.Handle == nil {
		return nil
	}
	return r.Handle.Close()
}

// OpenRef reads a reference; a path is opened, which keeps its namespace there.
func OpenRef(ref string) (Ref, error) {
	r := Ref{Text: ref}
	if t, inode, ok := nsops.ParseLink(ref); ok {
		r.Type, r.ID.Inode = t, inode
		return r, nil
	}
	numbers, ok := strings.CutPrefix(ref, "inode:")
	if !ok {
		h, err := openPath(ref)
		if err != nil {
			return r, err
		}
		r.Handle, r.ID, r.Type = h, h.ID, h.Type
		return r, nil
	}
	if device, inode, both := strings.Cut(numbers, ":"); both {
		n, err := strconv.ParseUint(device, 10, 64)
		if err != nil || n == 0 {
			return r, fmt.Errorf("reference %q: %q is not a device number, as the field Device of --format json has it", ref, device)
		}
		r.ID.Device, numbers = n, inode
	}
	n, err := strconv.ParseUint(numbers, 10, 64)
	if err != nil || n == 0 {
		return r, fmt.Errorf("reference %q: %q is not an inode number", ref, numbers)
	}
	r.ID.Inode = n
	return r, nil
}

// openPath opens the namespace that a path leads to. Nothing but nsfs is asked
// again: it always answers.
func openPath(path string) (*nsops.Handle, error) {
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
