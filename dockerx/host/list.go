package host

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"dx/dockerx/docker"
	"dx/nsops"
	"dx/nsops/proc"
)

// Recorded reports whether nothing but Docker's files tells of the container.
func (f *Found) Recorded() bool { return f.recorded }

// Found is a container that runs, as its shim's bundle tells of it. Nothing of it
// is verified yet but that the shim is one whose word counts (see Trust). What it can still be asked
// takes its Listing to be open.
type Found struct {
	ID        string
	Namespace string // containerd's
	PID       int
	Bundle    string // its path, as the shim's root names it
	Orphan    bool   // its shim has died: there is no bundle

	listing *Listing
	above   *bundlesDir
	shim    *believed
	dir     handle // the bundle
	docker  *docker.Container
	root    nsops.ID // <data-root>/containers, where they lie
	lies    nsops.ID // the same, where it was seen to lie there without a look into them
	engine  Engine   // see Engine
	alias   string   // its manager's name of it, if it is not Docker's
	image   string   // the same
	pod     Pod      // see Pod
	record  *record  // nil: a shim serves it, or nothing does

	stopped *Stopped // see Stopped

	recorded  bool // nothing but Docker's files tells of it
	read      bool // Docker's files have been looked for
	fromState bool // no init.pid names PID, but the runtime's state
}

// believed is a shim whose word counts.
type believed struct {
	*proc.Process
	owner uint32 // the plain user in whose namespace it is, and for whom alone it counts; 0: none
}

// FoundIn is a container that Docker's files tell of.
func FoundIn(d *docker.Container) *Found {
	return &Found{ID: d.ID, docker: d, read: true, dir: handle{fd: none}}
}

// Name is Docker's name of the container, or nerdctl's, else its ID.
func (f *Found) Name() string {
	if d := f.Docker(); d != nil {
		return d.Name
	}
	if f.alias != "" {
		return f.alias
	}
	return f.ID
}

// Docker is what Docker has written down of the container, without its HostConfig;
// nil if it is not Docker's, or cannot be read, which has been reported then.
func (f *Found) Docker() *docker.Container {
	if f.listing == nil {
		return f.docker
	}
	f.listing.mu.Lock()
	defer f.listing.mu.Unlock()
	if f.read || f.readWhereOthersAre() {
		return f.docker
	}
	f.read = true
	d, err := f.readDocker()
	switch {
	case err == nil:
		f.docker = d
	case !errors.Is(err, os.ErrNotExist):
		f.listing.warn(err)
	}
	return f.docker
}

// readWhereOthersAre reads config.v2.json in the data root of another container of the
// directory, as most have one: then the long config.json need not be read. The listing is
// not locked meanwhile.
func (f *Found) readWhereOthersAre() bool {
	if f.above == nil || f.above.containers == nil {
		return false
	}
	dir := *f.above.containers
	f.listing.mu.Unlock()
	d, err := readConfig(dir.handle, f.ID)
	f.listing.mu.Lock()
	if err == nil && !f.read {
		f.docker, f.root, f.read = d, dir.id, true
	}
	return f.read
}

// IsInit reports whether a process that was opened after the container was found is its
// init: the bundle's init.pid named it, and it is a child of the bundle's shim, which
// lives. False also if it cannot be told so cheaply.
func (f *Found) IsInit(p *proc.Process) bool {
	if f.record != nil {
		return f.record.names(p)
	}
	return f.shim != nil && p.PID == f.PID && p.ParentPID == f.shim.PID && f.shim.Alive() == nil
}

// HasShim reports whether a shim of containerd's serves the container.
func (f *Found) HasShim() bool { return f.shim != nil && f.record == nil }

