package host

import (
	"path"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"dx/dockerx/docker"
)

// containersDir finds <data-root>/containers in the mounts of a bundle: dockerd
// binds resolv.conf, hostname and hosts from <data-root>/containers/<id>. With
// --network container:X the <id> is X's, so only the folder above counts.
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
	const folder = "/containers/"
	i := strings.LastIndex(file, folder)
	if i < 0 || !path.IsAbs(file) || strings.HasSuffix(file, "//deleted") {
		return "", false
	}
	id, _, _ := strings.Cut(file[i+len(folder):], "/")
	if !docker.IsID(id) {
		return "", false
	}
	return file[:i+len(folder)-1], true
}
