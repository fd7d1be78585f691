package tools

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLayers is more than any engine stacks (Docker: 128); the mount's options have
// room for that many.
const maxLayers = 128

// Layers makes a tree of directories of the host that lie one over another, the topmost
// first: an overlay without an upper layer, which nobody can write through.
func Layers(origin string, dirs []string) (*Tree, error) {
	if len(dirs) == 0 || len(dirs) > maxLayers {
		return nil, fmt.Errorf("tools of %s: %d layers, 1 to %d are possible", origin, len(dirs), maxLayers)
	}
	var mount *os.File
	err := inPrivateMountNS(func() (err error) {
		mount, err = mountLayers(dirs)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("tools of %s: %w", origin, err)
	}
	return newTree(mount, origin)
}

// mountLayers mounts the overlay in a mount namespace of the calling thread and
// takes a detached copy. An overlay wants its layers in the caller's namespace, and
// two of them at least: an empty one is below.
func mountLayers(dirs []string) (*os.File, error) {
	var lower []string
	for _, dir := range dirs {
		// Opened before anything is mounted over a path.
		fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", dir, err)
		}
		defer unix.Close(fd)
		lower = append(lower, fmt.Sprintf("/proc/self/fd/%d", fd))
	}
	stage, err := mountStage()
	if err != nil {
		return nil, err
	}
	for _, dir := range []string{stage + "/empty", stage + "/tools"} {
		if err := unix.Mkdir(dir, 0o755); err != nil {
			return nil, fmt.Errorf("mkdir: %w", err)
		}
	}
	options := "lowerdir=" + strings.Join(append(lower, stage+"/empty"), ":")
	if err := unix.Mount("dx-tools", stage+"/tools", "overlay", unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		return nil, fmt.Errorf("mount an overlay of %s: %w", strings.Join(dirs, ", "), err)
	}
	return openTree(unix.AT_FDCWD, stage+"/tools", 0)
}

// openTree takes a detached copy of a mount.
func openTree(dirfd int, path string, flags uint) (*os.File, error) {
	fd, err := unix.OpenTree(dirfd, path, flags|unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if errors.Is(err, unix.ENOSYS) {
		return nil, ErrOldKernel
	}
	if err != nil {
		return nil, fmt.Errorf("open_tree %s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// stages are directories that hosts have, of which a private mount namespace can spare
// one.
var stages = []string{"/mnt", "/run", "/tmp", "/sys"}

// mountStage mounts an empty tmpfs somewhere in the thread's mount namespace.
func mountStage() (string, error) {
	mount, err := newTmpfs()
	if err != nil {
		return "", err
	}
	defer mount.Close()
	for _, dir := range stages {
		if err = unix.MoveMount(int(mount.Fd()), "", unix.AT_FDCWD, dir, unix.MOVE_MOUNT_F_EMPTY_PATH); err == nil {
			return dir, nil
		}
	}
	return "", fmt.Errorf("mount a tmpfs on one of %v: %w", stages, err)
}
