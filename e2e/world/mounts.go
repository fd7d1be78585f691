package world

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// temporary is where programs in a world keep their files: they go with it.
const temporary = "/run/tmp"

// mountAll gives the world file systems of its own where a host's show foreign
// things: /proc, /run, /dev/shm, /sys with the cgroups. The others it shares, and
// no mount made here is seen outside.
func mountAll() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make the mounts private: %w", err)
	}
	for _, m := range []struct {
		at, kind, options string
		flags             uintptr
	}{
		{"/proc", "proc", "", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC},
		{"/run", "tmpfs", "mode=755", unix.MS_NOSUID},
		{"/dev/shm", "tmpfs", "mode=1777", unix.MS_NOSUID | unix.MS_NODEV},
	} {
		detach(m.at)
		if err := unix.Mount(m.kind, m.at, m.kind, m.flags, m.options); err != nil {
			return fmt.Errorf("mount %s on %s: %w", m.kind, m.at, err)
		}
	}
	if err := os.Mkdir(temporary, 0o777); err != nil {
		return err
	}
	// Tests make devices here, and run set-uid programs.
	if err := unix.Mount("tmpfs", temporary, "tmpfs", 0, "mode=1777"); err != nil {
		return fmt.Errorf("mount a tmpfs on %s: %w", temporary, err)
	}
	if err := ownNull(); err != nil {
		return err
	}
	return mountSys()
}

// ownNull makes a null device of the world's own: crun gives the one that is its input to
// the container's user, and the host's would stay his.
func ownNull() error {
	const path = "/run/null"
	err := errors.Join(unix.Mknod(path, unix.S_IFCHR, int(unix.Mkdev(1, 3))), os.Chmod(path, 0o666)) // whatever the umask is
	if err != nil {
		return fmt.Errorf("make the device %s: %w", path, err)
	}
	if err := unix.Mount(path, os.DevNull, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount %s on %s: %w", path, os.DevNull, err)
	}
	return nil
}

// mountSys mounts a sysfs of the world's network namespace, with the file systems
// that the host has below its own, and the cgroup hierarchies as the world's
// cgroup namespace shows them.
func mountSys() error {
	const fresh = "/run/sys"
	hierarchies, err := Hierarchies()
	if err != nil {
		return err
	}
	below, err := mountsBelow("/sys")
	if err != nil {
		return err
	}
	if err := os.Mkdir(fresh, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("sysfs", fresh, "sysfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount sysfs: %w", err)
	}
	for _, path := range below {
		if path == "/sys/fs/cgroup" || strings.HasPrefix(path, "/sys/fs/cgroup/") {
			continue
		}
		if err := unix.Mount(path, fresh+strings.TrimPrefix(path, "/sys"), "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("bind %s: %w", path, err)
		}
	}
	if err := mountCgroups(hierarchies, fresh); err != nil {
		return err
	}
	detach("/sys")
	if err := unix.Mount(fresh, "/sys", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move the new /sys: %w", err)
	}
	return os.Remove(fresh)
}

// detach takes away what is mounted there: hidden below another mount it would
// still be in the mount table.
func detach(at string) {
	for unix.Unmount(at, unix.MNT_DETACH) == nil { // EINVAL: nothing more is mounted
	}
}

// mountCgroups mounts the hierarchies of /sys/fs/cgroup below another sysfs.
func mountCgroups(hierarchies []Hierarchy, sys string) error {
	const dir = "/sys/fs/cgroup"
	if len(hierarchies) > 0 && hierarchies[0].Mount != dir {
		if err := unix.Mount("tmpfs", sys+strings.TrimPrefix(dir, "/sys"), "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=755"); err != nil {
			return fmt.Errorf("mount a tmpfs for the cgroups: %w", err)
		}
	}
	for _, h := range hierarchies {
		rest, ok := strings.CutPrefix(h.Mount, "/sys")
		if !ok {
			continue // what somebody has mounted elsewhere is no part of a host
		}
		at := sys + rest
		if err := os.MkdirAll(at, 0o755); err != nil {
			return err
		}
		kind, options := "cgroup2", ""
		if !h.V2 {
			kind, options = "cgroup", h.Options
			if strings.HasPrefix(options, "name=") {
				options = "none," + options
			}
		}
		if err := unix.Mount(kind, at, kind, unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, options); err != nil {
			return fmt.Errorf("mount %s (%s) on %s: %w", kind, options, at, err)
		}
	}
	return nil
}

// mountsBelow lists mount points below a directory, outer ones first.
func mountsBelow(dir string) ([]string, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []string
	sc := bufio.NewScanner(f)
	for sc.Scan() {
		fields := strings.Fields(sc.Text())
		if len(fields) > 4 && strings.HasPrefix(fields[4], dir+"/") {
			out = append(out, filepath.Clean(fields[4]))
		}
	}
	return out, sc.Err()
}
