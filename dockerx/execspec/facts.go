package execspec

import (
	"github.com/opencontainers/runtime-spec/specs-go"

	"dx/dockerx/docker"
	"dx/dockerx/host"
	"dx/nsops"
	"dx/nsops/cgroup"
	"dx/nsops/proc"
	"dx/nsops/seccomp"
)

// Kind is what a process is, and thereby whose word its Spec goes by.
type Kind string

// The kinds.
const (
	// Contained is a container as it should be: a shim serves its bundle.
	Contained Kind = "contained"
	// Orphaned is a container whose shim and with it the bundle is gone: Docker's
	// configuration is there, the posture is the init's own.
	Orphaned Kind = "orphaned"
	// Detached is a container that a runtime has made and nobody serves (runc run -d):
	// the runtime's state and the bundle that it names tell of it.
	Detached Kind = "detached"
	// Bare is a process that is in no container.
	Bare Kind = "bare"
	// OnHost is the host's own init.
	OnHost Kind = "host"
)

// Facts is what is known of a container, or of a process, before something is started
// beside it: all that Build needs. Read fills in what the Kind and the options ask for.
type Facts struct {
	Kind Kind
	Ref  string // as the user typed it
	Name string
	ID   string // the container's; empty: it is in none

	// ByNumber reports whether a process was named, not a container: it may have left
	// the namespaces of its container.
	ByNumber bool

	// Manager is whose container it is where that is neither a dockerd's nor containerd's:
	// see dockerx.Container.
	Manager string

	// Owner is the plain user in whose user namespace the container is and whose word the
	// bundle, the state and Docker's configuration are; 0: see host.Bundle.
	Owner uint32

	// Inner is the configuration of a container that runs in another one, by the word of that
	// one: of environment, user and directory. The Kind is Bare.
	Inner *docker.Container

	Docker *docker.Container // what Docker says; nil: it is not Docker's
	Bundle string            // the directory of config.json; empty: there is none
	Spec   *specs.Spec       // config.json; of Detached, with the Linux part of the state
	State  *host.State       // the runtime's; nil: it cannot be read

	Init Process // the process itself
	Shim Process // of Contained
	Self Process // dx

	// Cgroups are the directories in which the process is now.
	Cgroups []cgroup.Dir
	// Joinable are those directories of State.CgroupPaths that are still there.
	Joinable map[string]bool
	// Divided reports whether the v2 cgroup of State passes controllers on: no process
	// may live in it then (cgroups(7), "no internal processes").
	Divided bool

	// Filters are those that no bundle describes, of Init or of Shim, unless Self is
	// beneath them already. FiltersErr says why they cannot be read.
	Filters    seccomp.Filters
	FiltersErr error

	LSM string // "selinux", "apparmor", or empty: labels have no meaning

	// Accounts are where a user's name is looked up: those of the root file system if
	// there is a bundle, else those in the process's root.
	Accounts Accounts
	// Home is /etc/passwd as the container sees it, mounts included; HomeErr is why it
	// cannot be read. Both are for an environment without HOME.
	Home    []byte
	HomeErr error
}

// Process is what was read of one process. What nobody asked for is zero.
type Process struct {
	PID        int
	Status     proc.Status
	Namespaces nsops.Set
	Rlimits    []specs.POSIXRlimit
	Attributes proc.Attributes

	OOMScoreAdj int
	Label       string // of the LSM, as attr/current has it
	Cwd, Root   string // links, relative to dx's root

	// UIDs and GIDs lead to the ids of its user namespace, if that is not dx's.
	UIDs, GIDs proc.IDMap
}

// Accounts are /etc/passwd and /etc/group; nil if there is no such file.
type Accounts struct{ Passwd, Group []byte }

// inContainer reports whether the facts are of a container, be it without its shim.
func (f *Facts) inContainer() bool { return f.Kind == Orphaned || f.hasBundle() }

// hasBundle reports whether a bundle and a runtime tell of the container.
func (f *Facts) hasBundle() bool { return f.Kind == Contained || f.Kind == Detached }
