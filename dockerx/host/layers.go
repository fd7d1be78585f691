package host

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"dx/nsops/mounts"
	"dx/nsops/overlay"
)

// Layers opens the layers of the container's root file system by the overlay that is mounted
// at its root in the mount namespace of the shim, or of who stands for one. What the
// container itself has mounted is not asked.
func (b *Bundle) Layers() (l overlay.Layers, err error) {
	spec, err := b.Spec()
	if err != nil {
		return l, err
	}
	list, _, err := mounts.Read(b.Shim)
	if err != nil {
		return l, err
	}
	point := b.rootPath(spec.Root.Path)
	m := mounts.At(list, point)
	if m == nil || m.FSType != "overlay" {
		return l, fmt.Errorf("the root of container %s (%s) is no overlay: what has changed in it cannot be told", short(b.ID), point)
	}
	return b.openLayers(m)
}

// rootPath is the root's path as the shim's root names it.
func (b *Bundle) rootPath(root string) string {
	if strings.HasPrefix(root, "/") {
		return root
	}
	return b.Path + "/" + root
}

// openLayers opens what the options of an overlay name.
func (b *Bundle) openLayers(m *mounts.Info) (l overlay.Layers, err error) {
	root, err := b.shimRoot()
	if err != nil {
		return l, err
	}
	defer root.Close()
	upper, lower, user := overlayOptions(m.VFSOptions)
	if !strings.HasPrefix(upper, "/") {
		return l, fmt.Errorf("the root of container %s has no upper directory that can be opened from outside (%q)", short(b.ID), upper)
	}
	if l.Upper, err = listable(root, upper[1:]); err != nil {
		return l, err
	}
	l.UserXattr = user
	for _, name := range lower {
		if !strings.HasPrefix(name, "/") { // from where the engine stood when it mounted: Docker's and Podman's short links
			name = linksOfLayers(upper) + "/" + name
		}
		f, err := listable(root, name[1:])
		if err != nil {
			l.Close()
			return overlay.Layers{}, err
		}
		l.Lower = append(l.Lower, f)
	}
	return l, nil
}

// linksOfLayers is the directory in which a driver keeps its layers: two above the upper one.
func linksOfLayers(upper string) string {
	for range 2 {
		upper = upper[:max(strings.LastIndexByte(upper, '/'), 0)]
	}
	return upper
}

// overlayOptions reads the options of an overlay, whose commas and colons have a backslash
// before them if they are a path's (fs/overlayfs/params.c).
func overlayOptions(options string) (upper string, lower []string, userXattr bool) {
	for _, option := range splitEscaped(options, ',') {
		key, value, _ := strings.Cut(option, "=")
		switch key {
		case "upperdir":
			upper = unescape(value)
		case "lowerdir":
			for _, dir := range splitEscaped(value, ':') {
				if dir != "" && len(lower) < maxLayers { // "::" is before what holds data alone
					lower = append(lower, unescape(dir))
				}
			}
		case "userxattr":
			userXattr = true
		}
	}
	return upper, lower, userXattr
}

func splitEscaped(s string, sep byte) []string {
	var out []string
	begin := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case sep:
			out = append(out, s[begin:i])
			begin = i + 1
		}
	}
	return append(out, s[begin:])
}

func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// listable opens a directory beneath a root to be listed.
func listable(root *os.File, name string) (*os.File, error) {
	dir, err := OpenDirInRoot(root, "/"+name)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	fd, err := unix.Openat(int(dir.Fd()), ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s/%s: %w", root.Name(), name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}
