// Package nsops is what dx knows of and does with Linux namespaces: which ones a
// process is in, whether two are the same, and (in its sub-packages) reading
// processes, launching into namespaces, seccomp filters and terminals.
// It knows nothing of Docker: what a container is called is dockerx's matter.
package nsops

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"dx/nsops/proc"
)

// Type is a type of namespace, by its name under /proc/PID/ns (namespaces(7)).
type Type string

// The eight types.
const (
	Cgroup Type = "cgroup"
	IPC    Type = "ipc"
	Mnt    Type = "mnt"
	Net    Type = "net"
	PID    Type = "pid"
	Time   Type = "time"
	User   Type = "user"
	UTS    Type = "uts"
)

// Types lists the types in the order in which dx shows them.
var Types = []Type{Cgroup, IPC, Mnt, Net, PID, Time, User, UTS}

// CloneFlag is the CLONE_NEW… constant of the type, as setns(2) takes it.
func (t Type) CloneFlag() uintptr {
	switch t {
	case Cgroup:
		return unix.CLONE_NEWCGROUP
	case IPC:
		return unix.CLONE_NEWIPC
	case Mnt:
		return unix.CLONE_NEWNS
	case Net:
		return unix.CLONE_NEWNET
	case PID:
		return unix.CLONE_NEWPID
	case Time:
		return unix.CLONE_NEWTIME
	case User:
		return unix.CLONE_NEWUSER
	case UTS:
		return unix.CLONE_NEWUTS
	}
	return 0
}

// ID tells namespaces apart: the inode alone is unique only within one device
// (ioctl_nsfs(2)).
type ID struct {
	Device uint64 // st_dev of nsfs
	Inode  uint64
}

// IDOf returns the ID of what stat(2) saw.
func IDOf(st *unix.Stat_t) ID { return ID{Device: st.Dev, Inode: st.Ino} }

// IsZero reports whether the ID is that of no namespace.
func (id ID) IsZero() bool { return id == ID{} }

// IsFirstUser reports whether it is the first user namespace, whose root is the host's
// (include/linux/proc_ns.h, PROC_USER_INIT_INO).
func (id ID) IsFirstUser() bool { return id.Inode == 0xEFFFFFFD }

// ErrMoved says that a process changed its namespaces while it was looked at.
var ErrMoved = errors.New("the process has just changed its namespaces")

// Set is the namespaces of one process. A type that the kernel lacks is absent.
type Set struct {
	Own map[Type]ID
	// Children holds the PID and time namespaces into which the process's children
	// will be born, where they are other ones than its own. A zero ID is a PID
	// namespace whose first process is yet to come: its link leads nowhere
	// (kernel/pid_namespace.c, pidns_for_children_get).
	Children map[Type]ID
}

// Read reads the namespaces of a process. Types unknown to the kernel are left
// out. A process that exits meanwhile is proc.ErrGone, also while it is a zombie;
// one that the caller may not trace is fs.ErrPermission (ptrace(2), access mode
// PTRACE_MODE_READ_FSCREDS).
func Read(p *proc.Process) (Set, error) { return read(p) }

// Identify reads one namespace of a process; the zero ID if the kernel lacks the type.
// Errors are those of Read.
func Identify(p *proc.Process, t Type) (ID, error) {
	id, _, err := identifyOwn(p, t)
	return id, err
}

// identifyOwn is identify for a namespace that a process is in as long as it lives.
func identifyOwn(d directory, t Type) (id ID, listed bool, err error) {
	id, listed, err = identify(d, "ns/"+string(t))
	if err == nil && listed && id.IsZero() {
		err = proc.ErrGone
	}
	return id, listed, err
}

// directory is the part of proc.Process that read needs.
type directory interface {
	NamespaceInode(name string) (uint64, error)
	Has(name string) (bool, error)
}

func read(d directory) (Set, error) {
	set := Set{Own: map[Type]ID{}, Children: map[Type]ID{}}
	for _, t := range Types {
		id, listed, err := identifyOwn(d, t)
		if err != nil {
			return Set{}, fmt.Errorf("%s namespace: %w", t, err)
		}
		if listed {
			set.Own[t] = id
		}
	}
	if err := readChildren(d, set); err != nil {
		return Set{}, err
	}
	return set, nil
}

func readChildren(d directory, set Set) error {
	for _, t := range []Type{PID, Time} {
		id, listed, err := identify(d, "ns/"+string(t)+"_for_children")
		if err == nil && listed && id.IsZero() {
			err = stillThere(d, t)
		}
		if err != nil {
			return fmt.Errorf("%s namespace for children: %w", t, err)
		}
		if listed && id != set.Own[t] {
			set.Children[t] = id
		}
	}
	return nil
}

// stillThere tells the link of an unborn namespace from that of a process which
// has died since its own links were read.
func stillThere(d directory, t Type) error {
	id, _, err := identify(d, "ns/"+string(t))
	if err == nil && id.IsZero() {
		err = proc.ErrGone
	}
	return err
}

// identify returns what a link leads to: the zero ID if it is listed and leads
// nowhere. listed is false for a type that the kernel lacks.
func identify(d directory, name string) (id ID, listed bool, err error) {
	inode, err := d.NamespaceInode(name)
	if err == nil {
		device, err := nsfs()
		return ID{Device: device, Inode: inode}, true, err
	}
	if !errors.Is(err, os.ErrNotExist) {
		return ID{}, false, err
	}
	listed, err = d.Has(name)
	return ID{}, listed, err
}

// nsfs is the device of all namespaces, of which the kernel mounts one (fs/nsfs.c).
var nsfs = sync.OnceValues(func() (uint64, error) {
	self, err := proc.Self()
	if err != nil {
		return 0, err
	}
	st, err := self.Identity("ns/mnt")
	return st.Dev, err
})

// DifferentFromSelf lists the types in which a process is elsewhere than the caller.
func DifferentFromSelf(p *proc.Process) ([]Type, error) {
	self, err := proc.Self()
	if err != nil {
		return nil, err
	}
	defer self.Close()
	ours, err := Read(self)
	if err != nil {
		return nil, err
	}
	theirs, err := Read(p)
	if err != nil {
		return nil, err
	}
	return theirs.DifferentFromSelf(ours), nil
}

// DifferentFromSelf lists the types of which a process is in another namespace than one with
// the other set.
func (s Set) DifferentFromSelf(other Set) []Type {
	var out []Type
	for _, t := range Types {
		if id, ok := s.Own[t]; ok && id != other.Own[t] {
			out = append(out, t)
		}
	}
	return out
}
