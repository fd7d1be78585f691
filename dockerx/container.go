// Package dockerx answers "which container is meant?". It turns a reference into a
// Container, whose process is verified and held open.
//
// Sub-packages hold the sources of facts: engine (the Engine API) and host (shims,
// bundles, runtime state and Docker's files, with no daemon); and, above this one, what
// is to be known of a container that was found: execspec, membership, claims, top,
// lookup, images. Joining and launching do not belong here: they are nsops'.
package dockerx

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"dx/dockerx/docker"
	"dx/dockerx/host"
	"dx/nsops"
	"dx/nsops/escape"
	"dx/nsops/launch"
	"dx/nsops/proc"
	"dx/nsops/rootfs"
)

// Source says where a container was found.
type Source string

// The sources.
const (
	SourceEngine Source = "engine" // the Engine API
	SourceHost   Source = "host"   // the host's own files and /proc
	SourcePID    Source = "pid"    // a reference pid:N, or host
)

// Container is a running process that a reference stands for: a container's init,
// any process (pid:N), or the host's own init (host).
type Container struct {
	Ref    string // as the user typed it
	ID     string // 64 hex digits; empty for pid:N and host
	Name   string // without the leading slash; "host", "pid:4711"
	Image  string
	Engine string // the engine's address; empty without one
	Source Source

	// Manager is whose container it is where no shim of containerd's serves it: "podman",
	// "cri-o", "runc", "lxc", "machine"; else empty.
	Manager string

	// Process is the verified init process, held open: see Resolve.
	Process *proc.Process

	// Ports are the published ones, Networks the names of Docker's, Mounts its volumes and
	// binds, all by Docker's word.
	Ports    []Port
	Networks []string
	Mounts   []docker.Mount

	// Pod is what Kubernetes calls the container; zero if it is none of its.
	Pod host.Pod

	// Docker is what the engine says of the container; nil if it was not asked.
	// Docker's files say it too.
	Docker *docker.Container

	// Nested reports whether it runs in another container, as Docker's in Docker.
	Nested bool
	// Inner is what the engine in another container says of this one, which runs in there; nil:
	// it does not. It has no say in what is entered with which rights.
	Inner *docker.Container

	// Proof says in words why Process is believed to be the container's init; empty for
	// a reference to a process.
	Proof string

	saidPaused bool  // by the source
	paused     *bool // see Paused; nil: not asked yet

	bundle  *host.Bundle  // by which Process was verified; nil: by something else
	cgroups []proc.Cgroup // of Process; nil: not read yet
	rootDir *os.File      // see RootDir; nil: not opened yet

	warn   func(string)
	doubt  error // see Believed
	deputy launch.Deputy
}

// Believed returns an EngineDisbeliefError if the container is known by the word of an
// engine whose word does not count: it may be shown, not entered.
func (c *Container) Believed() error { return c.doubt }

// Deputy looks at what the container can shape: its files may lie on a file system
// that never answers. It is the container's to close.
func (c *Container) Deputy() *launch.Deputy { return &c.deputy }

// Root opens the container's root, for looking at its files.
func (c *Container) Root() (*rootfs.Root, error) {
	dir, err := c.RootDir()
	return rootfs.At(dir, &c.deputy, c.Name), err
}

// RootDir opens the container's root with O_PATH, once. It stays the container's. That
// is the root of its mount namespace, which a runtime enters: its init may have called
// chroot(2). Of a process that was named by its number it is that one's own.
func (c *Container) RootDir() (*os.File, error) {
	if c.rootDir != nil {
		return c.rootDir, nil
	}
	dir, err := c.openRoot()
	if err == nil {
		c.rootDir = dir
	}
	return dir, err
}

func (c *Container) openRoot() (*os.File, error) {
	if c.Source == SourcePID {
		return c.Process.OpenFile("root", unix.O_PATH|unix.O_DIRECTORY)
	}
	return nsops.OpenRoot(c.Process)
}

// Cgroups returns those in which the process was when they were first asked for.
func (c *Container) Cgroups() (list []proc.Cgroup, err error) {
	if c.cgroups == nil {
		c.cgroups, err = c.Process.Cgroups()
	}
	return c.cgroups, err
}

// WholeCgroup returns the cgroup of the container of which one of its processes' is a part,
// and any other as it is.
func (c *Container) WholeCgroup(cg proc.Cgroup) string { return host.WholeCgroup(cg, c.ID) }

// Bundle returns the bundle by which the process was verified; nil if there was none.
// It stays the container's.
func (c *Container) Bundle() *host.Bundle { return c.bundle }

// String names a container and its process in messages: "web (pid 4711)".
func (c *Container) String() string {
	return escape.Line(fmt.Sprintf("%s (pid %d)", c.Name, c.Process.PID))
}

// Warn passes a line on to the user, who asked for the container.
func (c *Container) Warn(line string) {
	if c.warn != nil {
		c.warn(line)
	}
}

// Close releases what the container holds open.
func (c *Container) Close() error {
	if c == nil || c.Process == nil {
		return nil
	}
	errs := []error{c.deputy.Close(), c.Process.Close()}
	if c.bundle != nil {
		errs = append(errs, c.bundle.Close())
	}
	if c.rootDir != nil {
		errs = append(errs, c.rootDir.Close())
	}
	return errors.Join(errs...)
}

// CloseAll closes each of a list.
func CloseAll(list []*Container) {
	for _, c := range list {
		c.Close()
	}
}
