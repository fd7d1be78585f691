package host

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"dx/nsops/launch"
	"dx/nsops/proc"
	"dx/nsops/rootfs"
)

// Shim is one of the host's shims with its own bundle. It owns its descriptors.
type Shim struct {
	*Bundle
	Address string // of its socket, as its root names it; empty: unknown
}

// Shims returns the host's shims, also those whose containers have ended: see
// List for whose word counts.
func Shims() ([]*Shim, error) {
	l := &Listing{warn: func(error) {}, shims: map[int]*believed{}}
	if err := l.findShims(); err != nil {
		l.Close()
		return nil, err
	}
	for _, m := range l.monitors {
		m.Close()
	}
	var out []*Shim
	for _, p := range l.shims {
		s, err := shimOf(p.Process)
		if err != nil {
			p.Close()
			continue
		}
		out = append(out, s)
	}
	return out, nil
}

func shimOf(p *proc.Process) (*Shim, error) {
	dir, _, err := shimBundle(p, func(*bundleDir) bool { return true })
	if err != nil {
		return nil, err
	}
	s := &Shim{Bundle: &Bundle{ID: dir.id, Namespace: dir.namespace, Path: dir.path, Shim: p, dir: dir.handle}}
	s.Address = s.address()
	return s, nil
}

// address reads what the shim wrote when it started: "address", or with
// containerd 2 "bootstrap.json" (containerd, core/runtime/v2/shim.go).
func (s *Shim) address() string {
	if data, err := s.dir.read("address"); err == nil {
		return parseShimAddress(data)
	}
	data, err := s.dir.read("bootstrap.json")
	if err != nil {
		return ""
	}
	return parseShimAddress(data)
}

// parseShimAddress takes either file's content. Only a path of a ttrpc socket is
// an address here.
func parseShimAddress(data []byte) string {
	text := strings.TrimSpace(string(data))
	if strings.HasPrefix(text, "{") {
		var b struct{ Address, Protocol string }
		if err := decode([]byte(text), &b); err != nil || b.Protocol != "ttrpc" {
			return ""
		}
		text = b.Address
	}
	socket, ok := strings.CutPrefix(text, "unix://")
	if !ok || !strings.HasPrefix(socket, "/") {
		return ""
	}
	return socket
}

// InitPID is who the bundle says is the container's init, counted in the shim's
// PID namespace.
func (b *Bundle) InitPID() (int, error) {
	if b.record != nil {
		return b.record.pid, nil
	}
	return parse(b.dir, "init.pid", ParseInitPID)
}

// ReadConfig reads a file of the bundle as it is: "config.json".
func (b *Bundle) ReadConfig(name string) ([]byte, error) {
	if b.files != nil {
		return b.files.read(path.Join(b.Path, name))
	}
	return b.dir.read(name)
}

// OpenPath opens what a path means for a process, without opening it for reading
// or writing (O_PATH): a socket to connect to, a directory.
//
// The process may be anybody's: a deputy looks, and what lies on a FUSE is refused, as
// connecting to it or opening it would ask its server once more.
func OpenPath(p *proc.Process, path string) (*os.File, error) {
	var d launch.Deputy
	defer d.Close()
	root, err := rootfs.Open(p, &d, fmt.Sprintf("pid %d", p.PID))
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, info, err := root.Find(path)
	if err == nil && info.FS.Type == unix.FUSE_SUPER_MAGIC {
		f.Close()
		return nil, fmt.Errorf("%s of pid %d lies on a FUSE, which may not answer: it is left alone", path, p.PID)
	}
	return f, err
}

// IsGone reports whether a process or a file has vanished, which is no error while one
// looks at what lives.
func IsGone(err error) bool {
	return errors.Is(err, proc.ErrGone) || errors.Is(err, os.ErrNotExist)
}
