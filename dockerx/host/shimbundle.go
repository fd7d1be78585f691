package host

import (
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"dx/dockerx/docker"
	"dx/nsops"
	"dx/nsops/proc"
)

// maxBundles bounds how many bundles of one containerd namespace are looked at.
const maxBundles = 20000

// bundleDir is a directory that may be a bundle.
type bundleDir struct {
	id, namespace string
	above         nsops.ID // the directory above; zero: not looked at
	handle
}

func (d *bundleDir) initPID() (int, error) { return parse(d.handle, "init.pid", ParseInitPID) }

// splitBundlePath splits …/io.containerd.runtime.v2.task/<namespace>/<id>. ok is
// false for any other path. The text names things; it is never opened.
func splitBundlePath(text string) (namespace, id string, ok bool) {
	dir, id := path.Split(text)
	dir, namespace = path.Split(strings.TrimSuffix(dir, "/"))
	ok = path.Base(dir) == taskDir && namespace != "" && validID(namespace, id)
	return namespace, id, ok
}

// validID reports whether a container may be called so: in Docker's namespaces, IDs
// are what dockerd makes; elsewhere containerd takes names (its pkg/identifiers). One
// that begins with a dot is being removed.
func validID(namespace, id string) bool {
	if namespace == "moby" || namespace == "plugins.moby" {
		return docker.IsID(id)
	}
	return docker.IsName(id)
}

// shimBundle finds the bundle of a shim that match accepts: that of its working
// directory or a sibling. unix.ENOENT if there is none; a DisbeliefError if the
// process looks like a shim and its word does not count.
func shimBundle(shim *proc.Process, match func(*bundleDir) bool) (*bundleDir, proc.Status, error) {
	status, err := believeShim(shim)
	if err != nil {
		return nil, status, err
	}
	own, err := standsIn(shim)
	if err != nil {
		return nil, status, err
	}
	if match(own) {
		return own, status, nil
	}
	defer own.close()
	// The directory above, also where the shim's own bundle has been removed.
	parent, err := own.open("..")
	if err != nil {
		return nil, status, err
	}
	defer parent.close()
	parent.path = path.Dir(own.path)
	sibling, err := siblingBundle(parent, own, match)
	return sibling, status, err
}

// believeShim comes before the working directory is touched: see glanceAt.
func believeShim(p *proc.Process) (proc.Status, error) {
	cwd, err := p.Readlink("cwd")
	if err != nil {
		return proc.Status{}, err
	}
	_, id, ok := splitBundlePath(cutDeleted(cwd))
	if !ok {
		return proc.Status{}, unix.ENOENT
	}
	trust, err := NewTrust()
	if err != nil {
		return proc.Status{}, err
	}
	c := &claimant{Process: p}
	_, _ = c.Status() // first, as it is wanted anyway; whatever keeps it from being read is met again
	if err := trust.shim(c, id); err != nil {
		return proc.Status{}, err
	}
	return c.Status()
}

// standsIn opens the bundle in which a shim stands. Its path is that of the directory
// which was opened. unix.ENOENT if it is none, or not in a directory of root's.
func standsIn(shim *proc.Process) (*bundleDir, error) {
	fd, err := shim.OpenFD("cwd", unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	d := &bundleDir{handle: handle{fd: fd}}
	if !d.name() || !d.inTrusted() {
		d.close()
		return nil, unix.ENOENT
	}
	return d, nil
}

// name reads what the directory is called; false if it is no bundle.
func (d *bundleDir) name() (ok bool) {
	var room [unix.PathMax]byte
	n, err := unix.Readlink("/proc/self/fd/"+strconv.Itoa(d.fd), room[:])
	if err != nil {
		return false
	}
	d.path = cutDeleted(string(room[:n]))
	d.namespace, d.id, ok = splitBundlePath(d.path)
	return ok
}

// inTrusted reports whether a bundle and the directory above it are root's.
func (d *bundleDir) inTrusted() bool {
	var above, own unix.Stat_t
	if unix.Fstatat(d.fd, "..", &above, 0) != nil || unix.Fstat(d.fd, &own) != nil {
		return false
	}
	d.above = nsops.IDOf(&above)
	return trusted(&above) && trusted(&own)
}

func siblingBundle(parent handle, own *bundleDir, match func(*bundleDir) bool) (*bundleDir, error) {
	names, err := parent.names()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if name == own.id || !validID(own.namespace, name) {
			continue
		}
		h, err := parent.open(name)
		if err != nil {
			continue // removed meanwhile, or no directory
		}
		d := &bundleDir{id: name, namespace: own.namespace, handle: h}
		if match(d) {
			return d, nil
		}
		d.close()
	}
	return nil, unix.ENOENT
}
