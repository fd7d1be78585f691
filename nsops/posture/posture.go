// Package posture reads how a process stands with the kernel at this moment: who it
// is, what it may do, what it is allowed to use, what it sees of files and networks.
// Everything comes from /proc, nsfs, cgroupfs and rtnetlink; nothing is asked of
// whoever started the process, and nothing is compared or printed here.
package posture

import (
	"errors"
	"fmt"
	"io/fs"

	"dx/nsops"
	"dx/nsops/cgroup"
	"dx/nsops/proc"
)

// Section is one part of a posture.
type Section string

// The sections, in the order in which they are shown.
const (
	SectionIdentity     Section = "identity"
	SectionNamespaces   Section = "namespaces"
	SectionCapabilities Section = "capabilities"
	SectionSecurity     Section = "security"
	SectionCgroup       Section = "cgroup"
	SectionLimits       Section = "limits"
	SectionMounts       Section = "mounts"
	SectionNetwork      Section = "network"
)

// Sections lists them.
var Sections = []Section{
	SectionIdentity, SectionNamespaces, SectionCapabilities, SectionSecurity,
	SectionCgroup, SectionLimits, SectionMounts, SectionNetwork,
}

// Posture is what was read of a process. A part that could not be read is nil and
// listed in Unread.
type Posture struct {
	Identity     *Identity
	Namespaces   []Namespace
	Capabilities *Capabilities
	Security     *Security
	Cgroup       *cgroup.Usage
	Limits       *Limits
	Mounts       *Mounts
	Network      *Network
	Unread       []Unread `json:",omitempty"`
}

// Unread is a section that could not be read.
type Unread struct {
	Section Section
	Reason  string
	// Forbidden: it takes rights that the caller lacks.
	Forbidden bool
}

// Namespace is one of those in which the process is.
type Namespace struct {
	Type   nsops.Type
	Inode  uint64
	Device uint64
	Host   bool // it is the host's own
}

// reader reads one process. Sections do not depend on each other, so that one which
// is forbidden hides no other.
type reader struct {
	p         *proc.Process
	host, own nsops.Set // of the host, of the caller
	set       nsops.Set // of p; Own is nil where that is forbidden
	whole     func(proc.Cgroup) string
	out       Posture
}

// Read reads the posture of a process; host is what nsops.ReadHost said. whole may say for
// a cgroup of the process which one above is meant: see cgroup.Read. An error is
// proc.ErrGone, or that /proc itself cannot be read.
func Read(p *proc.Process, host nsops.Set, whole func(proc.Cgroup) string) (*Posture, error) {
	r := &reader{p: p, host: host, whole: whole}
	self, err := proc.Self()
	if err != nil {
		return nil, err
	}
	defer self.Close()
	if r.own, err = nsops.Read(self); err != nil {
		return nil, err
	}
	for _, s := range []struct {
		section Section
		read    func() error
	}{
		{SectionNamespaces, r.namespaces}, {SectionIdentity, r.identity}, {SectionCapabilities, r.capabilities},
		{SectionSecurity, r.security}, {SectionCgroup, r.cgroup}, {SectionLimits, r.limits},
		{SectionMounts, r.mounts}, {SectionNetwork, r.network},
	} {
		if err := s.read(); err != nil {
			if errors.Is(err, proc.ErrGone) {
				return nil, err
			}
			r.unread(s.section, err)
		}
	}
	// What was asked by number or of cgroups was this process's only if it still is.
	if err := p.Alive(); err != nil {
		return nil, err
	}
	return &r.out, nil
}

func (r *reader) unread(s Section, err error) {
	r.out.Unread = append(r.out.Unread, Unread{Section: s, Reason: err.Error(), Forbidden: errors.Is(err, fs.ErrPermission)})
}

// namespaces: those of the host's init are the host's, also where only init's
// children may be looked at (nsops.ReadHost).
func (r *reader) namespaces() error {
	set, err := nsops.Read(r.p)
	if errors.Is(err, fs.ErrPermission) && r.p.PID == 1 && r.host.Own != nil {
		set, err = r.host, nil
	}
	if err != nil {
		return err
	}
	r.set = set
	for _, t := range nsops.Types {
		if id, ok := set.Own[t]; ok {
			r.out.Namespaces = append(r.out.Namespaces, Namespace{Type: t, Inode: id.Inode, Device: id.Device, Host: id == r.host.Own[t]})
		}
	}
	return nil
}

// sharesOwn reports whether the process is in the caller's namespace of a kind.
func (r *reader) sharesOwn(t nsops.Type) bool {
	id, ok := r.set.Own[t]
	return ok && id == r.own.Own[t]
}

func (r *reader) cgroup() (err error) {
	r.out.Cgroup, err = cgroup.Read(r.p, r.whole)
	return err
}

// file names a file of the process in messages and origins.
func file(pid int, name string) string { return fmt.Sprintf("/proc/%d/%s", pid, name) }
