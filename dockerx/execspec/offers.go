package execspec

import (
	"bytes"
	"context"
	"errors"
	"path"

	"github.com/moby/sys/user"

	"dx/dockerx"
	"dx/nsops/launch"
)

// Programs returns the names of the files in the directories in which an exec looks its
// command up: PATH of the container, in its root. A directory that cannot be read has
// none. Whether a file may be executed is not looked at: it would take a call for each.
func Programs(ctx context.Context, c *dockerx.Container) ([]string, error) {
	spec, err := Of(ctx, c, Options{Args: []string{"sh"}})
	if err != nil {
		return nil, err
	}
	root, err := c.Root()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return programsIn(searchPath(spec.Process.Env), root.ReadDir)
}

// maxPath bounds how many directories of PATH are listed: an image may name thousands.
const maxPath = 64

// programsIn lists each directory once, and no other after one that does not answer.
func programsIn(dirs []string, list func(dir string) ([]string, error)) ([]string, error) {
	var out []string
	seen := map[string]bool{}
	for _, dir := range dirs {
		if dir = path.Clean(dir); !path.IsAbs(dir) || seen[dir] || len(seen) == maxPath {
			continue
		}
		seen[dir] = true
		names, err := list(dir)
		if errors.Is(err, launch.ErrSilent) {
			return out, err
		}
		if err == nil {
			out = append(out, names...)
		}
	}
	return out, nil
}

// Users returns the names in the container's /etc/passwd.
func Users(c *dockerx.Container) ([]string, error) {
	root, err := c.Root()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	accounts, err := readAccounts(root)
	if err != nil {
		return nil, err
	}
	users, err := user.ParsePasswd(bytes.NewReader(accounts.Passwd))
	var out []string
	for _, u := range users {
		out = append(out, u.Name)
	}
	return out, err
}
