package host

import (
	"os"
	"path"

	"github.com/opencontainers/runtime-spec/specs-go"

	"dx/dockerx/docker"
	"dx/nsops"
	"dx/nsops/proc"
)

// bundlesDir is a directory of bundles: …/io.containerd.runtime.v2.task/<namespace>. All
// that lie in it are one engine's, so that what one of them has led to, through its
// shim's root, is there for all and held open.
type bundlesDir struct {
	handle
	id        nsops.ID
	namespace string

	containers *dockersDir // the latest that was found; nil: not known yet
	former     []dockersDir

	// config.json of the first bundle of which it was read, and whose that is: no more than
	// one for each directory, as it may take a hundred kilobytes.
	spec   *specs.Spec
	specOf string

	root   *os.File // of that bundle's shim, for who reads the runtime's state next
	rootOf string
}

// dockersDir is a <data-root>/containers.
type dockersDir struct {
	handle
	id nsops.ID
}

// bundlesDirOf is the directory above a bundle, also where the bundle has been removed.
func (l *Listing) bundlesDirOf(bundle *bundleDir) (*bundlesDir, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, known := range l.dirs {
		if known.id == bundle.above {
			return known, nil
		}
	}
	dir, err := bundle.open("..")
	if err != nil {
		return nil, err
	}
	dir.path = path.Dir(bundle.path)
	f := &bundlesDir{handle: dir, id: bundle.above, namespace: bundle.namespace}
	l.dirs = append(l.dirs, f)
	return f, nil
}

func (f *bundlesDir) closeAll() {
	f.close()
	if f.containers != nil {
		f.containers.close()
		f.containers = nil // who still asks goes by the path
	}
	for _, dir := range f.former {
		dir.close()
	}
	if f.root != nil {
		f.root.Close()
	}
}

// bundle is the container's, whose descriptors stay the listing's.
func (f *Found) bundle() *Bundle {
	if f.record != nil {
		return &Bundle{ID: f.ID, Path: f.Bundle, Shim: f.shim.Process, dir: f.dir, Manager: f.engine.Manager, record: f.record}
	}
	return &Bundle{ID: f.ID, Namespace: f.Namespace, Path: f.Bundle, Shim: f.shim.Process, dir: f.dir}
}

// BundleOf returns the bundle that Open would find for a process, with what the listing
// has opened and read already; ErrNoBundle if it is not so clear that the process is its
// init. That the bundle names the process still is for the caller to see (StateHead).
func (f *Found) BundleOf(p *proc.Process) (*Bundle, error) {
	if f.record != nil {
		if !f.record.names(p) {
			return nil, ErrNoBundle
		}
		return bundleBy(f.record, p)
	}
	if f.shim == nil || f.fromState || p.PID != f.PID {
		return nil, ErrNoBundle
	}
	shimStatus, err := f.shim.Status()
	if err != nil {
		return nil, ErrNoBundle
	}
	status, err := p.Status()
	if err != nil {
		return nil, err
	}
	// The shim has had its number since before that: it is the parent, and no other.
	if status.PPID != f.shim.PID || f.shim.Alive() != nil {
		return nil, ErrNoBundle
	}
	b := f.bundle()
	b.Status, b.ShimStatus = status, shimStatus
	if b.Shim, err = f.shim.Dup(); err != nil {
		return nil, err
	}
	if b.dir, err = f.dir.dup(); err != nil {
		b.Shim.Close()
		return nil, err
	}
	f.handDown(b)
	return b, nil
}

// handDown gives a bundle what the listing has read of it.
func (f *Found) handDown(b *Bundle) {
	f.listing.mu.Lock()
	defer f.listing.mu.Unlock()
	if f.above.specOf == f.ID {
		b.spec = f.above.spec
	}
	if f.above.rootOf == f.ID {
		b.root, f.above.root, f.above.rootOf = f.above.root, nil, ""
	}
	if f.docker == nil || f.above.containers == nil || f.root != f.above.containers.id {
		return
	}
	if dir, err := f.above.containers.dup(); err == nil {
		b.docker, b.containers = f.docker, &dir
	}
}

// stateHead reads of the runtime's state who the init process is.
func (f *Found) stateHead() (*State, error) {
	b := f.bundle()
	defer b.closeState()
	return b.StateHead()
}

// keepRoot keeps what was opened of a shim's root, no more than one for each directory.
func (f *Found) keepRoot(b *Bundle) {
	switch {
	case b.root == nil:
	case f.above.root == nil:
		f.above.root, f.above.rootOf = b.root, f.ID
	default:
		b.closeRoot()
	}
}

// readDocker reads config.v2.json from where the bundle's config.json leads to.
func (f *Found) readDocker() (*docker.Container, error) {
	b := f.bundle()
	spec, err := b.Spec()
	if err != nil {
		return nil, err
	}
	if f.above.spec == nil {
		f.above.spec, f.above.specOf = spec, f.ID
	}
	f.identify(spec.Annotations)
	containers, err := b.openContainers(spec)
	f.keepRoot(b)
	if err != nil {
		return nil, err
	}
	if f.above.containers != nil { // somebody may be reading there
		f.above.former = append(f.above.former, *f.above.containers)
	}
	f.above.containers = &dockersDir{containers, containers.at()}
	f.root = f.above.containers.id
	return readConfig(containers, f.ID)
}
