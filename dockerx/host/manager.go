package host

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"dx/dockerx/docker"
	"dx/nsops/proc"
)

// manager runs containers that no shim of containerd's serves. Each has a file of its own,
// which says what its monitors are called and where it writes down what it runs.
type manager interface {
	// monitors reports whether a program of that name may keep one of its containers.
	monitors(program string) bool
	// kept returns what a monitor keeps, whose word counts; nil if it keeps no container.
	kept(m *monitor, known stores) (*record, error)
	// written returns what files of root's tell of, whoever keeps it.
	written(known stores) ([]*record, error)
}

var managers = []manager{conmon{}, lxc{}, nspawn{}, machined{}, runtimes{}, shims{}}

// monitor is a process of dx's own PID namespace that keeps a container, or says so.
type monitor struct {
	believed
	args []string
}

// record is what tells of one container.
type record struct {
	engine Engine
	id     string
	name   string // empty: the ID
	pod    Pod
	image  string

	pid   int
	start uint64 // clock ticks since boot; 0: not known
	proof string // in words: what names the process

	// Of a container of a plain user's: see keptForUser.
	place     string // the bundle's path, as the monitor's root names it; empty: root's, or dx's own user's
	namespace string // containerd's
	docker    *docker.Container

	runtime string // the name of its program; empty: not known
	state   string // the directory of the runtime's state, empty: there is none
	bundle  handle // none: there is none
	monitor *believed
}

func (r *record) close() { r.bundle.close() }

// maxArguments bounds the command line of a monitor: conmon's has some 3 KiB.
const maxArguments = 64 << 10

// asMonitor opens a process whose program keeps a container of some manager's, if its word
// counts. Until that is known, no more than its arguments are looked at.
func (l *Listing) asMonitor(pid int) (*monitor, *Doubt) {
	p, err := proc.Open(pid)
	if err != nil {
		return nil, nil
	}
	m, err := l.trust.monitor(p)
	var not *DisbeliefError
	switch {
	case err == nil && m.owner != 0 && !l.ofUsers.take(m.owner):
	case err == nil:
		return m, nil
	case errors.As(err, &not):
		p.Close()
		return nil, &Doubt{ID: parseConmon(m.args).id, Err: err}
	}
	p.Close()
	return nil, nil
}

// maxOfUser bounds how many containers of one plain user's are found: each costs descriptors.
const maxOfUser = 256

// perUser counts what has been found of each user.
type perUser struct {
	mu sync.Mutex
	n  map[uint32]int
}

// take reports whether one more may be found.
func (c *perUser) take(owner uint32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[uint32]int{}
	}
	c.n[owner]++
	return c.n[owner] <= maxOfUser
}

func isMonitor(program string) bool {
	return slices.ContainsFunc(managers, func(m manager) bool { return m.monitors(program) })
}

// monitor returns a process whose program keeps containers, with a DisbeliefError if its word
// does not count.
func (t Trust) monitor(p *proc.Process) (*monitor, error) {
	line, _, err := p.CommandLine(maxArguments)
	if err != nil {
		return nil, err
	}
	m := &monitor{args: strings.Split(strings.TrimRight(string(line), "\x00"), "\x00")}
	exe, err := t.Check(p)
	var owner uint32
	var not *DisbeliefError
	if errors.As(err, &not) {
		exe, owner, err = t.checkOfUser(p)
	}
	if errors.As(err, &not) {
		not.Claim = "claims to keep a container"
		if id := parseConmon(m.args).id; id != "" {
			not.Claim = "claims to keep " + short(id)
		}
	}
	if err == nil && !isMonitor(path.Base(cutDeleted(exe.Path))) {
		err = errNoShim
	}
	m.believed = believed{p, owner}
	return m, err
}

// addManaged adds the containers of the managers that have no shims. One process is one
// container: who tells most of it comes first.
func (l *Listing) addManaged() {
	known := newStores()
	defer known.close()
	have, told := map[int]bool{}, map[uint32]bool{}
	for _, f := range l.Found {
		have[f.PID] = true
	}
	add := func(r *record) {
		if r == nil || have[r.pid] {
			if r != nil {
				r.close()
			}
			return
		}
		have[r.pid] = true
		l.Found = append(l.Found, l.foundBy(r))
	}
	for _, m := range l.monitors {
		r, err := keptBy(m, known)
		if m.owner == 0 || err != nil && !told[m.owner] { // one word of each user is enough
			l.report(err)
			told[m.owner] = err != nil
		}
		add(r)
	}
	for _, m := range managers {
		list, err := m.written(known)
		l.report(err)
		for _, r := range list {
			add(r)
		}
	}
	l.addAbandoned(add)
}

func (l *Listing) report(err error) {
	if err != nil && !IsGone(err) {
		l.warn(err)
	}
}

// keptBy asks the manager whose program a monitor runs.
func keptBy(m *monitor, known stores) (*record, error) {
	exe, err := m.Executable()
	if err != nil {
		return nil, err
	}
	for _, manager := range managers {
		if manager.monitors(path.Base(cutDeleted(exe.Path))) {
			return manager.kept(m, known)
		}
	}
	return nil, nil
}

