package host

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"dx/dockerx/docker"
	"dx/nsops/proc"
)

// taskDir names the directory in which containerd's shims of the v2 API have their
// bundles: <state>/io.containerd.runtime.v2.task/<namespace>/<id>.
const taskDir = "io.containerd.runtime.v2.task"

// defaultRuntimeRoot is where containerd's runc shim has runc keep its state
// if options.json names no other directory (containerd runtime/v2/runc).
const defaultRuntimeRoot = "/run/containerd/runc"

// Bundle is an OCI bundle that a live shim serves. It owns its descriptors.
type Bundle struct {
	ID        string
	Namespace string // containerd's: "moby", "k8s.io"
	Path      string // as the shim's root names it: for messages, not for opening
	Shim      *proc.Process

	// Manager is who has made the container, where that is not a shim of containerd's:
	// "podman", "cri-o", "runc", "buildah". Shim is then conmon, or whoever else would be
	// the parent of a command.
	Manager string

	// Owner is the plain user whose engine has made the container, in a user namespace of
	// his, and whose word all of this is; 0: root, or dx's own user outside of one.
	Owner uint32

	// Status is that of the child of the shim by which Open has found the bundle, and
	// ShimStatus the shim's: that read last and this read first of all of them.
	Status, ShimStatus proc.Status

	// Apart says that the process for which the bundle was found (see Find) is in
	// namespaces of its own within the container: a container in a container, a
	// sandbox. Less may be its right than what the bundle gives.
	Apart bool

	// Doubt is a DisbeliefError if, on the way up, somebody was passed who is called a
	// shim and is none.
	Doubt error

	dir    handle
	files  *userFiles // of Owner; nil: there is none
	record *record    // nil: it is a shim's
	state  *file      // see openState

	// What a listing has read of it already; nil, or none: nothing.
	spec       *specs.Spec
	docker     *docker.Container // without its HostConfig
	containers *handle           // <data-root>/containers
	root       *os.File          // the shim's, for who asks next; see shimRoot
	options    []byte            // options.json; nil: not read yet
}

// Close releases the bundle and its shim.
func (b *Bundle) Close() error {
	b.closeState()
	b.files.close()
	b.dir.close()
	if b.containers != nil {
		b.containers.close()
	}
	b.closeRoot()
	return b.Shim.Close()
}

func (b *Bundle) closeRoot() {
	if b.root != nil {
		b.root.Close()
		b.root = nil
	}
}

func (b *Bundle) closeState() {
	if b.state != nil {
		b.state.close()
		b.state = nil
	}
}

// Spec reads config.json.
func (b *Bundle) Spec() (*specs.Spec, error) {
	if b.spec != nil {
		return b.spec, nil
	}
	if b.files != nil {
		return parseOf(b.files, b.Path+"/config.json", ParseSpec)
	}
	return parse(b.dir, "config.json", ParseSpec)
}

// parse reads a file and parses it; the error of either names it.
func parse[T any](dir handle, name string, parser func([]byte) (T, error)) (T, error) {
	var none T
	data, err := dir.read(name)
	if err != nil {
		return none, err
	}
	v, err := parser(data)
	if err != nil {
		return none, fmt.Errorf("parse %s/%s: %w", dir.path, name, err)
	}
	return v, nil
}

// parseOptions is parse of options.json, which is read once: it names the runtime and where
// that keeps its state.
func parseOptions[T any](b *Bundle, parser func([]byte) (T, error)) (v T, err error) {
	if b.options == nil {
		if b.options, err = b.dir.read("options.json"); err != nil {
			return v, err
		}
	}
	if v, err = parser(b.options); err != nil {
		err = fmt.Errorf("parse %s/options.json: %w", b.dir.path, err)
	}
	return v, err
}

// parseIn is parse for a file of a directory below, see readIn.
func parseIn[T any](above handle, dir, name string, parser func([]byte) (T, error)) (v T, err error) {
	data, err := above.readIn(dir, name)
	if err == nil {
		if v, err = parser(data); err != nil {
			err = fmt.Errorf("parse %s/%s/%s: %w", above.path, dir, name, err)
		}
	}
	return v, err
}

// StatePath is where the runtime keeps its state of the container, as the
// shim's root names it.
func (b *Bundle) StatePath() (string, error) {
	if b.record != nil {
		return b.record.state, nil
	}
	root := defaultRuntimeRoot
	named, err := parseOptions(b, ParseOptions)
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return "", err
	}
	if named != "" {
		root = named
	}
	return path.Join("/", root, b.Namespace, b.ID), nil
}

// State reads the runtime's state: runc's state.json, or crun's status.
func (b *Bundle) State() (*State, error) {
	if b.files != nil {
		return b.files.state(b.record.state)
	}
	return b.readState(func(f file) (*State, error) {
		data, err := f.all()
		if err != nil {
			return nil, err
		}
		return ParseState(data)
	})
}

// StateHead reads no more of it than who the init process is.
func (b *Bundle) StateHead() (*State, error) {
	if b.files != nil {
		return b.State()
	}
	return b.readState(func(f file) (*State, error) { return ParseStateHead(f) })
}

// readState reads state.json from its start, in whatever way; crun has a file of
// another name, which is short.
func (b *Bundle) readState(read func(file) (*State, error)) (*State, error) {
	f, err := b.openState()
	if err != nil {
		return nil, err
	}
	if path.Base(f.path) != "state.json" {
		read = readCrunStatus
	}
	if _, err := unix.Seek(f.fd, 0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("read %s: %w", f.path, err)
	}
	s, err := read(*f)
	if err != nil {
		return nil, fmt.Errorf("parse %s: %w", f.path, err)
	}
	return s, nil
}

