// Package launch starts a process inside existing namespaces without Docker, and
// without forking the multi-threaded Go process that asks for it.
//
// A Plan says what is wanted. Compile, a pure function, turns it into a Program:
// an ordered list of system calls whose arguments are all known beforehand.
// Start lays the program out as a tiny static ELF executable in a sealed memfd
// and runs that; its last step becomes the wanted command.
//
// The program's first process is the keeper, which reaps the command in dx's place and
// is never in anything of the container's. It gives birth to P, which stays outside the
// container's PID namespace until everything that needs the host is done and every host
// descriptor is closed. Only then P clones the child, which is the first that the
// container can see, and which holds nothing that the container lacks.
//
// Who the process should be (users, environment, capabilities by container) is
// not decided here.
package launch

import (
	"os"

	"github.com/opencontainers/runtime-spec/specs-go"

	"dx/nsops"
	"dx/nsops/seccomp"
)

// Plan is everything that a program needs to know. Files are passed to the
// program by descriptor and stay the caller's to close.
type Plan struct {
	// Process is what to run: Args, Env, Cwd, User, Capabilities, Rlimits,
	// NoNewPrivileges, ApparmorProfile, SelinuxLabel, OOMScoreAdj, Scheduler,
	// IOPriority, Terminal.
	Process *specs.Process
	Seccomp *seccomp.Filter // nil: none
	// Filters are installed before it, oldest first: those that a process has, by
	// whomever they were made.
	Filters seccomp.Filters
	// FilterKey is random, and for one run: see docs/decisions/006.
	FilterKey seccomp.Key

	Joins       []Join   // only namespaces that differ from the caller's
	Root        *os.File // O_PATH on the target's root; nil: the caller's root
	Cgroups     []Cgroup
	Keyring     string // session keyring to join; empty: a new one without a name
	KeepKeyring bool   // the caller's stays, if none is joined
	Personality *specs.LinuxPersonality

	MemoryPolicy *specs.LinuxMemoryPolicy // nil: the default

	// SetgroupsDenied is "deny" in /proc/PID/setgroups (user_namespaces(7)) of the
	// user namespace in which the process will be: not of the target's, if that
	// one is not joined.
	SetgroupsDenied bool
	Kernel          Kernel

	Shed Shed
	// TimerSlack is that of dx's caller in nanoseconds, which not every thread of dx has
	// (cmd/dx/sysmon); 0: not known.
	TimerSlack uint64

	// Realm says that what is wanted is a plain user's word, whose user namespace Joins
	// has: it is joined first, so that no right of the caller's is used for any of it.
	Realm bool
	// Plain says that the caller is not root, so that what only root may do is left as the
	// caller has it.
	Plain bool

	// Seen says that processes see the command which have fewer rights.
	Seen bool

	Tools *Tools // nil: none

	// MountProc mounts a procfs of the joined PID namespace at /proc, with the
	// rights of the process: Joins has a mount namespace of its own for that.
	MountProc bool

	// Origins says where a value came from, by the names of an execspec.Spec.
	Origins map[string]string
}

// Join is a namespace to enter.
type Join struct {
	Type nsops.Type
	File *os.File // a pidfd (Linux 5.8), or the namespace's own file
}

// Cgroup is a cgroup to enter.
type Cgroup struct {
	Name  string   // its controllers, as /proc/PID/cgroup has them: "memory", "cpu,cpuacct"; or "unified"
	Procs *os.File // cgroup.procs, open for writing; with Dir: nil until the keeper needs it
	Dir   *os.File // O_PATH on the directory of a unified one (cgroup v2); else nil
}

// Close closes its files.
func (cg Cgroup) Close() {
	cg.Procs.Close()
	cg.Dir.Close()
}
