package host

import (
	"strings"

	"dx/dockerx/docker"
	"dx/nsops"
)

// LayerIndex finds the containers whose writable layers lie in the data roots of dockerds.
type LayerIndex struct {
	owners map[string]string // directory, as the engine's root names it → container
}

// NewLayerIndex reads what the layers of all containers are called (moby,
// layer/filestore.go), running or not.
func NewLayerIndex(found []*Found, daemons []Daemon) LayerIndex {
	x := LayerIndex{owners: map[string]string{}}
	s := stored{warn: func(error) {}, known: map[recordKey]bool{}, seen: map[nsops.ID]bool{}, visit: x.add}
	s.walk(found, daemons)
	return x
}

// driverDirs are where the drivers keep their layers.
var driverDirs = map[string]string{"overlay2": "overlay2", "vfs": "vfs/dir"}

func (x LayerIndex) add(containers handle) {
	root, err := containers.open("..")
	if err != nil {
		return
	}
	defer root.close()
	name := strings.TrimSuffix(containers.path, "/containers")
	for driver, layers := range driverDirs {
		image, err := root.open("image")
		if err != nil {
			return
		}
		mounts, err := handleAt(image, driver, "layerdb", "mounts")
		if err != nil {
			continue
		}
		ids, _ := mounts.names()
		for _, id := range ids {
			if !docker.IsID(id) {
				continue
			}
			if layer, err := mounts.readIn(id, "mount-id"); err == nil {
				x.owners[name+"/"+layers+"/"+strings.TrimSpace(string(layer))] = id
			}
		}
		mounts.close()
	}
}

// handleAt opens one directory in another, name by name, and closes the first.
func handleAt(at handle, names ...string) (handle, error) {
	for _, name := range names {
		next, err := at.open(name)
		at.close()
		if err != nil {
			return next, err
		}
		at = next
	}
	return at, nil
}

// Of returns the ID of the container in whose layer a path lies; empty: in none's.
func (x LayerIndex) Of(path string) string {
	for dir, id := range x.owners {
		if nsops.Below(path, dir) || nsops.Below(path, dir+"-init") {
			return id
		}
	}
	return ""
}
