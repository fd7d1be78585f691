package host

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"dx/dockerx/docker"
)

// ErrNoImage says that the engine has no such image.
var ErrNoImage = errors.New("no such image in the engine's data root")

// DefaultDataRoot is dockerd's.
const DefaultDataRoot = "/var/lib/docker"

// DataRoot opens the data root of the engine that has made the container: the
// folder in which <data-root>/containers lies. os.ErrNotExist if it is not Docker's
// container. The path is as the shim's root names it.
func (b *Bundle) DataRoot() (dir *os.File, name string, err error) {
	spec, err := b.Spec()
	if err != nil {
		return nil, "", err
	}
	containers, ok := containersDir(spec.Mounts)
	if !ok {
		return nil, "", fmt.Errorf("no mount of %s/config.json leads to Docker's files: %w", b.Path, os.ErrNotExist)
	}
	root, err := b.shimRoot()
	if err != nil {
		return nil, "", err
	}
	defer root.Close()
	name = path.Dir(containers)
	dir, err = openDirIn(root, name)
	return dir, name, err
}

// ImageLayers finds the folders of an image's layers, the topmost first, by the
// files of dockerd's own image store with the overlay2 driver (moby image/store.go,
// layer/filestore.go). They are absolute paths: name is what the data root is called.
func ImageLayers(dataRoot *os.File, name, ref string) ([]string, error) {
	repositories, err := ReadInRoot(dataRoot, "/image/overlay2/repositories.json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: dockerd keeps no images of the overlay2 driver there: %w", name, err)
	}
	if err != nil {
		return nil, err
	}
	id, err := ParseRepositories(repositories, ref)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w (%s)", ref, err, name)
	}
	config, err := ReadInRoot(dataRoot, "/image/overlay2/imagedb/content/sha256/"+id)
	if err != nil {
		return nil, err
	}
	chain, err := ParseChain(config)
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

// layerDir is the folder of one layer, which must be the same one by its path here
// and in the data root: an engine may live in another mount namespace.
func layerDir(dataRoot *os.File, name, chainID string) (string, error) {
	b, err := ReadInRoot(dataRoot, "/image/overlay2/layerdb/sha256/"+chainID+"/cache-id")
	if err != nil {
		return "", err
	}
	cache := strings.TrimSpace(string(b))
	if cache == "" || strings.ContainsAny(cache, "/.") {
		return "", fmt.Errorf("layer %s has an impossible cache-id %q", chainID, cache)
	}
	inside := path.Join("overlay2", cache, "diff")
	dir, err := openDirIn(dataRoot, "/"+inside)
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
		return "", fmt.Errorf("%s is another folder in the engine's mount namespace than here; run dx in that one", path.Join(name, inside))
	}
	return path.Join(name, inside), nil
}

// ParseRepositories finds the ID of an image, 64 hex digits, by a name as docker
// takes it (image/overlay2/repositories.json). ErrNoImage if there is none.
func ParseRepositories(b []byte, ref string) (string, error) {
	var f struct {
		Repositories map[string]map[string]string
	}
	if err := decode(b, &f); err != nil {
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

// ParseChain computes the chain IDs of an image's layers from its configuration,
// the topmost first (OCI image-spec, config.md, "Layer ChainID").
func ParseChain(b []byte) ([]string, error) {
	var config struct {
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		} `json:"rootfs"`
	}
	if err := decode(b, &config); err != nil {
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
