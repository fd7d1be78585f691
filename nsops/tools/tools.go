// Package tools gives programs to a container that has none, without a mount or a
// file in it.
//
// A Tree is a directory of programs as a detached mount: it is in no mount table, and
// whoever holds its descriptor reaches it, as /proc/self/fd/N/PROGRAM. Trees are
// read-only, nosuid and nodev. None of them is a bind mount of a file system of the
// host: files are copied to a tmpfs, directories are the lower layers of an overlay. The
// difference matters where a process of the container has more rights than usual.
// Flags of a mount are its own to change with CAP_SYS_ADMIN in any user namespace
// (mount_setattr(2)), and with CAP_DAC_READ_SEARCH a descriptor of a file system
// opens every file of it (open_by_handle_at(2)). Here the file system itself is
// read-only and holds nothing but the tools.
//
// A HostView is the other way round: the host's root in a mount namespace of its
// own, with the container's at /container.
//
// Which processes get them, and with what rights, does not belong here.
package tools

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// ErrOldKernel says that the kernel cannot make such mounts.
var ErrOldKernel = errors.New("the kernel is too old: a detached read-only mount needs Linux 5.12 (mount_setattr)")

// Tree is a directory of programs. It owns its descriptor.
type Tree struct {
	File *os.File // O_PATH on the root of the mount
	// Dirs are its directories with programs, relative to the root: "." or "usr/bin".
	Dirs []string
	// Origin says what the programs are: "/usr/bin/busybox".
	Origin string
}

// Close gives the mount back; processes that have its descriptor keep it.
func (t *Tree) Close() error { return t.File.Close() }

// Find returns the first program of these names, relative to the root.
func (t *Tree) Find(names ...string) (string, bool) {
	root, err := openRoot(t.File)
	if err != nil {
		return "", false
	}
	defer root.Close()
	for _, name := range names {
		for _, dir := range t.Dirs {
			path := join(dir, name)
			if st, err := root.Stat(path); err == nil && isProgram(st) {
				return path, true
			}
		}
	}
	return "", false
}

func join(dir, name string) string {
	if dir == "." {
		return name
	}
	return dir + "/" + name
}

func isProgram(st os.FileInfo) bool { return st.Mode().IsRegular() && st.Mode()&0o111 != 0 }

// openRoot opens the tree for Go's own safe lookups.
func openRoot(mount *os.File) (*os.Root, error) {
	return os.OpenRoot(fmt.Sprintf("/proc/self/fd/%d", mount.Fd()))
}

// newTree seals a mount and finds its programs; it owns the mount then.
func newTree(mount *os.File, origin string) (*Tree, error) {
	t := &Tree{File: mount, Origin: origin}
	err := seal(mount)
	if err == nil {
		t.Dirs, err = programDirs(mount)
	}
	if err != nil {
		mount.Close()
		return nil, fmt.Errorf("tools of %s: %w", origin, err)
	}
	return t, nil
}

// seal makes a mount and all below it what it shall be for a container. Private:
// it sends no mounts anywhere and gets none.
func seal(mount *os.File) error {
	attr := unix.MountAttr{
		Attr_set:    unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV,
		Propagation: unix.MS_PRIVATE,
	}
	return setattr(mount, &attr)
}

func setattr(mount *os.File, attr *unix.MountAttr) error {
	err := unix.MountSetattr(int(mount.Fd()), "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, attr)
	if errors.Is(err, unix.ENOSYS) {
		return ErrOldKernel
	}
	if err != nil {
		return fmt.Errorf("mount_setattr: %w", err)
	}
	return nil
}

// directories are those in which a tree may have programs.
var toolDirs = []string{".", "usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin"}

// programDirs are the directories that hold programs, each once: /bin may be a link to
// /usr/bin.
func programDirs(mount *os.File) ([]string, error) {
	root, err := openRoot(mount)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	var dirs []string
	var seen []os.FileInfo
	for _, dir := range toolDirs {
		st, err := root.Stat(dir)
		if err != nil || !st.IsDir() || known(seen, st) || !hasProgram(root, dir) {
			continue
		}
		seen, dirs = append(seen, st), append(dirs, dir)
	}
	if len(dirs) == 0 {
		return nil, fmt.Errorf("no program in any of %v", toolDirs)
	}
	return dirs, nil
}

func known(seen []os.FileInfo, st os.FileInfo) bool {
	for _, s := range seen {
		if os.SameFile(s, st) {
			return true
		}
	}
	return false
}

func hasProgram(root *os.Root, dir string) bool {
	f, err := root.Open(dir)
	if err != nil {
		return false
	}
	defer f.Close()
	names, _ := f.Readdirnames(maxFiles)
	for _, name := range names {
		if st, err := root.Stat(join(dir, name)); err == nil && isProgram(st) {
			return true
		}
	}
	return false
}
