package host

import (
	"errors"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"dx/nsops/proc"
)

// maxBundles bounds how many bundles of one containerd namespace are looked at.
const maxBundles = 20000

// bundleDir is a folder that may be a bundle.
type bundleDir struct {
	id, namespace string
	handle
}

func (d *bundleDir) initPID() (int, error) { return parse(d.handle, "init.pid", ParseInitPID) }

// splitBundlePath splits …/io.containerd.runtime.v2.task/<namespace>/<id>. ok is
// false for any other path. The text names things; it is never opened.
func splitBundlePath(text string) (namespace, id string, ok bool) {
	dir, id := path.Split(text)
	dir, namespace = path.Split(strings.TrimSuffix(dir, "/"))
	ok = path.Base(dir) == taskDir && namespace != "" && id != ""
	return namespace, id, ok
}

// shimBundle finds the bundle of a shim that match accepts: that of its working
// directory or a sibling. unix.ENOENT if there is none.
func shimBundle(shim *proc.Process, match func(*bundleDir) bool) (*bundleDir, error) {
	text, err := shim.Readlink("cwd")
	if err != nil {
		return nil, err
	}
	text = cutDeleted(text)
	namespace, id, ok := splitBundlePath(text)
	if !ok {
		return nil, unix.ENOENT
	}
	own := &bundleDir{id: id, namespace: namespace}
	if own.handle, err = cwdOf(shim, text); err != nil {
		return nil, err
	}
	if !inTrusted(own.handle) {
		own.close()
		return nil, unix.ENOENT
	}
	if match(own) {
		return own, nil
	}
	defer own.close()
	// The folder above, also where the shim's own bundle has been removed.
	parent, err := own.open("..")
	if err != nil {
		return nil, err
	}
	defer parent.close()
	parent.path = path.Dir(text)
	return siblingBundle(parent, own, match)
}

// errForged says that a folder of bundles is somebody's who is no engine.
var errForged = errors.New("not root's")

// inTrusted says whether what the folder above a bundle holds is an engine's word. Any
// process may call its working directory a bundle, and name a child of its own as a
// container's init, with root's rights for whoever enters.
func inTrusted(bundle handle) bool {
	var st unix.Stat_t
	return unix.Fstatat(bundle.fd, "..", &st, 0) == nil && trusted(&st)
}

// trusted is a folder in which only root, or the caller for an engine of its own, can
// make anything.
func trusted(st *unix.Stat_t) bool {
	owner := st.Uid == 0 || int(st.Uid) == os.Geteuid()
	return owner && st.Mode&(unix.S_IWGRP|unix.S_IWOTH) == 0
}

// cwdOf opens a process's working directory, which is called name.
func cwdOf(p *proc.Process, name string) (handle, error) {
	fd, err := p.OpenFD("cwd", unix.O_PATH|unix.O_DIRECTORY)
	return handle{fd: fd, path: name}, err
}

func siblingBundle(parent handle, own *bundleDir, match func(*bundleDir) bool) (*bundleDir, error) {
	names, err := parent.names()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if name == own.id {
			continue
		}
		h, err := parent.open(name)
		if err != nil {
			continue // removed meanwhile, or no folder
		}
		d := &bundleDir{id: name, namespace: own.namespace, handle: h}
		if match(d) {
			return d, nil
		}
		d.close()
	}
	return nil, unix.ENOENT
}
