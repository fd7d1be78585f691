package host

import (
	"strings"

	"golang.org/x/sys/unix"

	"dx/dockerx/docker"
	"dx/nsops"
)

// Engine is whose a container is: with the ID, what tells containers apart. One dockerd
// keeps its containers in one data root; a namespace of containerd's has one directory of
// bundles.
type Engine struct {
	Docker    bool
	Namespace string   // containerd's; empty for Docker's
	At        nsops.ID // <data-root>/containers, or the directory of bundles; zero: not known
}

// Engine returns whose container it is.
func (f *Found) Engine() Engine {
	if f.engine != (Engine{}) {
		return f.engine
	}
	switch at, ok := f.files(); {
	case ok:
		f.engine = Engine{Docker: true, At: at}
	case f.folder == nil:
		f.engine = Engine{Docker: docker.IsID(f.ID)} // found by its cgroup: nobody tells
	case IsDockers(f.Namespace):
		f.engine = Engine{Docker: true, At: f.folder.id} // its files cannot be read
	default:
		f.engine = Engine{Namespace: f.Namespace, At: f.folder.id}
	}
	return f.engine
}

// Identified reports whether it is known which engine's the container is: a dockerd's data
// root cannot be found by a container's cgroup, nor where its files cannot be read.
func (f *Found) Identified() bool {
	_, ok := f.files()
	return ok || !f.Engine().Docker
}

// files returns in which directory Docker keeps its files of the container. They are read
// only where nobody has led there yet.
func (f *Found) files() (at nsops.ID, ok bool) {
	if at, ok = f.inFolder(); ok {
		return at, true
	}
	return f.root, f.Docker() != nil
}

// inFolder reports whether the data root of the folder's other containers has it too.
func (f *Found) inFolder() (at nsops.ID, ok bool) {
	if f.read || f.listing == nil {
		return nsops.ID{}, false
	}
	f.listing.mu.Lock()
	defer f.listing.mu.Unlock()
	if f.folder == nil || f.folder.containers == nil {
		return nsops.ID{}, false
	}
	dir := *f.folder.containers
	err := unix.Faccessat(dir.fd, f.ID, unix.F_OK, 0)
	return dir.at(), err == nil
}

// IsDockers reports whether a namespace of containerd's is called as dockerd calls its
// own: "moby", with userns-remap "moby-UID.GID".
func IsDockers(namespace string) bool {
	return namespace == "moby" || strings.HasPrefix(namespace, "moby-")
}

// Qualified returns the reference that means this container and no other.
func (f *Found) Qualified() string {
	if e := f.Engine(); !e.Docker {
		return "containerd:" + e.Namespace + "/" + f.ID
	}
	return "docker:" + short(f.ID)
}

// EngineName returns what the container's engine is called in lists: "containerd:default";
// of Docker's the data root, which tells two of them apart.
func (f *Found) EngineName() string {
	e := f.Engine()
	if !e.Docker {
		return "containerd:" + e.Namespace
	}
	if d := f.Docker(); d != nil {
		if root, _, ok := strings.Cut(d.Origin, "/containers/"+f.ID+"/"); ok {
			return "docker:" + root
		}
	}
	return "docker"
}

// Runs reports whether a process was found for it, and not only Docker's files.
func (f *Found) Runs() bool { return f.PID != 0 }

// FoundBy is a container as a test makes one: nothing of it is on the host. d is nil for
// one that is not Docker's.
func FoundBy(e Engine, id string, d *docker.Container, pid int) *Found {
	return &Found{ID: id, Namespace: e.Namespace, PID: pid, engine: e, docker: d, read: true, dir: handle{fd: none}}
}

// at is the identity of an open directory; zero if it has none.
func (h handle) at() nsops.ID {
	var st unix.Stat_t
	if h.fd == none || unix.Fstat(h.fd, &st) != nil {
		return nsops.ID{}
	}
	return nsops.IDOf(&st)
}