func (l *Listing) foundBy(r *record) *Found {
	f := &Found{
		ID: r.id, PID: r.pid, Bundle: r.bundle.path, listing: l, shim: r.monitor, dir: r.bundle,
		engine: r.engine, alias: r.name, image: r.image, pod: r.pod, read: true, record: r, docker: r.docker,
	}
	if r.place != "" {
		f.Bundle = r.place
	}
	if !docker.IsName(f.alias) {
		f.alias = "" // no reference could mean it
	}
	if r.detached() && r.engine.Manager == "" {
		f.Namespace, f.Orphan = r.engine.Namespace, true
	}
	return f
}

// detached reports whether nobody serves the container, and the runtime's state and the
// bundle tell of it: see DetachedOf.
func (r *record) detached() bool {
	return r.engine.Manager == "" || r.engine.Manager == "runc" || r.engine.Manager == "buildah"
}

// names reports whether a record says that a process is its container's init: the PID, when
// it started where that is known, and whose child it is where a monitor lives.
func (r *record) names(p *proc.Process) bool {
	if r.pid != p.PID || r.start != 0 && r.start != p.StartTime {
		return false
	}
	if r.engine.Owner != 0 && OwnerOf(p) != r.engine.Owner {
		return false
	}
	if r.monitor != nil {
		return p.ParentPID == r.monitor.PID && r.monitor.Alive() == nil
	}
	return r.start != 0
}

// Vouched returns what proves, in words, that a process is the init of a container of which
// a manager's files or its monitor tell; false where that is another's to prove.
func (f *Found) Vouched(p *proc.Process) (proof string, ok bool) {
	if f.record == nil || !f.record.names(p) {
		return "", false
	}
	return fmt.Sprintf("pid %d is the init of %s by %s", p.PID, f.ID, f.record.proof), true
}

// bundleBy makes the bundle that a record leads to, with descriptors of its own.
// ErrNoBundle if it leads to none.
func bundleBy(r *record, p *proc.Process) (*Bundle, error) {
	if r.place != "" {
		return r.usersBundle(p)
	}
	if r.bundle.fd == none || r.detached() {
		return nil, fmt.Errorf("pid %d: %w", p.PID, ErrNoBundle)
	}
	keeper, err := r.keeper()
	if err != nil {
		return nil, err
	}
	b := &Bundle{ID: r.id, Path: r.bundle.path, Shim: keeper, Manager: r.engine.Manager, record: r}
	if b.Status, err = p.Status(); err == nil {
		b.ShimStatus, err = keeper.Status()
	}
	if err == nil {
		b.dir, err = r.bundle.dup()
	}
	if err != nil {
		keeper.Close()
		return nil, err
	}
	return b, nil
}

// usersBundle makes the bundle of a plain user's container.
func (r *record) usersBundle(p *proc.Process) (*Bundle, error) {
	keeper, err := r.keeper()
	if err != nil {
		return nil, err
	}
	b := &Bundle{
		ID: r.id, Namespace: r.namespace, Path: r.place, Shim: keeper, Owner: r.engine.Owner, record: r,
		dir: handle{fd: none}, files: &userFiles{keeper: keeper},
	}
	if r.engine.Manager == "podman" {
		b.Manager = r.engine.Manager
	}
	if b.Status, err = p.Status(); err == nil {
		b.ShimStatus, err = keeper.Status()
	}
	if err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// keeper is whose child a command would be: the monitor's; where there is none, as `runc
// exec` has none, dx's.
func (r *record) keeper() (*proc.Process, error) {
	if r.monitor != nil {
		return r.monitor.Dup()
	}
	return proc.Self()
}

// managedInit returns the bundle of a process that a manager without shims names as a
// container's init. ErrNoBundle if none does.
func managedInit(p *proc.Process) (*Bundle, error) {
	r, err := recordOf(p)
	if err != nil {
		return nil, err
	}
	defer r.close()
	return bundleBy(r, p)
}

func recordOf(p *proc.Process) (*record, error) {
	nothing := fmt.Errorf("pid %d: %w", p.PID, ErrNoBundle)
	if r := keptByParent(p); r != nil {
		if r.names(p) {
			return r, nil
		}
		r.close()
	}
	var found *record
	for _, m := range managers {
		known := newStores()
		list, _ := m.written(known) // what cannot be read names nobody
		known.close()
		for _, r := range list {
			if found == nil && r.names(p) {
				found = r
				continue
			}
			r.close()
		}
	}
	if found == nil {
		return nil, nothing
	}
	return found, nil
}

// keptByParent is what the parent of a process keeps; nil if that is no monitor that counts.
func keptByParent(p *proc.Process) *record {
	trust, err := NewTrust()
	if err != nil {
		return nil
	}
	exe, err := proc.ReadlinkOf(p.ParentPID, "exe")
	if err != nil || !isMonitor(path.Base(cutDeleted(exe))) {
		return nil
	}
	parent, err := Parent(p)
	if err != nil {
		return nil
	}
	m, err := trust.monitor(parent)
	if err != nil {
		parent.Close()
		return nil
	}
	known := newStores()
	defer known.close()
	r, err := keptBy(m, known)
	if err != nil || r == nil {
		parent.Close()
		return nil
	}
	return r
}

// inRootOf opens a directory as a process names it, if it is root's alone.
func inRootOf(p *proc.Process, name string) (handle, error) {
	root, err := p.OpenFile("root", unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return handle{fd: none}, err
	}
	defer root.Close()
	dir, err := handleIn(root, name)
	if err != nil {
		return handle{fd: none}, err
	}
	if err := dir.closedToOthers(false); err != nil {
		dir.close()
		return handle{fd: none}, err
	}
	return dir, nil
}
