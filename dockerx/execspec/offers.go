package execspec

import (
	"bytes"
	"context"
	"path"

	"github.com/moby/sys/user"

	"dx/dockerx"
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
	var out []string
	for _, dir := range searchPath(spec.Process.Env) {
		if !path.IsAbs(dir) {
			continue
		}
		names, err := root.ReadDir(dir)
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
