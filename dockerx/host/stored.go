package host

import (
	"errors"
	"fmt"
	"io/fs"
	"path"

	"golang.org/x/sys/unix"

	"dx/dockerx/docker"
)

// defaultContainers is where dockerd keeps its containers if nobody says otherwise.
const defaultContainers = "/var/lib/docker/containers"

// Stored reads what Docker keeps of all its containers, also of those that do not
// run: from the data roots of those that were found, and from the default one. What
// cannot be read is reported to warn and hides nothing else.
func Stored(found []*Found, warn func(error)) []*docker.Container {
	roots := []string{defaultContainers}
	known := map[string]bool{}
	var out []*docker.Container
	for _, f := range found {
		if d := f.Docker(); d != nil && !known[d.ID] {
			roots = append(roots, path.Dir(path.Dir(d.Origin)))
			known[d.ID] = true
			out = append(out, d)
		}
	}
	seen := map[string]bool{}
	for _, root := range roots {
		if seen[root] {
			continue
		}
		seen[root] = true
		list, err := storedIn(root, known, warn)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			warn(err)
		}
		out = append(out, list...)
	}
	return out
}

// storedIn reads those that are not known yet.
func storedIn(root string, known map[string]bool, warn func(error)) ([]*docker.Container, error) {
	fd, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", root, err)
	}
	dir := handle{fd: fd, path: root}
	defer dir.close()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || !trusted(&st) {
		return nil, fmt.Errorf("%s: it is %w: %w", root, ErrForeign, fs.ErrNotExist)
	}
	names, err := dir.names()
	if err != nil {
		return nil, err
	}
	var out []*docker.Container
	for _, name := range names {
		if !docker.IsID(name) || known[name] {
			continue
		}
		d, err := storedContainer(dir, name)
		switch {
		case err == nil:
			out = append(out, d)
		case !errors.Is(err, fs.ErrNotExist): // removed meanwhile
			warn(err)
		}
	}
	return out, nil
}

func storedContainer(containers handle, id string) (*docker.Container, error) {
	dir, err := containers.open(id)
	if err != nil {
		return nil, err
	}
	defer dir.close()
	return readConfig(dir, id)
}
