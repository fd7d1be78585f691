// Package overlay compares the layers of a root file system: what is changed, added and
// deleted in the uppermost beside those below, by the rules of overlayfs
// (Documentation/filesystems/overlayfs.rst: whiteouts, opaque directories). Mounts are not
// needed for it. Where an engine keeps its layers does not belong here.
//
// What lies in an upper directory is a container's choice. It is reached name by name
// beneath open directories, no link is followed, no file is opened, and what is kept of
// it is bounded.
package overlay

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// Kind is what has become of a file, in the letters of docker diff.
type Kind string

// The kinds.
const (
	Changed Kind = "C"
	Added   Kind = "A"
	Deleted Kind = "D"
)

// Change is a file that is not as it is in the layers below.
type Change struct {
	Kind Kind
	Path string // from the root of the file system: "/etc/passwd"
}

// Layers are the directories of a root file system, each open for reading.
type Layers struct {
	Upper *os.File
	Lower []*os.File // the topmost first

	// Whole says that the upper directory holds the whole file system and not only what
	// differs, as with the storage driver vfs: what is not in it is deleted.
	Whole bool
	// UserXattr says that they are mounted with the option userxattr, as without root.
	UserXattr bool
}

// Close closes all of them.
func (l Layers) Close() error {
	errs := []error{l.Upper.Close()}
	for _, f := range l.Lower {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// Changes is what Compare has found.
type Changes struct {
	List []Change // a directory before what it holds, names in order

	// Truncated says that there are more than are kept, or that directories lie in each other
	// too deep.
	Truncated bool
	// Renamed are directories that overlayfs has renamed without a copy (redirect_dir): what
	// they hold is added, and not listed.
	Renamed []string
}

// The bounds of what is kept. Below a directory a container makes as many as it likes, each
// of which takes descriptors here.
const (
	maxBytes = 64 << 20
	maxDepth = 200
)

// Compare compares the upper directory with those below. What is equal in type, mode,
// owner, size and time of modification is unchanged, as for docker diff (moby/go-archive,
// changes.go and changes_unix.go); of a directory size and time do not count, but what is in
// it does. What ends to be while it is looked at is left out.
func Compare(l Layers) (*Changes, error) {
	c := &comparison{whole: l.Whole, marks: "trusted.overlay."}
	if l.UserXattr { // else a container can set them as it likes
		c.marks = "user.overlay."
	}
	old := make([]dir, len(l.Lower))
	for i, f := range l.Lower {
		old[i] = dir{fd: int(f.Fd())}
	}
	err := c.directory("", dir{fd: int(l.Upper.Fd())}, old, l.Whole, 0)
	if errors.Is(err, errEnough) {
		c.Truncated, err = true, nil
	}
	return &c.Changes, err
}

// errEnough ends a comparison that has reached a bound.
var errEnough = errors.New("too much has changed")

type comparison struct {
	Changes
	whole bool   // there are no whiteouts
	marks string // what overlayfs's extended attributes begin with
	bytes int
}

// note keeps a change; before is where in the list it belongs.
func (c *comparison) note(before int, kind Kind, path string) error {
	if c.bytes += len(path); c.bytes > maxBytes {
		return errEnough
	}
	c.List = slices.Insert(c.List, before, Change{kind, path})
	return nil
}

// directory compares a directory with those that it lies over. Of one that hides them
// (opaque) what is not in it is deleted.
func (c *comparison) directory(path string, upper dir, old []dir, opaque bool, depth int) error {
	if depth > maxDepth {
		c.Truncated = true
		return nil
	}
	names, err := upper.names()
	if err != nil {
		return fmt.Errorf("list %s/: %w", path, err)
	}
	present := make(map[string]bool, len(names))
	for _, name := range names {
		present[name] = true
	}
	if opaque {
		below, err := c.visible(old)
		if err != nil {
			return fmt.Errorf("list %s/ of the layers below: %w", path, err)
		}
		for name := range below {
			if !present[name] {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	for _, name := range names {
		if !present[name] {
			err = c.note(len(c.List), Deleted, path+"/"+name)
		} else {
			err = c.name(path+"/"+name, name, upper, old, depth)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// name compares what is called so.
func (c *comparison) name(path, name string, upper dir, old []dir, depth int) error {
	was, err := c.find(old, name)
	if err != nil {
		return fmt.Errorf("%s in the layers below: %w", path, err)
	}
	defer was.close()
	var st unix.Stat_t
	err = upper.stat(name, &st)
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil
	case err != nil:
		return fmt.Errorf("%s: %w", path, err)
	case !isWhiteout(&st) || c.whole:
		return c.file(path, name, upper, &st, was, depth)
	case was.exists:
		return c.note(len(c.List), Deleted, path)
	}
	return nil
}

// file compares one that is there.
func (c *comparison) file(path, name string, upper dir, st *unix.Stat_t, was found, depth int) error {
	at := len(c.List)
	switch {
	case !was.exists:
		if err := c.note(at, Added, path); err != nil {
			return err
		}
	case differ(&was.st, st) || was.capability != upper.xattr(name, capabilityXattr):
		if err := c.note(at, Changed, path); err != nil {
			return err
		}
	}
	if !isDir(st) {
		return nil
	}
	noted := len(c.List) > at
	sub, err := upper.open(name)
	if err != nil {
		return ignore(err)
	}
	defer sub.close()
	opaque := c.whole || c.opaque(sub)
	if !c.whole && sub.xattr("", c.marks+"redirect") != "" {
		c.Renamed = append(c.Renamed, path)
		opaque = true // what it lies over is called otherwise
	}
	if err := c.directory(path, sub, was.dirs, opaque, depth+1); err != nil {
		return err
	}
	// A directory in which something has changed counts as changed.
	if !noted && len(c.List) > at {
		return c.note(at, Changed, path)
	}
	return nil
}

// differ is moby's statDifferent.
func differ(a, b *unix.Stat_t) bool {
	if a.Mode != b.Mode || a.Uid != b.Uid || a.Gid != b.Gid || a.Rdev != b.Rdev {
		return true
	}
	return !isDir(a) && (a.Size != b.Size || !sameTime(a.Mtim, b.Mtim))
}

// sameTime takes a time without parts of a second for one that was cut to seconds.
func sameTime(a, b unix.Timespec) bool {
	return a.Sec == b.Sec && (a.Nsec == b.Nsec || a.Nsec == 0 || b.Nsec == 0)
}

func isDir(st *unix.Stat_t) bool { return st.Mode&unix.S_IFMT == unix.S_IFDIR }

// isWhiteout reports whether it stands for a file that has been deleted: a character device
// 0:0.
func isWhiteout(st *unix.Stat_t) bool { return st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0 }

// ignore makes nothing of an error that says that a file has ended to be, or has become
// another.
func ignore(err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil
	}
	return err
}
