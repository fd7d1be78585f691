package main

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
	"dx/nsops/rootfs"
	"dx/nsops/tools"
)

// errNoShell says that the tools that were named have no shell.
var errNoShell = errors.New("there is no shell in the tools: name a command")

// toolbox is a tree of tools on its way into a container.
type toolbox struct{ tree *tools.Tree }

// openTools makes the tree that --tools names: a path, else an image of the
// container's engine.
func openTools(ctx context.Context, c *dockerx.Container, name string) (*toolbox, error) {
	tree, err := makeTree(ctx, c, name)
	if err != nil {
		return nil, &toolsError{err}
	}
	return &toolbox{tree}, nil
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

func (t *toolbox) close() { t.tree.Close() }

func (t *toolbox) launch() *launch.Tools { return &launch.Tools{File: t.tree.File} }

// shell is the tools' own shell.
func (t *toolbox) shell() ([]string, error) {
	file, ok := t.tree.Find("bash", "zsh", "sh", "ash")
	if !ok {
		return nil, fmt.Errorf("%s: %w", t.tree.Origin, errNoShell)
	}
	return []string{launch.ToolsRoot + "/" + file}, nil
}

// path is what the tools add to PATH.
func (t *toolbox) path() string {
	dirs := make([]string, len(t.tree.Dirs))
	for i, dir := range t.tree.Dirs {
		dirs[i] = path.Join(launch.ToolsRoot, dir)
	}
	return strings.Join(dirs, ":")
}

// environment adds the tools to PATH, and a prompt that says where one is.
func (t *toolbox) environment(spec *execspec.Spec, e *execRequest, first bool) {
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
	spec.Process.Env = withPrompt(env, e, "dx debug")
}

func lastVariable(env []string, name string) int {
	for i, v := range slices.Backward(env) {
		if strings.HasPrefix(v, name+"=") {
			return i
		}
	}
	return -1
}

// withPrompt sets PS1, unless -e does.
func withPrompt(env []string, e *execRequest, verb string) []string {
	if lastVariable(e.env, "PS1") >= 0 {
		return env
	}
	env = slices.DeleteFunc(env, func(v string) bool { return strings.HasPrefix(v, "PS1=") })
	return append(env, "PS1="+verb+" "+plainName(e.container.Name)+`:\w \$ `)
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

// hasProc says whether the container has a procfs at /proc.
func hasProc(c *dockerx.Container) (bool, error) {
	root, err := rootfs.Open(c.Process, c.Deputy(), c.Name)
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
