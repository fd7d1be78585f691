package execspec

import (
	"bytes"
	"errors"
	"path"
	"strings"

	"github.com/moby/sys/user"
	"github.com/opencontainers/runtime-spec/specs-go"

	"dx/dockerx"
	"dx/nsops/launch"
	"dx/nsops/rootfs"
)

// Shells, the best first, that are looked for where a user has no login shell.
var shells = []string{"bash", "zsh", "ash", "sh"}

// FindShell finds the best shell that the container has for the process: the login
// shell of its user, else bash, zsh, ash, sh in its PATH. All of it is looked up in
// the container's root, mounts included; "" if there is none.
func FindShell(c *dockerx.Container, p *specs.Process) (string, error) {
	root, err := c.Root()
	if err != nil {
		return "", err
	}
	defer root.Close()
	login, err := loginShell(root, p.User.UID)
	if err != nil {
		return "", err
	}
	candidates := []string{login}
	for _, name := range shells {
		for _, dir := range searchPath(p.Env) {
			candidates = append(candidates, path.Join(dir, name))
		}
	}
	for _, file := range candidates {
		if !path.IsAbs(file) {
			continue
		}
		info, err := root.Stat(file)
		if errors.Is(err, launch.ErrSilent) {
			return "", err
		}
		if err == nil && info.IsProgram() {
			return file, nil
		}
	}
	return "", nil
}

// loginShell is the first one of the uid in /etc/passwd that is a shell, and not
// nologin or false; "" if there is none.
func loginShell(root *rootfs.Root, uid uint32) (string, error) {
	data, err := root.ReadFile("/etc/passwd")
	if errors.Is(err, launch.ErrSilent) {
		return "", err
	}
	if err != nil {
		return "", nil //nolint:nilerr // an account file that is not there names no shell
	}
	users, err := user.ParsePasswdFilter(bytes.NewReader(data), func(u user.User) bool { return uint32(u.Uid) == uid })
	if err != nil || len(users) == 0 || !path.IsAbs(users[0].Shell) || !strings.HasSuffix(users[0].Shell, "sh") {
		return "", nil //nolint:nilerr // nor does a broken one
	}
	return users[0].Shell, nil
}

func searchPath(env []string) []string {
	list := ""
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, "PATH="); ok {
			list = v
		}
	}
	return strings.Split(list, ":")
}
