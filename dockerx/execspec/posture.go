package execspec

import (
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"dx/nsops/proc"
)

func selfStatus() (proc.Status, error) {
	self, err := proc.Self()
	if err != nil {
		return proc.Status{}, err
	}
	defer self.Close()
	return self.Status()
}

// security takes no_new_privs and the LSM labels of the container. Where init has what
// the bundle does not name, the command has it as well: a bundle may not weaken it.
func (b *builder) security() error {
	if err := b.ownSecurity(); err != nil {
		return err
	}
	from, to := b.spec.Process, b.out.Process
	if from.NoNewPrivileges || !to.NoNewPrivileges {
		to.NoNewPrivileges = from.NoNewPrivileges
		b.from("NoNewPrivileges", "%s", b.configJSON("process.noNewPrivileges"))
	}
	if from.ApparmorProfile != "" && from.ApparmorProfile != "unconfined" || to.ApparmorProfile == "" {
		to.ApparmorProfile = from.ApparmorProfile
		b.from("ApparmorProfile", "%s", b.configJSON("process.apparmorProfile"))
	}
	if from.SelinuxLabel != "" || to.SelinuxLabel == "" {
		to.SelinuxLabel = from.SelinuxLabel
		b.from("SelinuxLabel", "%s", b.configJSON("process.selinuxLabel"))
	}
	return nil
}

// limits are those of the bundle (HostConfig.Ulimits and the daemon's defaults
// at its start), and for all others what a child of the shim inherits.
func (b *builder) limits() error {
	rlimits := slices.Clone(b.spec.Process.Rlimits)
	inherited, err := b.bundle.Shim.Rlimits()
	if err != nil {
		return err
	}
	own, err := b.c.Process.Rlimits()
	if err != nil {
		return err
	}
	// A shim is a Go program, which raises its soft limit of open files for
	// itself only: init shows what its children get.
	inherited = replaceLimit(inherited, own, "RLIMIT_NOFILE")
	b.from("Rlimits", "%s, the others as a child of the shim (pid %d) has them", b.configJSON("process.rlimits"), b.bundle.Shim.PID)
	return b.setLimits(rlimits, inherited)
}

// setLimits stores set, and of inherited what is not in it and differs from
// dx's own. Of open files nobody knows: the Go runtime raises its own limit.
func (b *builder) setLimits(set, inherited []specs.POSIXRlimit) error {
	self, err := proc.Self()
	if err != nil {
		return err
	}
	defer self.Close()
	own, err := self.Rlimits()
	if err != nil {
		return err
	}
	for _, l := range inherited {
		given := slices.ContainsFunc(set, func(s specs.POSIXRlimit) bool { return s.Type == l.Type })
		if !given && (l.Type == "RLIMIT_NOFILE" || !slices.Contains(own, l)) {
			set = append(set, l)
		}
	}
	b.out.Process.Rlimits = set
	return nil
}

func replaceLimit(to, from []specs.POSIXRlimit, name string) []specs.POSIXRlimit {
	named := func(l specs.POSIXRlimit) bool { return l.Type == name }
	i, j := slices.IndexFunc(to, named), slices.IndexFunc(from, named)
	if i >= 0 && j >= 0 {
		to[i] = from[j]
	}
	return to
}

// oomScore: runc always writes the configured one, 0 if none is given; null in
// its state means that the shim's is kept.
func (b *builder) oomScore() error {
	if b.state != nil && b.state.OOMScoreAdj == nil && b.state.CgroupPaths != nil {
		return b.oomScoreOf(b.bundle.Shim)
	}
	score := 0
	if given := b.spec.Process.OOMScoreAdj; given != nil {
		score = *given
	}
	b.out.Process.OOMScoreAdj = &score
	b.from("OOMScoreAdj", "%s", b.configJSON("process.oomScoreAdj"))
	return nil
}

func (b *builder) oomScoreOf(p *proc.Process) error {
	data, err := p.ReadFile("oom_score_adj")
	if err != nil {
		return err
	}
	score, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return err
	}
	b.out.Process.OOMScoreAdj = &score
	b.from("OOMScoreAdj", "/proc/%d/oom_score_adj", p.PID)
	return nil
}

