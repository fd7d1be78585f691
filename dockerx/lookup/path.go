package lookup

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"dx/dockerx"
	"dx/nsops"
	"dx/nsops/callerfile"
	"dx/nsops/launch"
	"dx/nsops/mounts"
)

// matchPath takes a path of dx's mount namespace. By the kernel, it is a container's if
// that has the file system mounted at or above it: a volume, a bind, the root file
// system. Else its text may name the layers of the root file system, or the ID.
func (t *Finder) matchPath(q Query) ([]Hit, string, error) {
	defer t.deputy.Close()
	n, err := t.lookAt(q.Name)
	if err != nil {
		return nil, "", err
	}
	names := n.names
	if n.err == nil && n.info.FS.Type == unix.NSFS_MAGIC { // a link below /proc/PID/ns, or bound somewhere
		return t.matchInode(Query{Kind: Inode, Inode: n.info.Ino})
	}
	own, err := mounts.Own()
	if err != nil {
		return nil, "", err
	}
	if m, _ := mounts.On(own, names[0]); m != nil && isCgroup(m) {
		return t.matchCgroup(Query{Kind: Cgroup, Name: names[0]})
	}
	var hits []Hit
	for _, by := range []func(*dockerx.Container, string) (string, error){
		func(c *dockerx.Container, name string) (string, error) { return t.mounted(c, own, name) },
		t.upperLayer, t.lowerLayer,
	} {
		for _, c := range t.containers {
			how, err := first(names, func(name string) (string, error) { return by(c, name) })
			if err != nil {
				return nil, "", err
			}
			if how != "" {
				hits = append(hits, Hit{Path, c, how})
			}
		}
		if len(hits) > 0 {
			return hits, "", nil
		}
	}
	if hits := t.stopped(names); len(hits) > 0 {
		return hits, "", nil
	}
	if errors.Is(n.err, launch.ErrSilent) {
		return nil, n.err.Error(), nil
	}
	if _, err := callerfile.Look(&t.deputy, names[0], false); err != nil {
		return nil, fmt.Sprintf("%s: %v", names[0], unwrapPath(err)), nil
	}
	return nil, fmt.Sprintf("no container has %s mounted, or as a layer of its root file system", names[0]), nil
}

func unwrapPath(err error) error {
	var e *fs.PathError
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

func first(names []string, f func(string) (string, error)) (string, error) {
	for _, name := range names {
		if how, err := f(name); err != nil || how != "" {
			return how, err
		}
	}
	return "", nil
}

// everywhere are file systems of which each container has the same: having one mounted
// says nothing.
var everywhere = map[string]bool{"proc": true, "sysfs": true, "cgroup": true, "cgroup2": true, "devtmpfs": true, "securityfs": true, "debugfs": true, "tracefs": true, "bpf": true}

// mounted says where a container has mounted what is at name, by device and by the path
// within the file system: names mean something else in another mount namespace.
func (t *Finder) mounted(c *dockerx.Container, own []*mounts.Info, name string) (string, error) {
	at, within := mounts.On(own, name)
	if at == nil || everywhere[at.FSType] {
		return "", nil
	}
	if set, err := t.set(c); err != nil || set.Own[nsops.Mnt] == ownMnt() {
		return "", err // what dx itself sees is nobody's in particular
	}
	theirs, err := t.mountsOf(c)
	if err != nil {
		return "", err
	}
	var best *mounts.Info
	for _, m := range theirs {
		if m.Major == at.Major && m.Minor == at.Minor && nsops.Below(within, m.Root) && (best == nil || len(m.Root) > len(best.Root)) {
			best = m
		}
	}
	switch {
	case best == nil:
		return "", nil
	case best.Mountpoint == "/":
		return "its root file system", nil
	}
	return "it has that mounted at " + best.Mountpoint, nil
}

func ownMnt() nsops.ID {
	var st unix.Stat_t
	if unix.Stat("/proc/self/ns/mnt", &st) != nil {
		return nsops.ID{}
	}
	return nsops.IDOf(&st)
}

// layers are the directories of a root file system on overlay, as the engine's mount
// namespace names them.
type layers struct {
	upper, work string
	lower       []string
}

// rootLayers reads them off the mount itself.
func (t *Finder) rootLayers(c *dockerx.Container) (layers, error) {
	list, err := t.mountsOf(c)
	var out layers
	for _, m := range list {
		if m.Mountpoint != "/" || m.FSType != "overlay" {
			continue
		}
		for option := range strings.SplitSeq(m.VFSOptions, ",") {
			key, value, _ := strings.Cut(option, "=")
			switch key {
			case "upperdir":
				out.upper = value
			case "workdir":
				out.work = value
			case "lowerdir":
				out.lower = strings.Split(value, ":")
			}
		}
	}
	return out, err
}

// upperLayer says whether a path is of a container alone, by its text.
func (t *Finder) upperLayer(c *dockerx.Container, name string) (string, error) {
	l, err := t.rootLayers(c)
	switch {
	case err != nil:
		return "", err
	case l.upper != "" && nsops.Below(name, l.upper):
		return "the upper directory of its root file system (overlay)", nil
	case l.work != "" && nsops.Below(name, l.work):
		return "the work directory of its root file system (overlay)", nil
	case l.upper != "" && isLayerDir(l.upper) && nsops.Below(name, path.Dir(l.upper)):
		return "the directory of its upper layer (overlay)", nil
	}
	for part := range strings.SplitSeq(name, "/") {
		if part != "" && part == c.ID {
			return "its ID is in the path", nil
		}
	}
	return "", nil
}

// isLayerDir reports whether the directory above holds nothing but one layer: Docker's
// overlay2/<id>/diff, containerd's snapshots/<n>/fs.
func isLayerDir(upper string) bool { return path.Base(upper) == "diff" || path.Base(upper) == "fs" }

// maxLayers is what overlayfs itself allows (OVL_MAX_STACK).
const maxLayers = 500

// lowerLayer says whether a path is of an image that the container, and maybe others,
// runs. Docker names these layers by short links, beside the directory of the upper one.
func (t *Finder) lowerLayer(c *dockerx.Container, name string) (string, error) {
	l, err := t.rootLayers(c)
	for _, dir := range l.lower[:min(len(l.lower), maxLayers)] {
		if !path.IsAbs(dir) {
			dir = path.Join(path.Dir(path.Dir(l.upper)), dir)
		}
		if info, err := callerfile.Look(&t.deputy, dir, true); err == nil {
			dir = info.Path
		}
		if nsops.Below(name, dir) {
			return "a layer of its image, which others may share (overlay)", nil
		}
	}
	return "", err
}
