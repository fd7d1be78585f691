package host

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
)

// defaultContainers is where dockerd keeps its containers if nobody says otherwise.
const defaultContainers = "/var/lib/docker/containers"

// Stored reads what Docker keeps of all its containers, also of those that do not
// run: from the data roots of those that do, and from the default one. What cannot
// be read is reported to warn and hides nothing else.
func Stored(running []Found, warn func(error)) []*Docker {
	roots := []string{defaultContainers}
	for i := range running {
		if d := running[i].Docker; d != nil {
			roots = append(roots, path.Dir(path.Dir(d.Path)))
		}
	}
	seen := map[string]bool{}
	var out []*Docker
	for _, root := range roots {
		if seen[root] {
			continue
		}
		seen[root] = true
		list, err := storedIn(root, warn)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			warn(err)
		}
		out = append(out, list...)
	}
	return out
}

func storedIn(root string, warn func(error)) ([]*Docker, error) {
	dir, err := os.Open(root)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(maxBundles)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("list %s: %w", root, err)
	}
	var out []*Docker
	for _, name := range names {
		if !IsID(name) {
			continue
		}
		d, err := storedContainer(dir, root, name)
		switch {
		case err == nil:
			out = append(out, d)
		case !errors.Is(err, fs.ErrNotExist): // removed meanwhile
			warn(err)
		}
	}
	return out, nil
}

func storedContainer(dir *os.File, root, id string) (*Docker, error) {
	f, err := openDirAt(dir, id)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readDocker(f, path.Join(root, id))
}