// Listing is the running containers of the host. It owns what it takes to ask more
// of them.
type Listing struct {
	Found []*Found

	// Hidden is how many processes could not be looked at for lack of rights: any of them
	// may be a shim.
	Hidden int

	// Dockerds are the processes whose program is called so: see DaemonsAmong. Whoever stands
	// in a bundle is none.
	Dockerds []int

	warn    func(error)
	trust   Trust
	shims   map[int]*believed
	foreign []foreigner

	monitors []*monitor
	ofUsers  perUser

	mu     sync.Mutex // while bundles and Docker's files are looked at
	dirs   []*bundlesDir
	done   map[bundleKey]int // index in Found
	unborn map[string]bool   // IDs of bundles that name no init yet
	doubts []Doubt
}

// bundleKey tells bundles apart.
type bundleKey struct {
	above *bundlesDir
	id    string
}

// Doubt is a process that claims to be a container's shim and is not believed.
type Doubt struct {
	ID  string // of the container
	Err error  // a DisbeliefError
}

// maxDoubts bounds how many are kept: any user can make thousands.
const maxDoubts = 64

// Doubts returns processes that claim to be the shim of a container with that ID, or a
// prefix of it, and are not believed.
func (l *Listing) Doubts(id string) []error {
	var out []error
	for _, d := range l.doubts {
		if id != "" && strings.HasPrefix(d.ID, id) {
			out = append(out, d.Err)
		}
	}
	return out
}

// foreigner is a process in another PID namespace than dx.
type foreigner struct {
	pid   int
	pidns string // as its link reads
}

// List finds the running containers with no daemon and no assumption about paths:
// a shim's working directory is its bundle, and the bundle names the rest. A
// container that cannot be read is reported to warn and hides no other.
//
// Whose shim counts is Trust's to say: any user, and whoever is in a container, can
// dress up as one and would then answer to any name.
func List(warn func(error)) (*Listing, error) {
	l := &Listing{warn: warn, shims: map[int]*believed{}, done: map[bundleKey]int{}, unborn: map[string]bool{}}
	if err := l.findShims(); err != nil {
		l.Close()
		return nil, err
	}
	shims := slices.Collect(maps.Values(l.shims))
	nsops.Spread(len(shims), func(i int) { l.ownBundle(shims[i]) })
	for _, above := range l.dirs {
		l.siblings(above)
	}
	l.addManaged()
	return l, nil
}

// Close releases the shims and bundles.
func (l *Listing) Close() {
	for _, s := range l.shims {
		s.Close()
	}
	for _, m := range l.monitors {
		m.Close()
	}
	for _, f := range l.Found {
		f.dir.close()
		f.read = true
	}
	for _, f := range l.dirs {
		f.closeAll()
	}
}

// findShims makes the one pass over /proc. One system call or two tell of a process in a
// container, and four of any other, that it keeps none of the host's.
func (l *Listing) findShims() error {
	var err error
	if l.trust, err = NewTrust(); err != nil {
		return err
	}
	here := fmt.Sprintf("pid:[%d]", l.trust.pidns.Inode)
	told := func(tell func([]int) bool) { err = proc.EachPIDs(tell) }
	seen := glances(told, func(pid int) glance { return glanceAt(pid, here) })
	if err != nil {
		return err
	}
	var keepers []glance
	for _, g := range seen {
		switch {
		case g.hidden:
			l.Hidden++
		case g.pidns != "":
			l.foreign = append(l.foreign, foreigner{g.pid, g.pidns})
		case g.serves != "" || g.monitors:
			keepers = append(keepers, g)
		case g.dockerd:
			l.Dockerds = append(l.Dockerds, g.pid)
		}
	}
	l.open(keepers)
	return nil
}

// descriptors is how many a container takes while it is listed: of its shim, its bundle
// and its init.
const descriptors = 3

