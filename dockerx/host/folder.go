package host

import (
	"path"

	"dx/dockerx/docker"
	"dx/nsops"
)

// folder is a folder of bundles: …/io.containerd.runtime.v2.task/<namespace>. All
// that lie in it are one engine's, so that what one of them has led to, through its
// shim's root, is there for all and held open.
type folder struct {
	handle
	id        nsops.ID
	namespace string

	containers *handle // <data-root>/containers; nil: not known yet
}

// folderOf is the folder above a bundle, also where the bundle has been removed.
func (l *Listing) folderOf(bundle *bundleDir) (*folder, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, known := range l.folders {
		if known.id == bundle.folder {
			return known, nil
		}
	}
	dir, err := bundle.open("..")
	if err != nil {
		return nil, err
	}
	dir.path = path.Dir(bundle.path)
	f := &folder{handle: dir, id: bundle.folder, namespace: bundle.namespace}
	l.folders = append(l.folders, f)
	return f, nil
}

func (f *folder) closeAll() {
	f.close()
	if f.containers != nil {
		f.containers.close()
	}
}

// bundle is the container's, whose descriptors stay the listing's.
func (f *Found) bundle() *Bundle {
	return &Bundle{ID: f.ID, Namespace: f.Namespace, Path: f.Bundle, Shim: f.shim, dir: f.dir}
}

// stateHead reads of the runtime's state who the init process is.
func (f *Found) stateHead() (*State, error) {
	b := f.bundle()
	defer b.closeState()
	return b.StateHead()
}

// readDocker reads config.v2.json. Once the data root is known, the long config.json
// need not be read.
func (f *Found) readDocker() (*docker.Container, error) {
	if f.folder.containers != nil {
		if d, err := storedContainer(*f.folder.containers, f.ID); err == nil {
			f.root = f.folder.containers.at()
			return d, nil
		}
	}
	b := f.bundle()
	spec, err := b.Spec()
	if err != nil {
		return nil, err
	}
	f.alias = spec.Annotations["nerdctl/name"]
	containers, err := b.containers(spec)
	if err != nil {
		return nil, err
	}
	if f.folder.containers != nil {
		f.folder.containers.close()
	}
	f.folder.containers = &containers
	f.root = containers.at()
	return storedContainer(containers, f.ID)
}
