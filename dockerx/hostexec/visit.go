package hostexec

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"

	"dx/dockerx"
	"dx/dockerx/execspec"
	"dx/dockerx/exposure"
	"dx/nsops"
	"dx/nsops/launch"
	"dx/nsops/proc"
)

// Visit is a program of the host's in single namespaces of a container, with the caller's
// own rights and, but for what these namespaces change, the host's files.
type Visit struct {
	*launch.Visit
	Root     *os.File // of the command
	UID, GID int      // the caller's

	target *launch.Target
}

// NewVisit opens what a visit needs.
func NewVisit(c *dockerx.Container, o Options) (*Visit, error) {
	target, err := launch.OpenTarget(c.Process, nil, o.Namespaces)
	if err != nil {
		return nil, fmt.Errorf("cannot open %s: %w", c.String(), err)
	}
	v := &Visit{target: target}
	if err := v.plan(c, o); err != nil {
		v.Close()
		return nil, err
	}
	return v, nil
}

// Close closes the visit's files.
func (v *Visit) Close() {
	if v.Root != nil && v.Root != v.target.Root {
		v.Root.Close()
	}
	v.target.Close()
}

func (v *Visit) plan(c *dockerx.Container, o Options) error {
	own, err := proc.OwnStatus()
	if err != nil {
		return err
	}
	v.UID, v.GID = int(own.UID[1]), int(own.GID[1])
	var joins []nsops.Type
	for _, j := range v.target.Joins {
		joins = append(joins, j.Type)
	}
	if !o.ExposeHost {
		if err := exposure.OfNamespaces(c, joins, own); err != nil {
			return err
		}
	}
	v.Visit = &launch.Visit{Plan: &launch.Plan{
		Process: &specs.Process{Args: o.Args, Env: withVariables(os.Environ(), o.Env), Cwd: o.Cwd, Terminal: o.Tty},
		Joins:   v.target.Joins, TimerSlack: proc.OwnTimerSlack,
		Origins: map[string]string{"Args": "the command line", "Namespaces": fmt.Sprintf("--ns, /proc/%d/ns", c.Process.PID), "Env[PATH]": "your PATH"},
	}}
	return v.place(c, joins)
}

// place says which files the command sees.
func (v *Visit) place(c *dockerx.Container, joins []nsops.Type) error {
	pidHost, err := exposure.HostPIDs(c)
	if err != nil {
		return err
	}
	v.Seen = pidHost || slices.Contains(joins, nsops.PID)
	if v.Kernel, err = launch.ThisKernel(); err != nil {
		return err
	}
	if slices.Contains(joins, nsops.Mnt) {
		v.Root, v.Plan.Root = v.target.Root, v.target.Root
		if v.Process.Cwd == "" {
			v.Process.Cwd = "/"
		}
		return nil
	}
	v.Proc = slices.Contains(joins, nsops.PID)
	if slices.Contains(joins, nsops.Net) {
		if err := v.addNameFiles(c); err != nil {
			return err
		}
	}
	v.Root, err = launch.HostRoot()
	return err
}

// addNameFiles lets the command resolve names as the container does, as far as
// both sides have the files for it.
func (v *Visit) addNameFiles(c *dockerx.Container) error {
	files, err := execspec.NameFiles(c)
	if err != nil {
		return err
	}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			c.Warn(fmt.Sprintf("the host has no %s over which that of %s could be mounted", path, c.String()))
			continue
		}
		v.Files = append(v.Files, launch.Overlay{Path: path, Content: files[path]})
	}
	return nil
}
