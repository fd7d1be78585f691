package execspec

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"time"

	"dx/dockerx"
	"dx/dockerx/host"
	"dx/dockerx/membership"
	"dx/nsops"
	"dx/nsops/cgroup"
	"dx/nsops/launch"
	"dx/nsops/proc"
	"dx/nsops/rootfs"
	"dx/nsops/seccomp"
)

// Read reads what Build needs, each file once. The process was alive after all was
// read: it was read of that process. Of a process in dx's own mount namespace nothing
// is read: see SharedMountError.
func Read(ctx context.Context, c *dockerx.Container, o Options) (*Facts, error) {
	if err := errors.Join(ctx.Err(), c.Believed()); err != nil {
		return nil, err
	}
	r := &reader{ctx: ctx, c: c, o: o, f: &Facts{
		Ref: c.Ref, Name: c.Name, ID: c.ID, Docker: c.Docker, Manager: c.Manager, ByNumber: c.Source == dockerx.SourcePID, Inner: c.Inner,
	}}
	defer r.close()
	for _, step := range []func() error{
		r.self, r.init, r.findBundle, r.posture, r.cgroups, r.accounts, r.filters, r.home, r.settled, c.Process.Alive,
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return r.f, nil
}

// reader collects Facts.
type reader struct {
	ctx    context.Context // of Read, the call that it lives in
	c      *dockerx.Container
	o      Options
	f      *Facts
	bundle *host.Bundle // nil: there is none
}

func (r *reader) close() {
	if r.bundle != nil && r.bundle != r.c.Bundle() {
		r.bundle.Close()
	}
}

func (r *reader) self() error {
	self, err := readSelf()
	if err == nil {
		r.f.Self = *self
	}
	return err
}

// init reads the process itself, its namespaces before anything else of it.
func (r *reader) init() error {
	p := &r.f.Init
	p.PID = r.c.Process.PID
	if err := p.readNamespaces(r.c.Process); err != nil {
		return err
	}
	if err := r.apart(); err != nil {
		return err
	}
	if b := r.c.Bundle(); b != nil {
		p.Status = b.Status
		return nil
	}
	return p.readStatus(r.c.Process)
}

// apart refuses a process that is in dx's own mount namespace.
func (r *reader) apart() error {
	if !r.f.ByNumber || r.c.Ref == "host" {
		return nil
	}
	differ := r.f.Init.Namespaces.DifferentFromSelf(r.f.Self.Namespaces)
	for _, t := range differ {
		if t == nsops.Mnt {
			return nil
		}
	}
	return &SharedMountError{Ref: r.c.Ref, PID: r.c.Process.PID, Kinds: differ}
}

// findBundle reads the runtime's files, and Docker's where the source of the container
// did not hold them. That there is no bundle is no error.
func (r *reader) findBundle() error {
	if err := r.openBundle(); err != nil {
		return err
	}
	switch {
	case r.c.Ref == "host" && r.f.ByNumber:
		r.f.Kind = OnHost
	case r.bundle != nil:
		r.f.Kind = Contained
	case r.f.Docker != nil:
		r.f.Kind = Orphaned
	case r.f.Spec != nil:
		r.f.Kind = Detached
	default:
		r.f.Kind = Bare
	}
	return nil
}

func (r *reader) openBundle() error {
	if r.c.Nested {
		return nil // what is in another container has what its init has, and no more
	}
	if r.bundle = r.c.Bundle(); r.bundle != nil {
		return r.readBundle()
	}
	find := host.Open
	if r.f.ByNumber {
		find = membership.BundleOf
	}
	bundle, err := find(r.c.Process)
	var disbelief *host.DisbeliefError
	if errors.As(err, &disbelief) {
		r.c.Warn(disbelief.Error())
	}
	if errors.Is(err, host.ErrNoBundle) {
		if r.findOrphan(); r.f.Docker != nil {
			return nil
		}
		return r.findDetached()
	}
	if err != nil {
		return err
	}
	if bundle.Doubt != nil {
		r.c.Warn(bundle.Doubt.Error())
	}
	if bundle.Apart {
		return bundle.Close() // a bare process: what it has itself, and no more
	}
	r.bundle = bundle
	return r.readBundle()
}

func (r *reader) readBundle() (err error) {
	f, b := r.f, r.bundle
	f.ID, f.Bundle, f.Shim.PID = b.ID, b.Path, b.Shim.PID
	f.Shim.Status, f.Owner = b.ShimStatus, b.Owner
	if f.Spec, err = b.Spec(); err != nil {
		return err
	}
	if f.State, err = b.State(); err != nil {
		r.c.Warn(fmt.Sprintf("the runtime's state of %s cannot be read, its bundle and init are used instead: %v", f.Name, err))
	}
	if b.Manager != "" {
		f.Manager, f.Docker = b.Manager, nil // Podman's API speaks like Docker's, and execs otherwise
		return nil
	}
	if f.Docker == nil {
		// Another engine's container has none.
		f.Docker, _ = b.Docker(f.Spec)
	}
	return nil
}

// findOrphan looks whether a process without a shim is in a container anyway. If it is
// not, it is a bare process.
func (r *reader) findOrphan() {
	if r.f.Docker != nil {
		return
	}
	if d, err := host.OrphanOf(r.c.Process); err == nil {
		r.f.ID, r.f.Docker = d.ID, d
	}
}

// posture reads what the process, or a child of the shim, has beside its status.
func (r *reader) posture() error {
	if r.f.LSM = activeLSM(); r.f.LSM != "" {
		label, _ := r.c.Process.ReadFile("attr/current") // EINVAL: there is no LSM
		r.f.Init.Label = strings.TrimRight(string(label), "\x00\n")
	}
	switch r.f.Kind {
	case Contained:
		if err := r.f.Init.readRlimits(r.c.Process); err != nil {
			return err
		}
		if r.f.Owner != 0 {
			if err := r.f.Init.readOOMScoreAdj(r.c.Process); err != nil {
				return err
			}
		}
		return r.inheritance(&r.f.Shim, r.bundle.Shim)
	case OnHost:
		return nil
	}
	if err := r.inheritance(&r.f.Init, r.c.Process); err != nil {
		return err
	}
	return r.place()
}

// inheritance reads what the children of a process have without being told.
func (r *reader) inheritance(p *Process, from *proc.Process) error {
	steps := []func(*proc.Process) error{p.readRlimits, p.readAttributes}
	if r.f.Kind != Contained || keepsOOMScoreAdj(r.f.State) || r.f.Owner != 0 {
		steps = append(steps, p.readOOMScoreAdj)
	}
	if r.f.Kind == Contained {
		steps = append(steps, p.readNamespaces)
	}
	for _, step := range steps {
		if err := step(from); err != nil {
			return err
		}
	}
	if own := r.f.Self.Attributes.TimerSlack; p.Attributes.TimerSlack == 0 && own != usualTimerSlack {
		r.c.Warn(fmt.Sprintf("without CAP_SYS_NICE the timer slack of pid %d cannot be read: the command has dx's own, %d ns", from.PID, own))
	}
	return nil
}

// usualTimerSlack is what the kernel gives to init (INIT_TASK), and all inherit.
const usualTimerSlack = 50000

func activeLSM() string {
	for name, file := range map[string]string{"selinux": "/sys/fs/selinux/enforce", "apparmor": "/sys/kernel/security/apparmor"} {
		if _, err := os.Stat(file); err == nil {
			return name
		}
	}
	return ""
}

// place reads where a process is that no bundle describes: its ids, its directory.
func (r *reader) place() (err error) {
	p := &r.f.Init
	if p.Namespaces.Own[nsops.User] != r.f.Self.Namespaces.Own[nsops.User] {
		if p.UIDs, err = r.c.Process.UIDMap(); err != nil {
			return err
		}
		if p.GIDs, err = r.c.Process.GIDMap(); err != nil {
			return err
		}
	}
	if r.f.Kind != Bare || r.o.WorkingDir != "" {
		return nil
	}
	if p.Cwd, err = r.c.Process.Readlink("cwd"); err != nil {
		return err
	}
	p.Root, err = r.c.Process.Readlink("root")
	return err
}

func (r *reader) cgroups() (err error) {
	if r.f.Kind == OnHost {
		return nil
	}
	list, err := r.c.Cgroups()
	if err != nil {
		return err
	}
	if r.f.Cgroups, err = cgroup.DirsOf(list); err != nil || r.f.State == nil {
		return err
	}
	r.f.Joinable = map[string]bool{}
	paths := believedCgroups(r.f)
	for _, dir := range paths {
		r.f.Joinable[dir] = cgroup.Exists(dir)
	}
	if v2, ok := paths[""]; ok && len(paths) == 1 {
		r.f.Divided = cgroup.HasChildren(v2)
	}
	return nil
}

// accounts reads the files in which a user's name is looked up, if one is given. With
// a bundle that is the root file system, not the mount namespace: an /etc/passwd that
// is mounted over it does not count here, though it does for HOME.
func (r *reader) accounts() error {
	name, _ := userName(r.f, r.o)
	if name == "" {
		return nil
	}
	if r.bundle != nil {
		return r.accountsOfBundle(name)
	}
	root, err := r.c.Root()
	if err != nil {
		return err
	}
	defer root.Close()
	r.f.Accounts, err = readAccounts(root)
	return err
}

func (r *reader) accountsOfBundle(name string) error {
	dir, err := r.bundle.OpenRootfs(r.f.Spec)
	if err != nil {
		return fmt.Errorf("look up user %s: %w", name, err)
	}
	defer dir.Close()
	r.f.Accounts, err = readAccounts(rootfs.At(dir, r.c.Deputy(), r.c.Name))
	return err
}

// readAccounts reads what can be read: like moby it takes a file that cannot be
// opened, or is none, for absent (moby/sys/user, GetExecUserPath). A file system that
// does not answer says neither.
func readAccounts(root *rootfs.Root) (a Accounts, err error) {
	for path, to := range map[string]*[]byte{"/etc/passwd": &a.Passwd, "/etc/group": &a.Group} {
		data, err := root.ReadFile(path)
		if errors.Is(err, launch.ErrSilent) {
			return a, err
		}
		if err == nil {
			*to = data
		}
	}
	return a, nil
}

// patience bounds the wait for a process to stop, so that its filters can be read: a
// moment, unless it is frozen.
const patience = 2 * time.Second

// filters reads the filters of the process whose filters no bundle describes.
func (r *reader) filters() error {
	from, status := r.c.Process, r.f.Init.Status
	if r.bundle != nil {
		from, status = r.bundle.Shim, r.f.Shim.Status
	}
	if r.f.Kind == Detached || !takesFilters(r.f, status) {
		return nil
	}
	ctx, cancel := context.WithTimeout(r.ctx, patience)
	defer cancel()
	r.f.Filters, r.f.FiltersErr = seccomp.Installed(ctx, from)
	err := r.f.FiltersErr
	switch {
	case err == nil:
	case errors.Is(err, proc.ErrGone), r.ctx.Err() != nil:
		return err
	case r.o.IgnoreUnknownFilter:
		r.c.Warn(fmt.Sprintf("the command runs without the seccomp filters of pid %d: %v", from.PID, err))
	}
	return nil
}

// home reads where HOME is found, if the environment has none. Any error but that of a
// silent file system means that the user has no home.
func (r *reader) home() error {
	if hasHome(entries(environment(r.f, r.o))) {
		return nil
	}
	root, err := r.c.Root()
	if err == nil {
		defer root.Close()
		r.f.Home, err = root.ReadFile("/etc/passwd")
	}
	if errors.Is(err, launch.ErrSilent) {
		return err
	}
	r.f.HomeErr = err
	return nil
}

// settled makes sure that a process which may change its namespaces at will was in the
// same ones all the time: its capabilities are those of one user namespace, and mean
// nothing in another one.
func (r *reader) settled() error {
	if r.f.Kind == Contained || r.f.Kind == OnHost {
		return nil
	}
	now, err := nsops.Read(r.c.Process)
	if err == nil && !maps.Equal(now.Own, r.f.Init.Namespaces.Own) {
		err = fmt.Errorf("%s: %w", r.c.Ref, nsops.ErrMoved)
	}
	return err
}
