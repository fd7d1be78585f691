package census

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"dx/nsops"
	"dx/nsops/callerfile"
	"dx/nsops/launch"
	"dx/nsops/rootfs"
)

// Relate asks the kernel for parent, owner and creator of the namespaces that keep
// accepts, and of those in turn. Relatives that nobody was seen in become part of the
// census. A namespace that has vanished, or cannot be opened, stays without.
func (c *Census) Relate(keep func(*Namespace) bool) {
	defer c.deputy.Close()
	for _, ns := range c.List() {
		if ns.related || !keep(ns) {
			continue
		}
		h := c.open(ns)
		if h == nil {
			continue
		}
		c.relate(ns, h)
		h.Close()
	}
}

// Add takes in a namespace that the caller has open, and its relatives. nil where
// there is no more room.
func (c *Census) Add(h *nsops.Handle) *Namespace {
	ns := c.namespace(h.ID, h.Type)
	if ns != nil && !ns.related {
		c.relate(ns, h)
	}
	return ns
}

// relate fills in what the open namespace tells. The recursion ends at the
// initial namespaces: the kernel nests 32 deep (MAX_PID_NS_LEVEL; user namespaces
// alike).
func (c *Census) relate(ns *Namespace, h *nsops.Handle) {
	ns.related = true
	if ns.Type == nsops.User {
		if uid, err := h.OwnerUID(); err == nil {
			ns.OwnerUID = &uid
		}
	}
	if ns.Type == nsops.User || ns.Type == nsops.PID {
		ns.Parent = c.relative(h.Parent())
	}
	if ns.Type == nsops.User {
		ns.Owner = ns.Parent // NS_GET_USERNS of one is its parent
		return
	}
	ns.Owner = c.relative(h.Owner())
}

func (c *Census) relative(h *nsops.Handle, err error) nsops.ID {
	if err != nil {
		return nsops.ID{} // beyond, or a kernel before 4.9
	}
	defer h.Close()
	c.Add(h)
	return h.ID
}

// open opens a namespace by who is in it or holds it; nil if that cannot be had.
func (c *Census) open(ns *Namespace) *nsops.Handle {
	const tries = 3 // members that end meanwhile
	for _, at := range ns.Members[:min(tries, len(ns.Members))] {
		path := fmt.Sprintf("/proc/%d/ns/%s", c.Processes[at].PID, ns.Type)
		if h := same(ns)(nsops.OpenPath(path)); h != nil {
			return h
		}
	}
	for _, hold := range ns.Holds[:min(tries, len(ns.Holds))] {
		if h := same(ns)(c.openHeld(hold, ns.Type)); h != nil {
			return h
		}
	}
	return nil
}

// same lets pass what is the namespace that was meant.
func same(ns *Namespace) func(*nsops.Handle, error) *nsops.Handle {
	return func(h *nsops.Handle, err error) *nsops.Handle {
		if err != nil {
			return nil
		}
		if h.ID != ns.ID {
			h.Close()
			return nil
		}
		return h
	}
}

func (c *Census) openHeld(h Hold, t nsops.Type) (*nsops.Handle, error) {
	switch {
	case h.Children:
		return nsops.OpenPath(fmt.Sprintf("/proc/%d/ns/%s_for_children", h.PID, t))
	case h.Path != "":
		return c.openMount(h)
	case h.Socket:
		fd, err := unix.PidfdOpen(h.PID, 0)
		if err != nil {
			return nil, err
		}
		pidfd := os.NewFile(uintptr(fd), "pidfd")
		defer pidfd.Close()
		c.deputy.Patience = mountPatience
		return c.openSocket(pidfd, h.FD, func(nsops.ID) bool { return true })
	case h.TID != 0:
		return nsops.OpenPath(fmt.Sprintf("/proc/%d/task/%d/ns/%s", h.PID, h.TID, t))
	}
	return c.openDescriptor(h)
}

// openDescriptor opens a namespace by a descriptor of a process's, in whose place there may
// be any other file now.
func (c *Census) openDescriptor(h Hold) (*nsops.Handle, error) {
	if c.slow >= maxSlowMounts {
		return nil, launch.ErrSilent
	}
	c.deputy.Patience = mountPatience
	f, info, err := callerfile.Find(&c.deputy, h.path, true)
	if errors.Is(err, launch.ErrSilent) {
		c.slow++
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info.FS.Type != unix.NSFS_MAGIC {
		return nil, nsops.ErrNotNamespace
	}
	return nsops.OpenFile(f)
}

// mountPatience is how long the way to a mount, or to an open file, may take: a file system of the
// container's own making (FUSE) can let a path lookup wait for ever. After
// maxSlowMounts of them no mount is opened any more.
const (
	mountPatience = 500 * time.Millisecond
	maxSlowMounts = 3
)

// openMount opens a mount point beneath the root of a process that sees it.
func (c *Census) openMount(h Hold) (*nsops.Handle, error) {
	if c.slow >= maxSlowMounts {
		return nil, launch.ErrSilent
	}
	of := strconv.Itoa(h.PID)
	if h.TID != 0 {
		of += "/task/" + strconv.Itoa(h.TID)
	}
	root, err := os.OpenFile("/proc/"+of+"/root", unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	c.deputy.Patience = mountPatience
	f, info, err := rootfs.At(root, &c.deputy, fmt.Sprintf("pid %d", h.PID)).Open(h.Path)
	if errors.Is(err, launch.ErrSilent) {
		c.slow++
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info.FS.Type != unix.NSFS_MAGIC {
		return nil, nsops.ErrNotNamespace
	}
	return nsops.OpenFile(f)
}
