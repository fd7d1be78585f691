// Package images finds the layers of an image in the files of a container's engine:
// no daemon is asked. What becomes of the layers is not its matter: see nsops/tools.
package images

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"dx/dockerx"
	"dx/dockerx/docker"
	"dx/dockerx/host"
	"dx/dockerx/membership"
)

// ErrNoImage says that the engine has no such image.
var ErrNoImage = errors.New("no such image in the engine's data root")

// defaultDataRoot is dockerd's.
const defaultDataRoot = "/var/lib/docker"

// Layers returns the directories of the layers of an image that the container's
// engine has, the topmost first. A process that is in no Docker container has the
// images of the default data root.
func Layers(c *dockerx.Container, ref string) ([]string, error) {
	dir, name, err := openDataRoot(c)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", ref, err)
	}
	defer dir.Close()
	return layersIn(dir, name, ref)
}

func openDataRoot(c *dockerx.Container) (dir *os.File, name string, err error) {
	bundle, err := membership.BundleOf(c.Process)
	if err == nil {
		defer bundle.Close()
		if dir, name, err = bundle.DataRoot(); err == nil {
			return dir, name, nil
		}
	}
	if !errors.Is(err, host.ErrNoBundle) && !errors.Is(err, fs.ErrNotExist) {
		return nil, "", err
	}
	dir, err = os.OpenFile(defaultDataRoot, unix.O_PATH|unix.O_DIRECTORY, 0)
	return dir, defaultDataRoot, err
}

// layersIn finds the directories of an image's layers, the topmost first, by the
// files of dockerd's own image store with the overlay2 driver (moby image/store.go,
// layer/filestore.go). They are absolute paths: name is what the data root is called.
func layersIn(dataRoot *os.File, name, ref string) ([]string, error) {
	repositories, err := host.ReadInRoot(dataRoot, "/image/overlay2/repositories.json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: dockerd keeps no images of the overlay2 driver there: %w", name, err)
	}
	if err != nil {
		return nil, err
	}
	id, err := parseRepositories(repositories, ref)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w (%s)", ref, err, name)
	}
	config, err := host.ReadInRoot(dataRoot, "/image/overlay2/imagedb/content/sha256/"+id)
	if err != nil {
		return nil, err
	}
	chain, err := parseChain(config)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", ref, err)
	}
	dirs := make([]string, 0, len(chain))
	for _, id := range chain {
		dir, err := layerDir(dataRoot, name, id)
		if err != nil {
			return nil, fmt.Errorf("image %s: %w", ref, err)
		}
		dirs = append(dirs, dir)
	}
	return dirs, nil
}

// layerDir is the directory of one layer, which must be the same one by its path here
// and in the data root: an engine may live in another mount namespace.
func layerDir(dataRoot *os.File, name, chainID string) (string, error) {
	b, err := host.ReadInRoot(dataRoot, "/image/overlay2/layerdb/sha256/"+chainID+"/cache-id")
	if err != nil {
		return "", err
	}
	cache := strings.TrimSpace(string(b))
	if cache == "" || strings.ContainsAny(cache, "/.") {
		return "", fmt.Errorf("layer %s has an impossible cache-id %q", chainID, cache)
	}
	inside := path.Join("overlay2", cache, "diff")
	dir, err := host.OpenDirInRoot(dataRoot, "/"+inside)
	if err != nil {
		return "", err
	}
	defer dir.Close()
	there, err := dir.Stat()
	if err != nil {
		return "", err
	}
	here, err := os.Stat(path.Join(name, inside))
	if err != nil || !os.SameFile(there, here) {
		return "", fmt.Errorf("%s is another directory in the engine's mount namespace than here; run dx in that one", path.Join(name, inside))
	}
	return path.Join(name, inside), nil
}

// parseRepositories finds the ID of an image, 64 hex digits, by a name as docker
// takes it (image/overlay2/repositories.json). ErrNoImage if there is none.
func parseRepositories(b []byte, ref string) (string, error) {
	var f struct {
		Repositories map[string]map[string]string
	}
	if err := json.Unmarshal(b, &f); err != nil {
		return "", err
	}
	repository, full := familiar(ref)
	digest, ok := strings.CutPrefix(f.Repositories[repository][full], "sha256:")
	if !ok {
		if digest, ok = strings.CutPrefix(ref, "sha256:"); !ok {
			return "", ErrNoImage
		}
	}
	if !docker.IsID(digest) {
		return "", fmt.Errorf("%q is no ID of an image", digest)
	}
	return digest, nil
}

// familiar splits an image's name as repositories.json has it: "busybox" for
// docker.io/library/busybox, and "busybox:latest".
func familiar(ref string) (repository, full string) {
	for _, prefix := range []string{"index.docker.io/", "docker.io/", "library/"} {
		ref = strings.TrimPrefix(ref, prefix)
	}
	if repository, _, ok := strings.Cut(ref, "@"); ok {
		return repository, ref
	}
	if i := strings.LastIndexByte(ref, ':'); i > strings.LastIndexByte(ref, '/') {
		return ref[:i], ref
	}
	return ref, ref + ":latest"
}

// parseChain computes the chain IDs of an image's layers from its configuration,
// the topmost first (OCI image-spec, config.md, "Layer ChainID").
func parseChain(b []byte) ([]string, error) {
	var config struct {
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		} `json:"rootfs"`
	}
	if err := json.Unmarshal(b, &config); err != nil {
		return nil, err
	}
	chain := make([]string, len(config.RootFS.DiffIDs))
	last := ""
	for i, diff := range config.RootFS.DiffIDs {
		id, ok := strings.CutPrefix(diff, "sha256:")
		if !ok || !docker.IsID(id) {
			return nil, fmt.Errorf("impossible diff_id %q", diff)
		}
		if i > 0 {
			sum := sha256.Sum256([]byte("sha256:" + last + " " + diff))
			id = hex.EncodeToString(sum[:])
		}
		last = id
		chain[len(chain)-1-i] = id
	}
	if len(chain) == 0 {
		return nil, errors.New("it has no layers")
	}
	return chain, nil
}
