package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"dx/dockerx/docker"
)

// Containers that do not run, of other engines than Docker, as far as plain files tell: Podman's
// and CRI-O's storage (containers.json), nerdctl's names, the statuses of containerd's CRI. How
// one has ended is in databases (SQLite, bolt) but for the last; dx reads none.

// Stopped is what is known of a container that does not run.
type Stopped struct {
	State    string // docker's: created, exited
	Created  time.Time
	Finished time.Time // zero: not known
	ExitCode int       // if Finished is known
}

// Stopped returns it; nil for a container that runs, or is Docker's.
func (f *Found) Stopped() *Stopped { return f.stopped }

// storeNames are where containers/storage keeps what it knows, by the driver; the second is
// lost with a reboot (--transient-store, CRI-O).
var storeNames = []string{"containers.json", "volatile-containers.json"}

var storeDrivers = []string{"overlay-containers", "vfs-containers"}

// AddStopped adds them. What cannot be read is reported and hides nothing else.
func (l *Listing) AddStopped() {
	known := map[string]bool{}
	for _, f := range l.Found {
		if !f.Engine().Docker {
			known[f.ID] = true
		}
	}
	add := func(f *Found) {
		if !known[f.ID] {
			known[f.ID] = true
			f.read, f.dir = true, handle{fd: none}
			l.Found = append(l.Found, f)
		}
	}
	for _, dir := range l.storages() {
		l.reportOf(dir, eachStored(dir, add))
	}
	for _, look := range []func(func(*Found)) error{eachNerdctl, eachCRI} {
		l.report(notThere(look(add)))
	}
}

func (l *Listing) reportOf(dir string, err error) {
	if err = notThere(err); err != nil {
		l.report(fmt.Errorf("containers that do not run, in %s: %w", dir, err))
	}
}

// notThere lets an engine be absent, and root's be closed to others.
func notThere(err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0 || errors.Is(err, ErrForeign) && !inFirstUser() {
		return nil
	}
	return err
}

// storages are those of containers that run, and the default ones.
func (l *Listing) storages() (dirs []string) {
	roots := []string{defaultStores["podman"]}
	if os.Geteuid() != 0 {
		data := os.Getenv("XDG_DATA_HOME")
		if data == "" {
			data = path.Join(os.Getenv("HOME"), ".local/share")
		}
		roots = []string{path.Join(data, "containers/storage")}
	}
	seen := map[string]bool{}
	for _, f := range l.Found {
		if e := f.Engine(); (e.Manager == "podman" || e.Manager == "cri-o") && e.Owner == 0 && e.Namespace != "" {
			roots = append(roots, e.Namespace)
		}
	}
	for _, root := range roots {
		for _, driver := range storeDrivers {
			dir := path.Join(strings.TrimSuffix(root, "/"+driver), driver)
			if path.IsAbs(dir) && !seen[dir] {
				seen[dir] = true
				dirs = append(dirs, dir)
			}
		}
	}
	return dirs
}

// eachStored yields what a storage tells of.
func eachStored(name string, yield func(*Found)) error {
	dir, err := openOwned(name)
	if err != nil {
		return err
	}
	defer dir.close()
	engine := Engine{At: dir.at(), Namespace: strings.TrimSuffix(name, "/overlay-containers")}
	for _, file := range storeNames {
		list, err := parse(dir, file, parseStore)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return err
		}
		for id, c := range list {
			f := &Found{ID: id, alias: c.name, image: c.image, stopped: &Stopped{State: "created", Created: c.created}, engine: engine}
			if f.engine.Manager = c.manager(); f.engine.Manager == "" {
				continue // of buildah's, which is no container to run
			}
			if pod, ok := parseK8sName(c.name); ok {
				f.pod = pod
			}
			// Written when it is started for the first time.
			if unix.Faccessat(dir.fd, id+"/userdata/config.json", unix.F_OK, unix.AT_SYMLINK_NOFOLLOW) == nil {
				f.stopped.State = "exited"
			}
			yield(f)
		}
	}
	return nil
}

// nerdctlRoot has a directory for each address of containerd's, by 8 digits of its hash; in it
// names/NAMESPACE/NAME holds an ID (nerdctl, pkg/namestore).
const nerdctlRoot = "/var/lib/nerdctl"

func eachNerdctl(yield func(*Found)) error { return nerdctlIn(nerdctlRoot, yield) }

func nerdctlIn(root string, yield func(*Found)) error {
	return eachBelow(root, func(address handle) {
		names, err := address.open("names")
		if err != nil {
			return
		}
		defer names.close()
		_ = eachIn(names, func(namespace handle) {
			list, _ := namespace.names()
			for _, name := range list {
				id, err := namespace.read(name)
				if !docker.IsName(name) || err != nil || !docker.IsID(strings.TrimSpace(string(id))) {
					continue
				}
				yield(&Found{
					ID: strings.TrimSpace(string(id)), Namespace: path.Base(namespace.path), alias: name, stopped: &Stopped{State: "exited"},
					engine: Engine{Namespace: path.Base(namespace.path), At: namespace.at()},
				})
			}
		})
	})
}

// criContainers has a directory for each container of Kubernetes', in which "status" tells how it
// has ended, and nothing what it is called (containerd, internal/cri/store/container/status.go).
const criContainers = "/var/lib/containerd/io.containerd.grpc.v1.cri/containers"

func eachCRI(yield func(*Found)) error { return criIn(criContainers, yield) }

func criIn(root string, yield func(*Found)) error {
	return eachBelow(root, func(dir handle) {
		s, err := parse(dir, "status", parseCRIStatus)
		if id := path.Base(dir.path); err == nil && docker.IsID(id) {
			yield(&Found{ID: id, Namespace: "k8s.io", stopped: s, engine: Engine{Namespace: "k8s.io", At: dir.at()}})
		}
	})
}

// parseCRIStatus parses what has nanoseconds since 1970 for times, 0 for none.
func parseCRIStatus(b []byte) (*Stopped, error) {
	var of struct {
		Pid                              int
		CreatedAt, StartedAt, FinishedAt int64
		ExitCode                         int
	}
	if err := decode(b, &of); err != nil {
		return nil, err
	}
	if of.CreatedAt <= 0 || of.Pid < 0 {
		return nil, errors.New("no time of creation")
	}
	s := &Stopped{State: "created", Created: time.Unix(0, of.CreatedAt), ExitCode: of.ExitCode}
	if of.StartedAt > 0 {
		s.State = "exited"
	}
	if of.FinishedAt > 0 {
		s.Finished = time.Unix(0, of.FinishedAt)
	}
	return s, nil
}

// eachBelow opens each directory in one that nobody but root, or dx's own user, can change.
func eachBelow(root string, f func(handle)) error {
	dir, err := openOwned(root)
	if err != nil {
		return err
	}
	defer dir.close()
	return eachIn(dir, f)
}

func eachIn(dir handle, f func(handle)) error {
	names, err := dir.names()
	if err != nil {
		return err
	}
	for _, name := range names {
		sub, err := dir.open(name)
		if err != nil {
			continue // removed meanwhile, or no directory
		}
		if sub.owned() {
			f(sub)
		}
		sub.close()
	}
	return nil
}
