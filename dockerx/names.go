package dockerx

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"

	"dx/dockerx/host"
)

// NameFiles reads the files by which a container turns names into addresses
// (resolv.conf(5), hosts(5)), by their paths. One that it lacks is left out.
func (c *Container) NameFiles() (map[string][]byte, error) {
	root, err := c.Process.OpenFile("root", unix.O_PATH)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	files := map[string][]byte{}
	for _, path := range []string{"/etc/resolv.conf", "/etc/hosts"} {
		b, err := host.ReadInRoot(root, path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s of %s: %w", path, c.Name, err)
		}
		files[path] = b
	}
	return files, nil
}
