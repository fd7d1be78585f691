// Package hostexec brings programs of the host's to a container: tools for an exec in one
// that has none (dx debug), the host's own root beside the container's (dx debug
// --host-tools), and a program in single namespaces (dx exec --ns). The latter two have
// the rights of dx's caller. What docker exec would start does not belong here: that is
// execspec's.
package hostexec

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"dx/dockerx"
	"dx/dockerx/execspec"
	"dx/dockerx/images"
	"dx/nsops/launch"
	"dx/nsops/tools"
)

// ErrNoShell says that the tools that were named have no shell.
var ErrNoShell = errors.New("there is no shell in the tools: name a command")

// Toolkit is a tree of tools on its way into a container.
type Toolkit struct{ tree *tools.Tree }

// OpenToolkit makes the tree of a path, else of an image of the container's engine; of
// the host's static busybox if name is empty.
func OpenToolkit(ctx context.Context, c *dockerx.Container, name string) (*Toolkit, error) {
	tree, err := makeTree(ctx, c, name)
	if err != nil {
		return nil, err
	}
	return &Toolkit{tree}, nil
}

func makeTree(ctx context.Context, c *dockerx.Container, name string) (*tools.Tree, error) {
	if name == "" {
		return tools.Busybox(ctx)
	}
	tree, err := tools.Open(name)
	if !errors.Is(err, fs.ErrNotExist) || path.IsAbs(name) || strings.HasPrefix(name, ".") {
		return tree, err
	}
	layers, err := images.Layers(c, name)
	if errors.Is(err, images.ErrNoImage) {
		return nil, fmt.Errorf("--tools %s: there is no such file, and %w", name, err)
	}
	if err != nil {
		return nil, err
	}
	return tools.Layers("image "+name, layers)
}

// Close gives the tree back.
func (t *Toolkit) Close() error { return t.tree.Close() }

// Launch is what a plan needs of it.
func (t *Toolkit) Launch() *launch.Tools { return &launch.Tools{File: t.tree.File} }

// Shell is the command of the tools' own shell.
func (t *Toolkit) Shell() ([]string, error) {
	file, ok := t.tree.Find("bash", "zsh", "sh", "ash")
	if !ok {
		return nil, fmt.Errorf("%s: %w", t.tree.Origin, ErrNoShell)
	}
	return []string{launch.ToolsRoot + "/" + file}, nil
}

// path is what the tools add to PATH.
func (t *Toolkit) path() string {
	dirs := make([]string, len(t.tree.Dirs))
	for i, dir := range t.tree.Dirs {
		dirs[i] = path.Join(launch.ToolsRoot, dir)
	}
	return strings.Join(dirs, ":")
}

// Environment adds the tools to the PATH of a spec, in front if first, and a prompt that
// says where one is. given is what -e sets.
func (t *Toolkit) Environment(spec *execspec.Spec, container string, given []string, first bool) {
	env := spec.Process.Env
	i := lastVariable(env, "PATH")
	switch {
	case i < 0:
		env = append(env, "PATH="+t.path())
	case first:
		env[i] = "PATH=" + t.path() + ":" + strings.TrimPrefix(env[i], "PATH=")
	default:
		env[i] += ":" + t.path()
	}
	spec.Origins["Env[PATH]"] += ", and the tools of " + t.tree.Origin
	spec.Process.Env = withPrompt(env, given, "dx debug "+plainName(container))
}

// HasProc reports whether a container has a procfs at /proc, which leads to the tools.
func HasProc(c *dockerx.Container) (bool, error) {
	root, err := c.Root()
	if err != nil {
		return false, err
	}
	defer root.Close()
	info, err := root.Stat("/proc")
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return false, nil
	}
	return info.FS.Type == unix.PROC_SUPER_MAGIC, err
}

func lastVariable(env []string, name string) int {
	for i, v := range slices.Backward(env) {
		if strings.HasPrefix(v, name+"=") {
			return i
		}
	}
	return -1
}

// withPrompt sets PS1, unless what was given does.
func withPrompt(env, given []string, where string) []string {
	if lastVariable(given, "PS1") >= 0 {
		return env
	}
	env = slices.DeleteFunc(env, func(v string) bool { return strings.HasPrefix(v, "PS1=") })
	return append(env, "PS1="+where+`:\w \$ `)
}

// plainName leaves nothing of a name that a shell would expand in its prompt.
func plainName(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("_.:-", r):
			return r
		}
		return '?'
	}, name)
}

// withVariables sets variables in an environment; a bare NAME removes one.
func withVariables(env, set []string) []string {
	for _, v := range set {
		name, _, given := strings.Cut(v, "=")
		env = slices.DeleteFunc(env, func(old string) bool { return strings.HasPrefix(old, name+"=") })
		if given {
			env = append(env, v)
		}
	}
	return env
}
