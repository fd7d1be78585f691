package execspec

import (
	"context"
	"errors"
	"fmt"
	"path"

	"github.com/opencontainers/runtime-spec/specs-go"

	"dx/dockerx"
	"dx/dockerx/docker"
	"dx/dockerx/host"
	"dx/nsops"
	"dx/nsops/proc"
)

// dockerDefault is the origin of what no file says.
const dockerDefault = "docker's default"

// Of returns what docker exec would run in the container. What Docker's
// configuration decides (environment, user, working directory) comes from
// Config; what the runtime decides (capabilities, seccomp, labels, limits,
// cgroups) from the runtime's own files for this container.
//
// A process reference (pid:N) that lies in a container, in its namespaces, has that
// container's posture; any other has that of the process itself (see
// SharedMountError), so that nothing is gained over it.
func Of(ctx context.Context, c *dockerx.Container, o Options) (*Spec, error) {
	if err := errors.Join(ctx.Err(), c.Believed()); err != nil {
		return nil, err
	}
	if c.Source == dockerx.SourcePID && c.Ref != "host" {
		if err := apart(c); err != nil {
			return nil, err
		}
	}
	b, err := newBuilder(ctx, c, o)
	if err != nil {
		return nil, err
	}
	defer b.close()
	steps := contained
	switch {
	case c.Ref == "host" && c.Source == dockerx.SourcePID:
		steps = onHost
	case b.bundle == nil && b.config == nil:
		steps = bare
	case b.bundle == nil:
		steps = orphaned
	}
	for _, step := range steps {
		if err := step(b); err != nil {
			return nil, err
		}
	}
	// The process was alive after all was read: it was read of that process.
	if err := c.Process.Alive(); err != nil {
		return nil, err
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

// builder collects a Spec. Its steps are methods, each for one part.
type builder struct {
	ctx    context.Context // of Of, the call that it lives in
	c      *dockerx.Container
	o      Options
	config *config // Docker's; nil for a bare process
	id     string  // the container's; empty for a bare process

	bundle *host.Bundle // nil: no shim is left, or there was none
	spec   *specs.Spec  // the bundle's
	state  *host.State  // nil if it cannot be read

	before nsops.Set // namespaces of c.Process, read before anything else of it

	init proc.Status // of c.Process
	shim proc.Status // of the shim; zero without a bundle

	out *Spec
}

type step func(*builder) error

var (
	// contained: a container as it should be.
	contained = []step{
		(*builder).arguments, (*builder).environment, (*builder).user, (*builder).home, (*builder).cwd,
		(*builder).capabilities, (*builder).security, (*builder).seccomp, (*builder).limits, (*builder).oomScore,
		(*builder).umask, (*builder).inherited, (*builder).namespaces, (*builder).cgroups, (*builder).kernelExtras,
	}
	// orphaned: Docker's configuration is there, but the shim and with it the
	// bundle is gone: the posture is the init's own.
	orphaned = []step{
		(*builder).arguments, (*builder).environment, (*builder).ownUser, (*builder).home, (*builder).cwd,
		(*builder).ownCapabilities, (*builder).ownSecurity, (*builder).ownSeccomp, (*builder).ownLimits,
		(*builder).ownOOMScore, (*builder).ownUmask, (*builder).ownInherited, (*builder).ownNamespaces, (*builder).ownCgroups, (*builder).keyring,
		(*builder).settled,
	}
	// bare: any process.
	bare = []step{
		(*builder).arguments, (*builder).bareEnvironment, (*builder).ownUser, (*builder).home, (*builder).ownCwd,
		(*builder).heldCapabilities, (*builder).ownSecurity, (*builder).ownSeccomp, (*builder).ownLimits,
		(*builder).ownOOMScore, (*builder).ownUmask, (*builder).ownInherited, (*builder).ownNamespaces, (*builder).ownCgroups,
		(*builder).settled,
	}
	// onHost: the host's own init. There is no cgroup to join: that of a host's
	// init is no place for commands.
	onHost = []step{
		(*builder).arguments, (*builder).bareEnvironment, (*builder).rootUser, (*builder).home, (*builder).cwd,
		(*builder).ownCapabilities, (*builder).ownSecurity, (*builder).ownSeccomp, (*builder).ownNamespaces,
	}
)

func newBuilder(ctx context.Context, c *dockerx.Container, o Options) (*builder, error) {
	b := &builder{ctx: ctx, c: c, o: o, id: c.ID, out: &Spec{Process: &specs.Process{}, Origins: map[string]string{}}}
	if c.Docker != nil {
		b.config = configOfDocker(c.Docker)
	}
	var err error
	if b.before, err = nsops.Read(c.Process); err != nil {
		return nil, err
	}
	if b.init, err = c.Process.Status(); err != nil {
		return nil, err
	}
	if err := b.openBundle(); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

// openBundle reads the runtime's files, and Docker's where the source of the
// container did not hold them. That there is no bundle is no error.
func (b *builder) openBundle() error {
	find := host.Open
	if b.c.Source == dockerx.SourcePID {
		find = host.Find
	}
	bundle, err := find(b.c.Process)
	var disbelief *host.DisbeliefError
	if errors.As(err, &disbelief) {
		b.c.Warn(disbelief.Error())
	}
	if errors.Is(err, host.ErrNoBundle) {
		b.findOrphan()
		return nil
	}
	if err != nil {
		return err
	}
	if bundle.Doubt != nil {
		b.c.Warn(bundle.Doubt.Error())
	}
	if bundle.Apart {
		return bundle.Close() // a bare process: what it has itself, and no more
	}
	b.bundle, b.id = bundle, bundle.ID
	if b.spec, err = bundle.Spec(); err != nil {
		return err
	}
	if b.shim, err = bundle.Shim.Status(); err != nil {
		return err
	}
	if b.state, err = bundle.State(); err != nil {
		b.c.Warn(fmt.Sprintf("the runtime's state of %s cannot be read, its bundle and init are used instead: %v", b.c.Name, err))
	}
	if b.config == nil {
		b.config = b.configOfBundle()
	}
	return nil
}

// findOrphan looks whether a process without a shim is in a container all the same. If
// it is not, it is a bare process.
func (b *builder) findOrphan() {
	if b.config != nil {
		return
	}
	if d, err := host.OrphanOf(b.c.Process); err == nil {
		b.id, b.config = d.ID, configOfDocker(d)
	}
}

// configOfBundle is Docker's configuration read from its files, or for another
// engine's container what the bundle holds.
func (b *builder) configOfBundle() *config {
	d, err := b.bundle.Docker(b.spec)
	if err == nil {
		return configOfDocker(d)
	}
	p := b.spec.Process
	return &config{
		Hostname: b.spec.Hostname, Env: p.Env, WorkingDir: p.Cwd, Tty: p.Terminal,
		Origin: b.configJSON("process"),
	}
}

func configOfDocker(d *docker.Container) *config {
	return &config{
		Hostname: d.Config.Hostname, User: d.Config.User, Env: d.Config.Env, WorkingDir: d.Config.WorkingDir,
		Tty: d.Config.Tty, GroupAdd: d.HostConfig.GroupAdd, Privileged: d.HostConfig.Privileged,
		Linked: len(d.HostConfig.Links) > 0, Origin: d.Origin,
	}
}

func (b *builder) close() {
	if b.bundle != nil {
		b.bundle.Close()
	}
}

// from notes where a value came from.
func (b *builder) from(key, format string, args ...any) {
	b.out.Origins[key] = fmt.Sprintf(format, args...)
}

func (b *builder) configJSON(field string) string {
	return "config.json " + field
}

func (b *builder) stateJSON(field string) string { return "state.json " + field }

func (b *builder) procFile(name string) string {
	return fmt.Sprintf("/proc/%d/%s", b.c.Process.PID, name)
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
