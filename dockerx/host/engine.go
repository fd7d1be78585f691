package host

import (
	"os"
	"strconv"
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
	Manager   string   // of containers without shims: "podman", "cri-o", "runc", "buildah", "lxc", "machine"
	Namespace string   // containerd's; Podman's and CRI-O's storage, LXC's directory; empty for Docker's
	At        nsops.ID // <data-root>/containers, or the directory of bundles; zero: not known

	// Owner is the plain user whose engine it is, in a user namespace of his; else 0. Manager
	// is then "podman", "docker" or "containerd".
	Owner uint32
}

// Foreign reports whether it is the engine of another plain user than dx runs for. Its
// containers answer to no reference but those that name the user.
func (e Engine) Foreign() bool { return e.Owner != 0 && int(e.Owner) != os.Geteuid() }

// OwnedBy reports whether a user, by name or number, is the one whose engine it is.
func (e Engine) OwnedBy(name string) bool {
	return e.Owner != 0 && (userName(e.Owner) == name || strconv.FormatUint(uint64(e.Owner), 10) == name)
}

// prefix is what the names of a foreign engine's containers begin with in references.
func (e Engine) prefix() string {
	if !e.Foreign() {
		return ""
	}
	return userName(e.Owner) + "/"
}

// Engine returns whose container it is.
func (f *Found) Engine() Engine {
	if f.engine != (Engine{}) {
		return f.engine
	}
	switch at, ok := f.files(); {
	case ok:
		f.engine = Engine{Docker: true, At: at}
	case f.above == nil:
		f.engine = Engine{Docker: docker.IsID(f.ID)} // found by its cgroup: nobody tells
	case IsDockers(f.Namespace):
		f.engine = Engine{Docker: true, At: f.above.id} // its files cannot be read
	default:
		f.engine = Engine{Namespace: f.Namespace, At: f.above.id}
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
	if at, ok = f.inBundlesDir(); ok {
		return at, true
	}
	return f.root, f.Docker() != nil
}

// inBundlesDir reports whether the data root of the directory's other containers has it too.
func (f *Found) inBundlesDir() (at nsops.ID, ok bool) {
	if f.read || f.listing == nil {
		return nsops.ID{}, false
	}
	f.listing.mu.Lock()
	defer f.listing.mu.Unlock()
	if f.lies != (nsops.ID{}) {
		return f.lies, true
	}
	if f.above == nil || f.above.containers == nil {
		return nsops.ID{}, false
	}
	dir := *f.above.containers
	if unix.Faccessat(dir.fd, f.ID, unix.F_OK, 0) != nil {
		return nsops.ID{}, false
	}
	f.lies = dir.id
	return f.lies, true
}

// IsDockers reports whether a namespace of containerd's is called as dockerd calls its
// own: "moby", with userns-remap "moby-UID.GID".
func IsDockers(namespace string) bool {
	return namespace == "moby" || strings.HasPrefix(namespace, "moby-")
}

// defaultStores are where the managers keep containers if nobody says otherwise.
var defaultStores = map[string]string{"podman": "/var/lib/containers/storage", "lxc": "/var/lib/lxc"}

// Scheme is what qualified references to the engine's containers begin with.
func (f *Found) Scheme() string {
	e := f.Engine()
	switch {
	case f.Pod() != Pod{}:
		return "k8s"
	case e.Docker:
		return "docker"
	case e.Manager == "buildah":
		return "runc" // which has no name either
	case e.Manager != "":
		return e.Manager
	}
	return "containerd"
}

// Qualified returns the reference that means this container and no other.
func (f *Found) Qualified() string {
	e := f.Engine()
	switch {
	case e.Docker:
		return "docker:" + short(f.ID)
	case e.Owner != 0:
		return e.Manager + ":" + e.prefix() + short(f.ID)
	case e.Manager == "":
		return "containerd:" + e.Namespace + "/" + f.ID
	}
	scheme := f.Scheme()
	if scheme == "k8s" {
		scheme = "cri-o"
	}
	return scheme + ":" + short(f.ID)
}

// Called returns the qualified reference by the container's name. Another container of its
// engines may have the same one.
func (f *Found) Called() string {
	e := f.Engine()
	if e.Owner != 0 {
		return e.Manager + ":" + e.prefix() + f.Name()
	}
	switch scheme := f.Scheme(); {
	case f.Pod().Sandbox:
		return f.Qualified() // the pod's name means what runs in it
	case scheme == "k8s":
		return "k8s:" + f.Pod().String()
	case scheme == "containerd":
		return "containerd:" + e.Namespace + "/" + f.Name()
	default:
		return scheme + ":" + f.Name()
	}
}

// EngineName returns what the container's engine is called in lists: "containerd:default",
// "podman"; of Docker's the data root, which tells two of them apart.
func (f *Found) EngineName() string {
	e := f.Engine()
	switch store := defaultStores[e.Manager]; {
	case e.Foreign():
		return e.Manager + ":" + userName(e.Owner)
	case e.Owner != 0:
		return e.Manager
	case e.Manager != "" && store != "" && e.Namespace != "" && e.Namespace != store:
		return e.Manager + ":" + e.Namespace
	case e.Manager != "":
		return e.Manager
	case !e.Docker:
		return "containerd:" + e.Namespace
	}
	if d := f.Docker(); d != nil {
		if root, _, ok := strings.Cut(d.Origin, "/containers/"+f.ID+"/"); ok {
			return "docker:" + root
		}
	}
	return "docker"
}

// MonitorPID is what keeps a container of a manager's; 0: nothing does.
func (f *Found) MonitorPID() int {
	if f.record == nil || f.record.monitor == nil {
		return 0
	}
	return f.record.monitor.PID
}

// Pod returns what Kubernetes calls the container; zero if it is none of its.
func (f *Found) Pod() Pod {
	if !f.Engine().Docker {
		f.Docker() // reads what tells
	}
	return f.pod
}

// Image is the image by its manager's word; empty: not known.
func (f *Found) Image() string {
	if d := f.Docker(); d != nil {
		return d.Config.Image
	}
	if f.image == "" && f.engine.Manager == "cri-o" && f.dir.fd != none {
		f.image, _ = parse(f.dir, "config.json", parseImage) // its storage has no name of it
	}
	return f.image
}

// parseImage parses no more of a bundle of CRI-O's than the image's name.
func parseImage(b []byte) (string, error) {
	var spec struct {
		Annotations map[string]string `json:"annotations"`
	}
	err := decode(b, &spec)
	return spec.Annotations[crioPrefix+"ImageName"], err
}

// Command is what the container was started with, by its bundle; nil: not known. Of Docker's
// see Docker.
func (f *Found) Command() []string {
	if f.Engine().Docker || f.dir.fd == none {
		return nil
	}
	args, err := parse(f.dir, "config.json", parseArguments)
	if err != nil {
		return nil
	}
	return args
}

// parseArguments parses no more of a bundle's config.json than the command.
func parseArguments(b []byte) ([]string, error) {
	var spec struct {
		Process struct {
			Args []string `json:"args"`
		} `json:"process"`
	}
	err := decode(b, &spec)
	return spec.Process.Args, err
}

// identify takes what the annotations of a bundle say.
func (f *Found) identify(a map[string]string) {
	if IsDockers(f.Namespace) {
		return
	}
	if _, f.alias, f.pod = identify(a); f.Namespace != criNamespace {
		f.pod = Pod{} // annotated by whoever has made it
	}
	f.image = a[criPrefix+"image-name"]
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