// umask is the configured one, else what a child of the shim inherits.
func (b *builder) umask() error {
	if b.state != nil && b.state.Umask != nil {
		b.out.Process.User.Umask = b.state.Umask
		b.from("Umask", "%s", b.stateJSON("config.umask"))
		return nil
	}
	b.out.Process.User.Umask = b.shim.Umask
	b.from("Umask", "/proc/%d/status Umask (the shim)", b.bundle.Shim.PID)
	return nil
}

// inherited is what the shim hands down to what docker exec starts.
func (b *builder) inherited() error { return b.inheritedFrom(b.bundle.Shim) }

func (b *builder) ownInherited() error { return b.inheritedFrom(b.c.Process) }

func (b *builder) inheritedFrom(p *proc.Process) error {
	a, err := p.Attributes()
	if err != nil {
		return err
	}
	b.out.Inherited = &a
	b.from("Inherited", "pid %d", p.PID)
	return nil
}

// kernelExtras are the session keyring, and what only newer runtimes apply.
func (b *builder) kernelExtras() error {
	if b.state == nil || !b.state.NoNewKeyring {
		if err := b.keyring(); err != nil {
			return err
		}
	}
	if b.state == nil {
		return nil
	}
	if b.state.Personality && b.spec.Linux.Personality != nil {
		b.out.Personality = b.spec.Linux.Personality
		b.from("Personality", "%s", b.configJSON("linux.personality"))
	}
	if b.state.Scheduler && b.spec.Process.Scheduler != nil {
		b.out.Process.Scheduler = b.spec.Process.Scheduler
		b.from("Scheduler", "%s", b.configJSON("process.scheduler"))
	}
	if b.state.IOPriority && b.spec.Process.IOPriority != nil {
		b.out.Process.IOPriority = b.spec.Process.IOPriority
		b.from("IOPriority", "%s", b.configJSON("process.ioPriority"))
	}
	return nil
}

// keyring: runc gives each container a session keyring by name
// (libcontainer/setns_init_linux.go, getSessionRingName).
func (b *builder) keyring() error {
	b.out.Keyring = "_ses." + b.id
	b.from("Keyring", "runc's name for it")
	return nil
}

// ownSecurity takes no_new_privs and the LSM label of the process itself.
func (b *builder) ownSecurity() error {
	b.out.Process.NoNewPrivileges = b.init.NoNewPrivs
	b.from("NoNewPrivileges", "%s NoNewPrivs", b.procFile("status"))
	label, _ := b.c.Process.ReadFile("attr/current") // EINVAL: there is no LSM
	text := strings.TrimRight(string(label), "\x00\n")
	switch {
	case text == "" || text == "unconfined":
	case exists("/sys/fs/selinux/enforce"):
		b.out.Process.SelinuxLabel = text
		b.from("SelinuxLabel", "%s", b.procFile("attr/current"))
	case exists("/sys/kernel/security/apparmor"):
		b.out.Process.ApparmorProfile, _, _ = strings.Cut(text, " (") // "docker-default (enforce)"
		b.from("ApparmorProfile", "%s", b.procFile("attr/current"))
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func (b *builder) ownLimits() error {
	own, err := b.c.Process.Rlimits()
	if err != nil {
		return err
	}
	b.from("Rlimits", "%s", b.procFile("limits"))
	return b.setLimits(nil, own)
}

func (b *builder) ownOOMScore() error { return b.oomScoreOf(b.c.Process) }

func (b *builder) ownUmask() error {
	b.out.Process.User.Umask = b.init.Umask
	b.from("Umask", "%s", b.procFile("status"))
	return nil
}

// ownCwd is -w, else where the process is.
func (b *builder) ownCwd() error {
	if b.o.WorkingDir != "" {
		return b.cwd()
	}
	dir, err := b.c.Process.Readlink("cwd")
	if err != nil {
		return err
	}
	// The text is relative to dx's root: it may name a removed folder, or one
	// outside of the process's root.
	root, err := b.c.Process.Readlink("root")
	if err != nil {
		return err
	}
	rest, inside := strings.CutPrefix(dir+"/", strings.TrimSuffix(root, "/")+"/")
	if !inside || strings.HasSuffix(dir, " (deleted)") || !strings.HasPrefix(dir, "/") {
		return b.cwd()
	}
	b.out.Process.Cwd = "/" + strings.TrimSuffix(rest, "/")
	b.from("Cwd", "%s", b.procFile("cwd"))
	return nil
}
