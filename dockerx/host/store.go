package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"dx/dockerx/docker"
	"dx/nsops"
	"dx/nsops/overlay"
)

// Store is what a dockerd keeps of one container, whether it runs or not: its data root,
// open.
type Store struct {
	ID         string
	containers handle // <data-root>/containers
	root       handle // <data-root>
}

// OpenStore opens the data root in which a container is kept, of those that Recorded
// reads. whose is its engine; zero: any. os.ErrNotExist if none has it.
func OpenStore(found []*Found, daemons []Daemon, whose Engine, id string) (*Store, error) {
	var hits []*Store
	var failed []error
	s := stored{warn: func(err error) { failed = append(failed, err) }, known: map[recordKey]bool{}, seen: map[nsops.ID]bool{}}
	s.visit = func(dir handle) {
		if whose.Docker && whose.At != dir.at() || unix.Faccessat(dir.fd, id, unix.F_OK, 0) != nil {
			return
		}
		if store, err := openStore(dir, id); err != nil {
			s.report(err)
		} else {
			hits = append(hits, store)
		}
	}
	if docker.IsID(id) {
		s.walk(found, daemons)
	}
	switch len(hits) {
	case 0:
		if len(failed) > 0 {
			return nil, fmt.Errorf("what dockerd keeps of container %s: %w", short(id), failed[0])
		}
		return nil, fmt.Errorf("no data root of a dockerd on this host has container %s: %w", short(id), os.ErrNotExist)
	case 1:
		return hits[0], nil
	}
	var roots []string
	for _, hit := range hits {
		roots = append(roots, hit.root.path)
		hit.Close()
	}
	return nil, fmt.Errorf("container %s is kept in several data roots: %s", short(id), strings.Join(roots, ", "))
}

func openStore(containers handle, id string) (*Store, error) {
	s := &Store{ID: id}
	var err error
	if s.root, err = containers.open(".."); err != nil {
		return nil, err
	}
	s.root.path = strings.TrimSuffix(containers.path, "/containers")
	if s.containers, err = containers.dup(); err != nil {
		s.root.close()
		return nil, err
	}
	return s, nil
}

// Close releases it.
func (s *Store) Close() error {
	s.containers.close()
	s.root.close()
	return nil
}

// DriverError says that a container's layers are kept in a way that dx does not know.
type DriverError struct{ ID, Driver string }

func (e *DriverError) Error() string {
	if e.Driver == "" {
		return fmt.Sprintf("dockerd keeps the layers of container %s elsewhere than below its data root (as with containerd's image store)", short(e.ID))
	}
	return fmt.Sprintf("the layers of container %s are kept by the storage driver %s, which only dockerd can read", short(e.ID), e.Driver)
}

// Layers opens the layers of the container's root file system (moby, layer/filestore.go and
// daemon/graphdriver): those of the drivers overlay2 and vfs. Else it is a DriverError.
func (s *Store) Layers() (overlay.Layers, error) {
	for _, driver := range []string{"overlay2", "vfs"} {
		mount := "image/" + driver + "/layerdb/mounts/" + s.ID
		id, err := s.cacheID(mount, "mount-id")
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return overlay.Layers{}, err
		}
		if driver == "overlay2" {
			return s.overlay2(id)
		}
		init, err := s.cacheID(mount, "init-id")
		if err != nil {
			return overlay.Layers{}, err
		}
		l, err := s.open("vfs/dir/"+id, []string{"vfs/dir/" + init})
		l.Whole = true
		return l, err
	}
	return overlay.Layers{}, &DriverError{ID: s.ID, Driver: s.otherDriver()}
}

// cacheID reads what a layer's directory is called.
func (s *Store) cacheID(dir, file string) (string, error) {
	b, err := s.root.readIn(dir, file)
	if err != nil {
		return "", err
	}
	id := strings.TrimSpace(string(b))
	if id == "" || id[0] == '.' || strings.Contains(id, "/") {
		return "", fmt.Errorf("%s/%s/%s has an impossible ID %q", s.root.path, dir, file, id)
	}
	return id, nil
}

// overlay2 takes the layers below from the file lower: links in the directory l, so that
// they are short enough for mount(2).
func (s *Store) overlay2(id string) (overlay.Layers, error) {
	b, err := s.root.readIn("overlay2/"+id, "lower")
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // an image without layers
		return overlay.Layers{}, err
	}
	var lower []string
	for link := range strings.SplitSeq(strings.TrimSpace(string(b)), ":") {
		if link != "" && len(lower) < maxLayers {
			lower = append(lower, "overlay2/"+link)
		}
	}
	return s.open("overlay2/"+id+"/diff", lower)
}

// maxLayers is what overlayfs itself allows (OVL_MAX_STACK).
const maxLayers = 500

// open opens directories of the data root to be listed. Links lead nowhere out of it.
func (s *Store) open(upper string, lower []string) (l overlay.Layers, err error) {
	root, err := s.root.reopen()
	if err != nil {
		return l, err
	}
	defer root.Close()
	if l.Upper, err = listable(root, upper); err != nil {
		return l, err
	}
	for _, name := range lower {
		f, err := listable(root, name)
		if err != nil {
			l.Close()
			return overlay.Layers{}, err
		}
		l.Lower = append(l.Lower, f)
	}
	return l, nil
}

// otherDriver names the driver whose layers the container has; empty: none that dockerd
// keeps itself.
func (s *Store) otherDriver() string {
	dir, err := s.root.open("image")
	if err != nil {
		return ""
	}
	defer dir.close()
	names, _ := dir.names()
	for _, name := range names {
		if unix.Faccessat(dir.fd, name+"/layerdb/mounts/"+s.ID, unix.F_OK, 0) == nil {
			return name
		}
	}
	return ""
}