// open opens those whose word counts.
func (l *Listing) open(keepers []glance) {
	growTable(descriptors * len(keepers))
	shims := make([]*believed, len(keepers))
	monitors := make([]*monitor, len(keepers))
	doubts := make([]*Doubt, len(keepers))
	nsops.Spread(len(keepers), func(i int) { shims[i], monitors[i], doubts[i] = l.asKeeper(keepers[i]) })
	for i := range keepers {
		switch {
		case shims[i] != nil:
			l.shims[shims[i].PID] = shims[i]
		case monitors[i] != nil:
			l.monitors = append(l.monitors, monitors[i])
		case doubts[i] != nil && len(l.doubts) < maxDoubts:
			l.doubts = append(l.doubts, *doubts[i])
		}
	}
}

// ownBundle adds the container of a shim's own working directory, and notes the
// directory in which its siblings lie.
func (l *Listing) ownBundle(shim *believed) {
	d, err := standsIn(shim.Process)
	if err != nil {
		return
	}
	f := &Found{ID: d.id, Namespace: d.namespace, Bundle: d.path, listing: l, shim: shim, dir: d.handle}
	if f.above, err = l.bundlesDirOf(d); err != nil {
		f.dir.close()
		return
	}
	l.add(f)
}

// siblings adds the bundles of shims that serve several containers.
func (l *Listing) siblings(above *bundlesDir) {
	names, err := above.names()
	if err != nil {
		l.warn(err)
		return
	}
	for _, name := range names {
		if _, known := l.done[bundleKey{above, name}]; known || !validID(above.namespace, name) {
			continue
		}
		f := &Found{ID: name, Namespace: above.namespace, listing: l, above: above}
		if f.dir, err = above.open(name); err != nil {
			continue // removed meanwhile, or no directory
		}
		f.Bundle = f.dir.path
		if f.shim = l.shimOf(f); f.shim == nil {
			f.dir.close()
			continue
		}
		l.add(f)
	}
}

// shimOf is the shim whose child the init of a bundle is.
func (l *Listing) shimOf(f *Found) *believed {
	pid, err := parse(f.dir, "init.pid", ParseInitPID)
	if err != nil {
		return nil
	}
	st, err := proc.StatOf(pid)
	if err != nil {
		return nil
	}
	return l.shims[st.PPID]
}

// add adds the container of one bundle.
func (l *Listing) add(f *Found) {
	err := f.findInit()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		f.dir.close()
		if !errors.Is(err, unix.ENOENT) { // else removed, or not started yet
			l.warn(err)
		}
		l.unborn[f.ID] = true
		return
	}
	key := bundleKey{f.above, f.ID}
	i, twice := l.done[key]
	switch {
	case !twice:
		l.done[key] = len(l.Found)
		l.Found = append(l.Found, f)
	case f.served() && !l.Found[i].served():
		l.Found[i].dir.close()
		l.Found[i] = f
	default:
		f.dir.close()
	}
}

// findInit takes the init that the bundle's init.pid names, or where there is no such
// file, the runtime's state.
func (f *Found) findInit() (err error) {
	f.PID, err = parse(f.dir, "init.pid", ParseInitPID)
	if errors.Is(err, unix.ENOENT) {
		if state, errState := f.stateHead(); errState == nil {
			f.PID, f.fromState, err = state.InitPID, true, nil
		}
	}
	return err
}

// Inits yields the PIDs that anybody names as the container's init, the likeliest
// first: the bundle's init.pid, the runtime's state, Docker's files. Any of them may be
// stale; who is content with one has the others not read.
func (f *Found) Inits() iter.Seq[int] {
	return func(yield func(int) bool) {
		if !yield(f.PID) {
			return
		}
		if f.HasShim() {
			if state, err := f.stateHead(); err == nil && !yield(state.InitPID) {
				return
			}
		}
		if d := f.Docker(); d != nil && d.State.Running {
			yield(d.State.Pid)
		}
	}
}

// served reports whether the shim is the parent of the container's init. While a
// container is restarted, two shims stand in bundles of that name: that of the run
// before, or "containerd-shim delete", is not.
func (f *Found) served() bool {
	st, err := proc.StatOf(f.PID)
	return err == nil && st.PPID == f.shim.PID
}