func readCrunStatus(f file) (*State, error) {
	data, err := f.all()
	if err != nil {
		return nil, err
	}
	return ParseCrunStatus(data)
}

// openState opens the file of the state once: who wants its head often wants all of it
// a moment later.
func (b *Bundle) openState() (*file, error) {
	if b.state != nil {
		return b.state, nil
	}
	dir, err := b.StatePath()
	if err != nil {
		return nil, err
	}
	root, err := b.shimRoot()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := fileIn(root, dir, "state.json")
	if errors.Is(err, unix.ENOENT) {
		f, err = fileIn(root, dir, "status")
	}
	if err != nil {
		return nil, err
	}
	b.state = &f
	return b.state, nil
}

// Docker reads config.v2.json and hostconfig.json, which lie where the sources
// of the container's mounts say. os.ErrNotExist if it is not Docker's container.
func (b *Bundle) Docker(spec *specs.Spec) (*docker.Container, error) {
	if b.files != nil {
		return dockerOfUser(b.files, spec.Mounts, b.ID)
	}
	if b.containers != nil && b.docker != nil {
		return withHostConfig(*b.containers, *b.docker)
	}
	containers, err := b.openContainers(spec)
	if err != nil {
		return nil, err
	}
	defer containers.close()
	return readDocker(containers, b.ID)
}

// dockerOfUser reads Docker's files of a plain user's container.
func dockerOfUser(files *userFiles, mounts []specs.Mount, id string) (*docker.Container, error) {
	dir, ok := containersDir(mounts)
	if !ok {
		return nil, fmt.Errorf("no mount of %s leads to Docker's files: %w", short(id), os.ErrNotExist)
	}
	d, err := parseOf(files, path.Join(dir, id, "config.v2.json"), docker.Parse)
	if err != nil {
		return nil, err
	}
	if d.ID != id {
		return nil, fmt.Errorf("%s/%s holds the configuration of %s", dir, id, d.ID)
	}
	d.Origin = path.Join(dir, id, "config.v2.json")
	d.HostConfigOrigin = path.Join(dir, id, "hostconfig.json")
	d.HostConfig, err = parseOf(files, d.HostConfigOrigin, docker.ParseHostConfig)
	return d, err
}

// openContainers opens <data-root>/containers.
func (b *Bundle) openContainers(spec *specs.Spec) (handle, error) {
	name, ok := containersDir(spec.Mounts)
	if !ok {
		return handle{fd: none}, fmt.Errorf("no mount of %s/config.json leads to Docker's files: %w", b.Path, os.ErrNotExist)
	}
	return b.inRoot(name)
}

// readDocker reads Docker's files of a container in <data-root>/containers.
func readDocker(containers handle, id string) (*docker.Container, error) {
	d, err := readConfig(containers, id)
	if err != nil {
		return nil, err
	}
	return withHostConfig(containers, *d)
}

// readConfig reads no more of them than config.v2.json.
func readConfig(containers handle, id string) (*docker.Container, error) {
	d, err := parseIn(containers, id, "config.v2.json", docker.Parse)
	if err != nil {
		return nil, err
	}
	d.Origin = containers.path + "/" + id + "/config.v2.json"
	if d.ID != id {
		return nil, fmt.Errorf("%s holds the configuration of %s", d.Origin, d.ID)
	}
	return d, nil
}

// withHostConfig completes what readConfig has read.
func withHostConfig(containers handle, d docker.Container) (_ *docker.Container, err error) {
	d.HostConfigOrigin = containers.path + "/" + d.ID + "/hostconfig.json"
	d.HostConfig, err = parseIn(containers, d.ID, "hostconfig.json", docker.ParseHostConfig)
	return &d, err
}

// OpenRootfs opens the container's root file system from outside, without the
// mounts that only the container's mount namespace has.
func (b *Bundle) OpenRootfs(spec *specs.Spec) (*os.File, error) {
	if b.files != nil && path.IsAbs(spec.Root.Path) {
		return b.files.directory(spec.Root.Path)
	}
	if b.files != nil {
		return b.files.directory(path.Join(b.Path, spec.Root.Path))
	}
	if !path.IsAbs(spec.Root.Path) {
		dir, err := b.dir.reopen()
		if err != nil {
			return nil, err
		}
		defer dir.Close()
		return OpenDirInRoot(dir, spec.Root.Path)
	}
	root, err := b.shimRoot()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return OpenDirInRoot(root, spec.Root.Path)
}

// inRoot opens a directory by its path as the shim's root names it.
func (b *Bundle) inRoot(name string) (handle, error) {
	root, err := b.shimRoot()
	if err != nil {
		return handle{fd: none}, err
	}
	b.root = root
	return handleIn(root, name)
}

// shimRoot opens the root of the shim, or takes what is open of it. It is the caller's.
func (b *Bundle) shimRoot() (*os.File, error) {
	if b.Owner != 0 { // whose files are read with his rights
		return nil, fmt.Errorf("the files of %s are uid %d's: %w", short(b.ID), b.Owner, os.ErrNotExist)
	}
	if root := b.root; root != nil {
		b.root = nil
		return root, nil
	}
	return b.Shim.OpenFile("root", unix.O_PATH|unix.O_DIRECTORY)
}

// cutDeleted takes off what the kernel appends to the path of a removed directory.
func cutDeleted(path string) string { return strings.TrimSuffix(path, " (deleted)") }
