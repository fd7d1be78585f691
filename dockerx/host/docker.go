package host

import (
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"dx/dockerx/docker"
)

// containersDir finds <data-root>/containers in the mounts of a bundle: dockerd
// binds resolv.conf, hostname and hosts from <data-root>/containers/<id>. With
// --network container:X the <id> is X's, so only the directory above counts.
func containersDir(mounts []specs.Mount) (string, bool) {
	for _, m := range mounts {
		switch m.Destination {
		case "/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/dev/shm":
			if dir, ok := containersDirOf(m.Source); ok {
				return dir, true
			}
		}
	}
	return "", false
}

// containersDirOf cuts "/containers/<id>/…" off: dir ends with "/containers". The
// kernel appends "//deleted" to what has been removed: another directory may have that
// name now.
func containersDirOf(file string) (dir string, ok bool) {
	const part = "/containers/"
	i := strings.LastIndex(file, part)
	if i < 0 || !path.IsAbs(file) || strings.HasSuffix(file, "//deleted") {
		return "", false
	}
	id, _, _ := strings.Cut(file[i+len(part):], "/")
	if !docker.IsID(id) {
		return "", false
	}
	return file[:i+len(part)-1], true
}

// DataRoot opens the data root of the engine that has made the container: the
// directory in which <data-root>/containers lies. os.ErrNotExist if it is not Docker's
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
	dir, err = OpenDirInRoot(root, name)
	return dir, name, err
}
