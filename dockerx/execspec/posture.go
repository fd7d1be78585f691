package execspec

import (
	"slices"
	"strings"

	"dx/dockerx/host"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// security takes no_new_privs and the LSM labels of the container. Where init has what
// the bundle does not name, the command has it as well: a bundle may not weaken it.
func (b *builder) security() error {
	if err := b.ownSecurity(); err != nil {
		return err
	}
	if b.f.Owner != 0 {
		b.out.Process.NoNewPrivileges = b.out.Process.NoNewPrivileges || b.f.Spec.Process.NoNewPrivileges
		return nil // a label is for who may set one
	}
	from, to := b.f.Spec.Process, b.out.Process
	if from.NoNewPrivileges || !to.NoNewPrivileges {
		to.NoNewPrivileges = from.NoNewPrivileges
		b.from("NoNewPrivileges", "%s", configJSON("process.noNewPrivileges"))
	}
	if from.ApparmorProfile != "" && from.ApparmorProfile != "unconfined" || to.ApparmorProfile == "" {
		to.ApparmorProfile = from.ApparmorProfile
		b.from("ApparmorProfile", "%s", configJSON("process.apparmorProfile"))
	}
	if from.SelinuxLabel != "" || to.SelinuxLabel == "" {
		to.SelinuxLabel = from.SelinuxLabel
		b.from("SelinuxLabel", "%s", configJSON("process.selinuxLabel"))
	}
	return nil
}

// limits are those of the bundle (HostConfig.Ulimits and the daemon's defaults
// at its start), and for all others what a child of the shim inherits.
func (b *builder) limits() error {
	inherited := withSoftFiles(slices.Clone(b.f.Shim.Rlimits), b.f.Init.Rlimits)
	b.from("Rlimits", "%s, the others as a child of the shim (pid %d) has them", configJSON("process.rlimits"), b.f.Shim.PID)
	set := slices.Clone(b.f.Spec.Process.Rlimits)
	if b.f.Owner != 0 {
		set = within(set, b.f.Shim.Rlimits)
	}
	b.setLimits(set, inherited)
	return nil
}

// within are limits that whoever has others could have given: nobody but root raises a hard
// one (setrlimit(2)).
func within(set, bounds []specs.POSIXRlimit) []specs.POSIXRlimit {
	for i, l := range set {
		for _, bound := range bounds {
			if bound.Type == l.Type {
				set[i].Hard = min(l.Hard, bound.Hard)
				set[i].Soft = min(l.Soft, set[i].Hard)
			}
		}
	}
	return set
}

// setLimits stores set, and of inherited what is not in it and differs from
// dx's own. Of open files nobody knows: the Go runtime raises its own limit.
func (b *builder) setLimits(set, inherited []specs.POSIXRlimit) {
	for _, l := range inherited {
		given := slices.ContainsFunc(set, func(s specs.POSIXRlimit) bool { return s.Type == l.Type })
		if !given && (l.Type == "RLIMIT_NOFILE" || !slices.Contains(b.f.Self.Rlimits, l)) {
			set = append(set, l)
		}
	}
	b.out.Process.Rlimits = set
}

// withSoftFiles takes init's soft limit of open files for the shim's: a shim is a Go
// program, which raises that for itself only, and init shows what its children get. An
// init whose hard limit is another has, or has been given, limits of its own since.
func withSoftFiles(shim, init []specs.POSIXRlimit) []specs.POSIXRlimit {
	named := func(l specs.POSIXRlimit) bool { return l.Type == "RLIMIT_NOFILE" }
	i, j := slices.IndexFunc(shim, named), slices.IndexFunc(init, named)
	if i >= 0 && j >= 0 && shim[i].Hard == init[j].Hard {
		shim[i] = init[j]
	}
	return shim
}

// oomScore: runc always writes the configured one, 0 if none is given, unless its
// state has null.
func (b *builder) oomScore() error {
	if keepsOOMScoreAdj(b.f.State) {
		b.setOOMScore(b.f.Shim)
		return nil
	}
	score := 0
	if given := b.f.Spec.Process.OOMScoreAdj; given != nil {
		score = *given
	}
	if lowest := min(b.f.Shim.OOMScoreAdj, b.f.Init.OOMScoreAdj); b.f.Owner != 0 && score < lowest {
		score = lowest // which his processes have; to lower it takes root's right
	}
	b.out.Process.OOMScoreAdj = &score
	b.from("OOMScoreAdj", "%s", configJSON("process.oomScoreAdj"))
	return nil
}

// keepsOOMScoreAdj reports whether a child of the shim keeps the shim's score: under runc
// if its state has null, and under crun, whose exec sets none.
func keepsOOMScoreAdj(s *host.State) bool {
	return s != nil && (s.Crun || s.OOMScoreAdj == nil && s.CgroupPaths != nil)
}

func (b *builder) setOOMScore(of Process) {
	b.out.Process.OOMScoreAdj = &of.OOMScoreAdj
	b.from("OOMScoreAdj", "/proc/%d/oom_score_adj", of.PID)
}

// umask is the configured one, else what a child of the shim inherits.
func (b *builder) umask() error {
	if b.f.Kind == Contained && b.f.Manager != "" {
		return b.recordedUmask()
	}
	if b.umaskOfState() {
		return nil
	}
	b.out.Process.User.Umask = b.f.Shim.Status.Umask
	b.from("Umask", "/proc/%d/status Umask (the shim)", b.f.Shim.PID)
	return nil
}

// umaskOfState takes the configured one, which runc sets for an exec from 1.2 on
// (libcontainer/setns_init_linux.go).
func (b *builder) umaskOfState() bool {
	s := b.f.State
	if s == nil || s.Umask == nil || olderThan(s.SpecVersion, [3]int{1, 2, 0}) {
		return false
	}
	b.out.Process.User.Umask = s.Umask
	b.from("Umask", "%s", stateJSON("config.umask"))
	return true
}

// inherited is what the shim hands down to what docker exec starts.
func (b *builder) inherited() error { return b.inherit(b.f.Shim) }

func (b *builder) ownInherited() error { return b.inherit(b.f.Init) }

func (b *builder) inherit(from Process) error {
	b.out.Inherited = &from.Attributes
	b.from("Inherited", "pid %d", from.PID)
	if from.Attributes.TimerSlack == 0 {
		b.from("Inherited", "pid %d, but for its timer slack, which takes CAP_SYS_NICE to read: dx's own stays", from.PID)
	}
	return nil
}

// kernelExtras are the session keyring, and what only newer runtimes apply.
func (b *builder) kernelExtras() error {
	// crun's exec joins none, so that the command would have that of its user.
	if b.f.State == nil || !b.f.State.NoNewKeyring && !b.f.State.Crun {
		if err := b.keyring(); err != nil {
			return err
		}
	}
	if b.f.State == nil {
		return nil
	}
	if b.f.State.Personality && b.f.Spec.Linux.Personality != nil {
		b.out.Personality = b.f.Spec.Linux.Personality
		b.from("Personality", "%s", configJSON("linux.personality"))
	}
	if b.f.State.MemoryPolicy && b.f.Spec.Linux.MemoryPolicy != nil {
		b.out.MemoryPolicy = b.f.Spec.Linux.MemoryPolicy
		b.from("MemoryPolicy", "%s", configJSON("linux.memoryPolicy"))
	}
	if b.f.State.Scheduler && b.f.Spec.Process.Scheduler != nil {
		b.out.Process.Scheduler = b.f.Spec.Process.Scheduler
		b.from("Scheduler", "%s", configJSON("process.scheduler"))
	}
	if b.f.State.IOPriority && b.f.Spec.Process.IOPriority != nil {
		b.out.Process.IOPriority = b.f.Spec.Process.IOPriority
		b.from("IOPriority", "%s", configJSON("process.ioPriority"))
	}
	return nil
}

// keyring: runc gives each container a session keyring by name
// (libcontainer/setns_init_linux.go, getSessionRingName).
func (b *builder) keyring() error {
	b.out.Keyring = "_ses." + b.f.ID
	b.from("Keyring", "runc's name for it")
	return nil
}

// ownSecurity takes no_new_privs and the LSM label of the process itself.
func (b *builder) ownSecurity() error {
	b.out.Process.NoNewPrivileges = b.f.Init.Status.NoNewPrivs
	b.from("NoNewPrivileges", "%s NoNewPrivs", b.procFile("status"))
	label := b.f.Init.Label
	switch {
	case label == "" || label == "unconfined":
	case b.f.LSM == "selinux":
		b.out.Process.SelinuxLabel = label
		b.from("SelinuxLabel", "%s", b.procFile("attr/current"))
	case b.f.LSM == "apparmor":
		b.out.Process.ApparmorProfile, _, _ = strings.Cut(label, " (") // "docker-default (enforce)"
		b.from("ApparmorProfile", "%s", b.procFile("attr/current"))
	}
	return nil
}

func (b *builder) ownLimits() error {
	b.from("Rlimits", "%s", b.procFile("limits"))
	b.setLimits(nil, b.f.Init.Rlimits)
	return nil
}

func (b *builder) ownOOMScore() error {
	b.setOOMScore(b.f.Init)
	return nil
}

func (b *builder) ownUmask() error {
	b.out.Process.User.Umask = b.f.Init.Status.Umask
	b.from("Umask", "%s", b.procFile("status"))
	return nil
}

// ownCwd is -w, else where the process is. The link is relative to dx's root: it may
// name a removed directory, or one outside of the process's root.
func (b *builder) ownCwd() error {
	dir, root := b.f.Init.Cwd, b.f.Init.Root
	rest, inside := strings.CutPrefix(dir+"/", strings.TrimSuffix(root, "/")+"/")
	if b.o.WorkingDir != "" || b.f.Inner != nil || b.f.Manager == "lxc" || !inside || strings.HasSuffix(dir, " (deleted)") || !strings.HasPrefix(dir, "/") {
		return b.cwd()
	}
	b.out.Process.Cwd = "/" + strings.TrimSuffix(rest, "/")
	b.from("Cwd", "%s", b.procFile("cwd"))
	return nil
}
