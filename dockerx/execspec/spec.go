// Package execspec answers "how would the container's engine exec into it?". It turns
// a Container and the flags of docker exec into a Spec. Making a process of it is for
// nsops/launch.
package execspec

import (
	"github.com/opencontainers/runtime-spec/specs-go"

	"dx/nsops"
	"dx/nsops/proc"
	"dx/nsops/seccomp"
)

// Options are the flags of docker exec that shape the process.
type Options struct {
	Args       []string // command and arguments
	Env        []string // NAME=VALUE, or a bare NAME that removes; env-files first
	User       string   // -u; empty: the container's
	WorkingDir string   // -w; empty: the container's
	Tty        bool
	Privileged bool

	// NoCgroup leaves the command in dx's own cgroups.
	NoCgroup bool

	// IgnoreUnknownFilter goes on where UnknownFilterError would be returned.
	IgnoreUnknownFilter bool
}

// Spec is what docker exec would ask the runtime to run, in the terms of the
// OCI runtime specification.
type Spec struct {
	// Process holds Args, Env (final, in order), Cwd, User (UID, GID,
	// AdditionalGids, Umask), Capabilities, Rlimits, NoNewPrivileges,
	// ApparmorProfile, SelinuxLabel, OOMScoreAdj, Scheduler, IOPriority, Terminal.
	Process *specs.Process

	Seccomp     *specs.LinuxSeccomp // the profile; nil: none is known
	Filters     seccomp.Filters     // beneath it: those of a process, from the kernel
	Namespaces  []nsops.Type        // to join, as far as they differ from the caller's
	Cgroups     []CgroupDir         // to join, in order
	Keyring     string              // session keyring, "_ses.<id>"; empty: a new one
	Personality *specs.LinuxPersonality

	MemoryPolicy *specs.LinuxMemoryPolicy

	// Exactly are the namespaces to which all of this applies, where they were read of
	// a process that may change them at will; nil: see Namespaces.
	Exactly map[nsops.Type]nsops.ID

	// Inherited is what a child of the shim has without being told: what dx's
	// caller hands down must not take its place. nil: nobody's is known.
	Inherited *proc.Attributes

	// Realm reports whether all of this is the word of a plain user, in whose user namespace
	// the container is: see launch.Plan.
	Realm bool

	// Crun reports whether crun would start it: errors are to be in its words.
	Crun bool

	// Caller is dx itself, whose own attributes must not take the place of those.
	Caller *Process

	// Origins says where a value came from: a file and field, or "docker's
	// default". Keys: Args, Env[NAME], User, Cwd, Capabilities, Rlimits,
	// OOMScoreAdj, NoNewPrivileges, ApparmorProfile, SelinuxLabel, Umask,
	// Seccomp, Namespaces, Cgroups, Keyring, Personality, MemoryPolicy, Scheduler,
	// IOPriority, Inherited; and Bundle, the directory of config.json.
	Origins map[string]string
}

// CgroupDir is a cgroup directory as seen on the host.
type CgroupDir struct {
	Controller string // v1: "memory", "name=systemd"…; empty: the v2 hierarchy
	Path       string // absolute directory, under the host's /sys/fs/cgroup
}
