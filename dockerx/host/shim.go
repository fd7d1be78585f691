package host

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"dx/nsops/proc"
)

// maxBundles bounds how many bundles of one containerd namespace are looked at.
const maxBundles = 20000

type parseState func(io.Reader) (*State, error)

func readState(dir *os.File, label, name string, parse parseState) (*State, error) {
	data, err := readFile(dir, label, name)
	if err != nil {
		return nil, err
	}
	s, err := parse(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("parse %s/%s: %w", label, name, err)
	}
	return s, nil
}

// bundleDir is a folder that may be a bundle.
type bundleDir struct {
	id, namespace string
	path          string
	f             *os.File
}

func (d *bundleDir) initPID() (int, error) {
	data, err := readFile(d.f, d.path, "init.pid")
	if err != nil {
		return 0, err
	}
	return ParseInitPID(bytes.NewReader(data))
}

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
	cwd, err := shim.OpenFile("cwd", unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	own := &bundleDir{id: id, namespace: namespace, path: text, f: cwd}
	if match(own) {
		return own, nil
	}
	defer cwd.Close()
	// The folder above, also where the shim's own bundle has been removed.
	parent, err := openDirAt(cwd, "..")
	if err != nil {
		return nil, err
	}
	defer parent.Close()
	return siblingBundle(parent, own, match)
}

func siblingBundle(parent *os.File, own *bundleDir, match func(*bundleDir) bool) (*bundleDir, error) {
	names, err := parent.Readdirnames(maxBundles)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("list %s: %w", path.Dir(own.path), err)
	}
	for _, name := range names {
		if name == own.id {
			continue
		}
		f, err := openDirAt(parent, name)
		if err != nil {
			continue // removed meanwhile, or no folder
		}
		d := &bundleDir{id: name, namespace: own.namespace, path: path.Join(path.Dir(own.path), name), f: f}
		if match(d) {
			return d, nil
		}
		f.Close()
	}
	return nil, unix.ENOENT
}
