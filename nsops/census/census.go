// Package census counts who is in which namespace: one pass over /proc, for any
// number of questions. It also finds what keeps a namespace that nobody is in (a
// mount, an open file, a child namespace), and how namespaces are related.
//
// Containers of any number of processes, mounts and descriptors are looked at; what
// is read has limits, and what they left out is counted (Census.Partial).
// What a container is called does not belong here.
package census

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"dx/nsops"
	"dx/nsops/launch"
	"dx/nsops/proc"
)

// Places are the namespaces of one process, in the order of nsops.Types. A zero ID is
// a kind that the kernel lacks.
type Places [8]nsops.ID

// Of returns the one of a kind.
func (p Places) Of(t nsops.Type) nsops.ID { return p[slices.Index(nsops.Types, t)] }

// PlacesOf puts what nsops.Read read in this form.
func PlacesOf(set nsops.Set) Places {
	var p Places
	for i, t := range nsops.Types {
		p[i] = set.Own[t]
	}
	return p
}

// Process is a process as the pass met it.
type Process struct {
	PID, PPID int
	StartTime uint64 // as proc.Process has it
	Comm      string
	Places    Places
	Cgroups   string // /proc/PID/cgroup as it is: many processes have the same
}

// Namespace is a namespace and who is in it.
type Namespace struct {
	ID      nsops.ID
	Type    nsops.Type
	Members []int  // indexes of Census.Processes, ascending by PID
	Holds   []Hold // what else keeps it, maxHolds at the most
	Held    int    // how often it is held so

	// What Relate found. A zero ID: none, or beyond what is visible here.
	Parent   nsops.ID // of PID and user namespaces
	Owner    nsops.ID // a user namespace
	OwnerUID *uint32  // of user namespaces: who created it
	related  bool
}

// Hold is a way in which a namespace is kept that takes no process in it.
type Hold struct {
	PID  int    // the process with the descriptor, or in whose mount namespace the mount was seen
	Comm string // its name
	TID  int    // the thread of it that is in the namespace, or, with Path, in the mount namespace

	FD       int      // the descriptor, where Path is empty, TID 0 and Children unset
	Path     string   // the mount point, as that process sees it
	MountNS  nsops.ID // the mount namespace that has the mount
	Children bool     // the process's children will be born there
	Socket   bool     // the descriptor is a socket, made in that network namespace

	path string // of the descriptor in /proc
}

// Census is who was where during one pass.
type Census struct {
	Processes  []Process // ascending by PID
	Namespaces map[nsops.ID]*Namespace

	// Hidden counts the processes whose namespaces the caller may not read.
	Hidden int
	// Partial counts the processes of which not all files or mounts were looked at.
	Partial int
	// NoInodes says that the kernel, before 5.14, does not tell the inodes of descriptors: what
	// was opened by way of a mount was not looked at.
	NoInodes bool
	// Crowded says that there were more than maxNamespaces, which is where it stopped.
	Crowded bool

	files int // what is left of maxFiles
	bytes int // what is left of maxMountBytes
	slow  int // mounts whose opening took too long

	cgroups map[string]string // texts, each once
	room    []byte            // for reading them

	deputy launch.Deputy // opens mounts
}

// The limits. A container can have as many of everything as its owner likes.
const (
	maxNamespaces = 100_000
	maxHolds      = 20        // that are told of one namespace
	maxFiles      = 1_000_000 // descriptors of all processes together
	maxFilesOfOne = 65_536    // descriptors of one process
	maxMountBytes = 128 << 20 // of all mountinfo together
	maxMountsOf   = 16 << 20  // of one mountinfo
)

// Take makes a pass over /proc. With deep it also looks at every process's open files
// and at the mounts of each mount namespace. Processes that end meanwhile are no
// error; those that may not be read are counted.
func Take(deep bool) (*Census, error) {
	pids, err := proc.PIDs()
	if err != nil {
		return nil, err
	}
	return take(pids, deep)
}

// Of is a census of the processes given.
func Of(pids []int) (*Census, error) {
	return take(slices.Clone(pids), false)
}

func take(pids []int, deep bool) (*Census, error) {
	root, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer root.Close()
	slices.Sort(pids)
	c := &Census{Namespaces: map[nsops.ID]*Namespace{}, cgroups: map[string]string{}, files: maxFiles, bytes: maxMountBytes}
	defer c.deputy.Close()
	for _, pid := range slices.Compact(pids) {
		if err := c.visit(root, pid, deep); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// visit adds one process. All is read through its directory, which stays its own
// whoever gets its number later.
func (c *Census) visit(root *os.File, pid int, deep bool) error {
	dir, err := unix.Openat(int(root.Fd()), strconv.Itoa(pid), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if gone(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open /proc/%d: %w", pid, err)
	}
	defer unix.Close(dir)
	p, err := readProcess(dir, pid)
	if err == nil {
		p.Cgroups, err = c.readCgroups(dir)
	}
	switch {
	case gone(err):
		if deep {
			c.leaderless(dir, pid)
		}
		return nil
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		c.Hidden++
		return nil
	case err != nil:
		return fmt.Errorf("/proc/%d: %w", pid, err)
	}
	newMounts := c.add(p)
	if deep {
		c.holds(dir, p, newMounts)
	}
	return nil
}

func gone(err error) bool { return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) }

// add notes where a process is; newMounts says that it is the first that was seen in
// its mount namespace.
func (c *Census) add(p Process) (newMounts bool) {
	at := len(c.Processes)
	c.Processes = append(c.Processes, p)
	for i, t := range nsops.Types {
		if ns := c.namespace(p.Places[i], t); ns != nil {
			ns.Members = append(ns.Members, at)
			newMounts = newMounts || (t == nsops.Mnt && len(ns.Members) == 1)
		}
	}
	return newMounts
}

// namespace returns the entry of a namespace, which it makes if need be. nil for the
// zero ID, and for a new one where there is no more room.
func (c *Census) namespace(id nsops.ID, t nsops.Type) *Namespace {
	ns := c.Namespaces[id]
	if ns != nil || id.IsZero() {
		return ns
	}
	if len(c.Namespaces) >= maxNamespaces {
		c.Crowded = true
		return nil
	}
	ns = &Namespace{ID: id, Type: t}
	c.Namespaces[id] = ns
	return ns
}

func (ns *Namespace) hold(h Hold) {
	ns.Held++
	if len(ns.Holds) < maxHolds {
		ns.Holds = append(ns.Holds, h)
	}
}

// List returns the namespaces by kind and number.
func (c *Census) List() []*Namespace {
	list := make([]*Namespace, 0, len(c.Namespaces))
	for _, ns := range c.Namespaces {
		list = append(list, ns)
	}
	slices.SortFunc(list, compare)
	return list
}

func compare(a, b *Namespace) int {
	return cmp.Or(
		cmp.Compare(a.Type, b.Type),
		cmp.Compare(a.ID.Inode, b.ID.Inode),
		cmp.Compare(a.ID.Device, b.ID.Device),
	)
}
