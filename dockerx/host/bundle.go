package host

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"dx/nsops/proc"
)

// taskDir names the folder in which containerd's shims of the v2 API have their
// bundles: <state>/io.containerd.runtime.v2.task/<namespace>/<id>.
const taskDir = "io.containerd.runtime.v2.task"

// defaultRuntimeRoot is where containerd's runc shim has runc keep its state
// if options.json names no other folder (containerd runtime/v2/runc).
const defaultRuntimeRoot = "/run/containerd/runc"

// Bundle is an OCI bundle that a live shim serves. It owns its descriptors.
type Bundle struct {
	ID        string
	Namespace string // containerd's: "moby", "k8s.io"
	Path      string // as the shim's root names it: for messages, not for opening
	Shim      *proc.Process

	dir *os.File
}

// Close releases the bundle and its shim.
func (b *Bundle) Close() error {
	return errors.Join(b.dir.Close(), b.Shim.Close())
}

// Spec reads config.json.
func (b *Bundle) Spec() (*specs.Spec, error) {
	data, err := readFile(b.dir, b.Path, "config.json")
	if err != nil {
		return nil, err
	}
	spec, err := ParseSpec(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("parse %s/config.json: %w", b.Path, err)
	}
	return spec, nil
}

// StatePath is where the runtime keeps its state of the container, as the
// shim's root names it.
func (b *Bundle) StatePath() (string, error) {
	root := defaultRuntimeRoot
	data, err := readFile(b.dir, b.Path, "options.json")
	if errors.Is(err, unix.ENOENT) {
		data, err = nil, nil
	}
	if err != nil {
		return "", err
	}
	named, err := ParseOptions(bytes.NewReader(data))
	if err != nil {
		return "", fmt.Errorf("parse %s/options.json: %w", b.Path, err)
	}
	if named != "" {
		root = named
	}
	return path.Join("/", root, b.Namespace, b.ID), nil
}

// State reads the runtime's state: runc's state.json, or crun's status.
func (b *Bundle) State() (*State, error) { return b.state(ParseState) }

// StateHead reads no more of it than who the init process is.
func (b *Bundle) StateHead() (*State, error) { return b.state(ParseStateHead) }

func (b *Bundle) state(parseRunc parseState) (*State, error) {
	name, err := b.StatePath()
	if err != nil {
		return nil, err
	}
	root, err := b.shimRoot()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	dir, err := openDirIn(root, name)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	s, err := readState(dir, name, "state.json", parseRunc)
	if errors.Is(err, unix.ENOENT) {
		s, err = readState(dir, name, "status", ParseCrunStatus)
	}
	return s, err
}

// Docker reads config.v2.json and hostconfig.json, which lie where the sources
// of the container's mounts say. os.ErrNotExist if it is not Docker's container.
func (b *Bundle) Docker(spec *specs.Spec) (*Docker, error) {
	containers, ok := containersDir(spec.Mounts)
	if !ok {
		return nil, fmt.Errorf("no mount of %s/config.json leads to Docker's files: %w", b.Path, os.ErrNotExist)
	}
	return b.dockerIn(containers)
}

// dockerIn reads them from <data-root>/containers.
func (b *Bundle) dockerIn(containers string) (*Docker, error) {
	root, err := b.shimRoot()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	dir, err := openDirIn(root, path.Join(containers, b.ID))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	d, err := readDocker(dir, path.Join(containers, b.ID))
	if err == nil && d.ID != b.ID {
		err = fmt.Errorf("%s holds the configuration of %s", d.Path, d.ID)
	}
	return d, err
}

func readDocker(dir *os.File, label string) (*Docker, error) {
	data, err := readFile(dir, label, "config.v2.json")
	if err != nil {
		return nil, err
	}
	d, err := ParseDocker(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("parse %s/config.v2.json: %w", label, err)
	}
	d.Path = label + "/config.v2.json"
	if data, err = readFile(dir, label, "hostconfig.json"); err != nil {
		return nil, err
	}
	if d.HostConfig, err = ParseHostConfig(bytes.NewReader(data)); err != nil {
		return nil, fmt.Errorf("parse %s/hostconfig.json: %w", label, err)
	}
	return d, nil
}

// OpenRootfs opens the container's root file system from outside, without the
// mounts that only the container's mount namespace has.
func (b *Bundle) OpenRootfs(spec *specs.Spec) (*os.File, error) {
	if !path.IsAbs(spec.Root.Path) {
		return openDirIn(b.dir, spec.Root.Path)
	}
	root, err := b.shimRoot()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return openDirIn(root, spec.Root.Path)
}

func (b *Bundle) shimRoot() (*os.File, error) {
	return b.Shim.OpenFile("root", unix.O_PATH|unix.O_DIRECTORY)
}

// cutDeleted takes off what the kernel appends to the path of a removed folder.
func cutDeleted(path string) string { return strings.TrimSuffix(path, " (deleted)") }
