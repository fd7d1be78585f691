package execspec

import (
	"context"
	"fmt"
	"path"

	"github.com/opencontainers/runtime-spec/specs-go"

	"dx/dockerx"
	"dx/dockerx/docker"
)

// dockerDefault is the origin of what no file says.
const dockerDefault = "docker's default"

// Of returns what docker exec would run in the container: what Build makes of what Read
// has read.
func Of(ctx context.Context, c *dockerx.Container, o Options) (*Spec, error) {
	f, err := Read(ctx, c, o)
	if err != nil {
		return nil, err
	}
	return Build(f, o)
}

// Build computes what docker exec would run: it reads nothing. What Docker's
// configuration decides (environment, user, working directory) comes from that; what
// the runtime decides (capabilities, seccomp, labels, limits, cgroups) from the
// runtime's own files for this container.
//
// A process reference (pid:N) that lies in a container, in its namespaces, has that
// container's posture; any other has that of the process itself (see
// SharedMountError), so that nothing is gained over it.
func Build(f *Facts, o Options) (*Spec, error) {
	b := &builder{f: f, o: o, config: configOf(f), out: &Spec{
		Process: &specs.Process{}, Origins: map[string]string{}, Caller: &f.Self,
		Crun: f.State != nil && f.State.Crun,
	}}
	for _, step := range steps[f.Kind] {
		if err := step(b); err != nil {
			return nil, err
		}
	}
	return b.out, nil
}

// config is the part of Docker's container configuration that docker exec uses.
type config struct {
	Hostname   string
	User       string
	Env        []string
	WorkingDir string
	Tty        bool
	GroupAdd   []string
	Privileged bool
	Linked     bool   // it has legacy links, whose variables docker exec adds
	Origin     string // where it was read: "GET /containers/ID/json", a path
}

// builder computes a Spec. Its steps are methods, each for one part.
type builder struct {
	f      *Facts
	o      Options
	config *config // nil: the process is in no container
	out    *Spec
}

type step func(*builder) error

// steps are those of each Kind, in the order in which errors count.
var steps = map[Kind][]step{
	Contained: {
		(*builder).arguments, (*builder).environment, (*builder).user, (*builder).home, (*builder).cwd,
		(*builder).capabilities, (*builder).security, (*builder).seccomp, (*builder).limits, (*builder).oomScore,
		(*builder).umask, (*builder).inherited, (*builder).namespaces, (*builder).cgroups, (*builder).kernelExtras,
	},
	Orphaned: {
		(*builder).arguments, (*builder).environment, (*builder).user, (*builder).home, (*builder).cwd,
		(*builder).ownCapabilities, (*builder).ownSecurity, (*builder).ownSeccomp, (*builder).ownLimits,
		(*builder).ownOOMScore, (*builder).ownUmask, (*builder).ownInherited, (*builder).exactNamespaces,
		(*builder).ownCgroups, (*builder).keyring,
	},
	Detached: {
		(*builder).arguments, (*builder).environment, (*builder).user, (*builder).home, (*builder).cwd,
		(*builder).detachedCapabilities, (*builder).security, (*builder).detachedSeccomp, (*builder).detachedLimits,
		(*builder).detachedOOMScore, (*builder).detachedUmask, (*builder).ownInherited, (*builder).detachedNamespaces,
		(*builder).cgroups, (*builder).kernelExtras,
	},
	Bare: {
		(*builder).arguments, (*builder).environment, (*builder).user, (*builder).home, (*builder).ownCwd,
		(*builder).heldCapabilities, (*builder).ownSecurity, (*builder).ownSeccomp, (*builder).ownLimits,
		(*builder).ownOOMScore, (*builder).ownUmask, (*builder).ownInherited, (*builder).exactNamespaces,
		(*builder).ownCgroups,
	},
	// There is no cgroup to join: that of a host's init is no place for commands.
	OnHost: {
		(*builder).arguments, (*builder).environment, (*builder).user, (*builder).home, (*builder).cwd,
		(*builder).ownCapabilities, (*builder).ownSecurity, (*builder).ownSeccomp, (*builder).ownNamespaces,
	},
}

// configOf is Docker's configuration, or for another engine's container what the bundle
// holds; nil for what is in no container.
func configOf(f *Facts) *config {
	switch {
	case f.Inner != nil && f.Kind == Bare:
		return configOfDocker(f.Inner)
	case !f.inContainer():
		return nil
	case f.Docker != nil:
		return configOfDocker(f.Docker)
	}
	p := f.Spec.Process
	return &config{
		Hostname: f.Spec.Hostname, Env: p.Env, WorkingDir: p.Cwd, Tty: p.Terminal,
		Origin: configJSON("process"),
	}
}

func configOfDocker(d *docker.Container) *config {
	return &config{
		Hostname: d.Config.Hostname, User: d.Config.User, Env: d.Config.Env, WorkingDir: d.Config.WorkingDir,
		Tty: d.Config.Tty, GroupAdd: d.HostConfig.GroupAdd, Privileged: d.HostConfig.Privileged,
		Linked: len(d.HostConfig.Links) > 0, Origin: d.Origin,
	}
}

// from notes where a value came from.
func (b *builder) from(key, format string, args ...any) {
	b.out.Origins[key] = fmt.Sprintf(format, args...)
}

func configJSON(field string) string {
	return "config.json " + field
}

func stateJSON(field string) string { return "state.json " + field }

func (b *builder) procFile(name string) string {
	return fmt.Sprintf("/proc/%d/%s", b.f.Init.PID, name)
}

func (b *builder) arguments() error {
	b.out.Process.Args = b.o.Args
	b.out.Process.Terminal = b.o.Tty
	b.from("Args", "the command line")
	return nil
}

// cwd mirrors moby daemon/exec.go: -w, else the configuration's, else "/".
func (b *builder) cwd() error {
	dir, origin := b.o.WorkingDir, "-w"
	if dir == "" && b.config != nil {
		dir, origin = b.config.WorkingDir, b.config.Origin+" Config.WorkingDir"
	}
	if dir == "" {
		dir, origin = "/", dockerDefault
	}
	if !path.IsAbs(dir) {
		return ErrRelativeCwd
	}
	b.out.Process.Cwd = dir
	b.from("Cwd", "%s", origin)
	return nil
}
