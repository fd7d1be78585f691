package overlay

import (
	"errors"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// dir is an open directory of a layer.
type dir struct{ fd int }

func (d dir) close() { unix.Close(d.fd) }

func (d dir) open(name string) (dir, error) {
	fd, err := unix.Openat(d.fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	return dir{fd}, err
}

func (d dir) stat(name string, st *unix.Stat_t) error {
	return unix.Fstatat(d.fd, name, st, unix.AT_SYMLINK_NOFOLLOW)
}

// names reads the directory from its start: errEnough if it is larger than what is kept.
func (d dir) names() ([]string, error) {
	again, err := d.open(".")
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(again.fd), "")
	defer f.Close()
	var names []string
	for bytes := 0; bytes <= maxBytes; {
		some, err := f.Readdirnames(4096)
		for _, name := range some {
			bytes += len(name)
		}
		names = append(names, some...)
		if errors.Is(err, io.EOF) {
			return names, nil
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, errEnough
}

const capabilityXattr = "security.capability"

// xattr returns an extended attribute of a file in the directory, or of the directory
// itself; empty: it has none.
func (d dir) xattr(name, attribute string) string {
	var b [256]byte
	var n int
	var err error
	if name == "" {
		n, err = unix.Fgetxattr(d.fd, attribute, b[:])
	} else {
		n, err = unix.Lgetxattr("/proc/self/fd/"+strconv.Itoa(d.fd)+"/"+name, attribute, b[:])
	}
	if errors.Is(err, unix.ERANGE) {
		return "long"
	}
	if err != nil {
		return ""
	}
	return string(b[:n])
}

// opaque reports whether a directory hides those that it lies over.
func (c *comparison) opaque(d dir) bool { return d.xattr("", c.marks+"opaque") == "y" }

// found is a file of the layers below, as they show it together.
type found struct {
	exists     bool
	st         unix.Stat_t
	capability string
	dirs       []dir // of a directory: those that make it up
}

func (f found) close() {
	for _, d := range f.dirs {
		d.close()
	}
}

// find looks a name up in directories that lie over each other.
func (c *comparison) find(stack []dir, name string) (found, error) {
	var f found
	for _, d := range stack {
		var st unix.Stat_t
		err := d.stat(name, &st)
		switch {
		case errors.Is(err, unix.ENOENT):
			continue
		case err != nil:
			f.close()
			return found{}, err
		case isWhiteout(&st) && !c.whole, f.exists && !isDir(&st):
			return f, nil
		}
		if !f.exists {
			f.exists, f.st, f.capability = true, st, d.xattr(name, capabilityXattr)
		}
		if !isDir(&st) {
			return f, nil
		}
		sub, err := d.open(name)
		if err != nil {
			f.close()
			return found{}, err
		}
		f.dirs = append(f.dirs, sub)
		if !c.whole && c.opaque(sub) {
			return f, nil
		}
	}
	return f, nil
}

// visible are the names that directories over each other show together.
func (c *comparison) visible(stack []dir) (map[string]bool, error) {
	out, seen := map[string]bool{}, map[string]bool{}
	for _, d := range stack {
		names, err := d.names()
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if seen[name] {
				continue
			}
			seen[name] = true
			var st unix.Stat_t
			if err := d.stat(name, &st); err == nil && (c.whole || !isWhiteout(&st)) {
				out[name] = true
			}
		}
	}
	return out, nil
}
