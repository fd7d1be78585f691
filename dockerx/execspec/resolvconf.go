package execspec

import (
	"errors"
	"io/fs"

	"dx/dockerx"
)

// NameFiles reads the files by which a container turns names into addresses
// (resolv.conf(5), hosts(5)), by their paths. One that it lacks is left out.
func NameFiles(c *dockerx.Container) (map[string][]byte, error) {
	root, err := c.Root()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	files := map[string][]byte{}
	for _, path := range []string{"/etc/resolv.conf", "/etc/hosts"} {
		b, err := root.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		files[path] = b
	}
	return files, nil
}
