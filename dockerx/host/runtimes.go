package host

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"dx/dockerx/docker"
	"dx/nsops/proc"
)

// runtimes are runc and crun by themselves: nobody keeps what `runc run -d` has started,
// and what conmon, buildah or a shim of containerd's has started remains when they have died.
// Their state names the init, when it started, and the bundle.
type runtimes struct{}

func (runtimes) monitors(string) bool                   { return false }
func (runtimes) kept(*monitor, stores) (*record, error) { return nil, nil }

// runtimeRoots are the defaults, by whom dx believes: root's /run/NAME, and of dx's own user
// $XDG_RUNTIME_DIR/NAME (runc(8), --root; crun src/libcrun/status.c). CRI-O gives its runtimes
// others.
func runtimeRoots() []string {
	roots := []string{runcRoot, "/run/crun", "/run/runc-crio", "/run/crio/crun"}
	if uid := os.Geteuid(); uid != 0 {
		roots = append(roots, fmt.Sprintf("/run/user/%d/runc", uid), fmt.Sprintf("/run/user/%d/crun", uid))
	}
	return roots
}

// runcRoot is where root's runc keeps its state.
const runcRoot = "/run/runc"

// crunRoots are those of runtimeRoots in which crun keeps its state.
func crunRoots() []string {
	return slices.DeleteFunc(runtimeRoots(), func(root string) bool { return path.Base(root) != "crun" })
}

// runcRoots are those of runtimeRoots in which containers are that nobody's runtime but runc
// has made.
func runcRoots() []string {
	return slices.DeleteFunc(runtimeRoots(), func(root string) bool { return path.Base(root) != path.Base(runcRoot) })
}

func (runtimes) written(known stores) (out []*record, err error) {
	for dir := range statesBelow(runtimeRoots()) {
		if r, err := stateIn(dir, known); err == nil {
			out = append(out, r)
		}
	}
	return out, nil
}

// addAbandoned adds what containerd has had made in a namespace that is not Docker's, and
// whose shim has died. A directory of what was found already is not opened: there may be
// hundreds.
func (l *Listing) addAbandoned(add func(*record)) {
	served := map[[2]string]bool{}
	for _, f := range l.Found {
		served[[2]string{f.Namespace, f.ID}] = true
	}
	unknown := func(namespace, id string) bool { return !served[[2]string{namespace, id}] }
	for r := range abandonedIn(containerdRoots(), unknown) {
		add(r)
	}
}

// abandonedIn yields the containers of containerd's that its runtime's states tell of and
// wanted asks for. They are the loop's to close.
func abandonedIn(roots []string, wanted func(namespace, id string) bool) iter.Seq[*record] {
	return func(yield func(*record) bool) {
		known := newStores()
		for _, root := range roots {
			namespace := path.Base(root)
			if IsDockers(namespace) {
				continue // Docker's files tell of its own
			}
			for dir := range statesBelow([]string{root}, func(id string) bool { return wanted(namespace, id) }) {
				r, err := stateIn(dir, known)
				if err != nil {
					continue
				}
				r.ofContainerd(namespace)
				if !yield(r) {
					return
				}
			}
		}
	}
}

// ofContainerd makes a record that of a container in a namespace of containerd's.
func (r *record) ofContainerd(namespace string) {
	r.engine, r.name, r.pod = Engine{Namespace: namespace}, "", Pod{}
	spec, err := parse(r.bundle, "config.json", ParseSpec)
	if err != nil {
		return
	}
	if above, err := r.bundle.open(".."); err == nil {
		r.engine.At = above.at()
		above.close()
	}
	if _, r.name, r.pod = identify(spec.Annotations); namespace != criNamespace {
		r.pod = Pod{}
	}
	r.image = spec.Annotations[criPrefix+"image-name"]
}

// stateIn reads what a runtime has written of one container. Half of it is no record.
func stateIn(dir handle, known stores) (*record, error) {
	root, id := path.Split(dir.path)
	if !validID("", id) {
		return nil, fmt.Errorf("%s is no container's", dir.path)
	}
	state, err := parse(dir, "state.json", ParseState)
	if errors.Is(err, unix.ENOENT) {
		state, err = parse(dir, "status", ParseCrunStatus)
	}
	if err != nil {
		return nil, err
	}
	if state.ID != "" && state.ID != id || state.InitStart == 0 {
		return nil, fmt.Errorf("%s is another's", dir.path)
	}
	// Most that is written down has ended.
	if st, err := proc.StatOf(state.InitPID); err != nil || st.StartTime != state.InitStart || st.Dead() {
		return nil, proc.ErrGone
	}
	r := &record{
		id: id, pid: state.InitPID, start: state.InitStart, state: dir.path, bundle: handle{fd: none},
		proof: "the runtime's state in " + dir.path + ", which has its start as well", runtime: path.Base(root),
	}
	r.engine, r.name = Engine{Manager: "runc"}, id
	r.bundleAt(state.Bundle, known)
	return r, nil
}

// bundleAt opens the bundle that the state names, and learns of it whose container it is.
func (r *record) bundleAt(name string, known stores) {
	if !path.IsAbs(name) {
		return
	}
	dir, err := openOwned(name)
	if err != nil {
		return
	}
	r.bundle = dir
	switch store, stored := strings.CutSuffix(name, "/"+r.id+"/userdata"); {
	case stored && docker.IsID(r.id):
		r.ofStore(store, known)
	case strings.HasPrefix(r.id, "buildah-buildah"):
		r.engine.Manager = "buildah"
	}
}

// ofStore is for a container of Podman's or CRI-O's whose conmon has died.
func (r *record) ofStore(store string, read stores) {
	spec, err := parse(r.bundle, "config.json", ParseSpec)
	if err != nil {
		return
	}
	r.engine.Manager, r.name, r.pod = identify(spec.Annotations)
	dir, err := openOwned(store)
	if err != nil {
		return
	}
	defer dir.close()
	r.storedIn(dir, store, read)
	r.vouchedFor(dir, spec.Root.Path, read)
}

// vouchedFor takes whose it is from the storage, which its engine alone writes: annotations
// may be of whoever made the pod. CRI-O's bundles lie below its runroot, and its storage where
// the root file system is.
func (r *record) vouchedFor(dir handle, rootfs string, read stores) {
	c, ok := read.in(dir)[r.id]
	if name := storageOf(rootfs); !ok && name != "" {
		if dir, err := openOwned(name); err == nil {
			c = read.in(dir)[r.id]
			dir.close()
		}
	}
	r.image = cmp.Or(r.image, c.image)
	switch c.manager() {
	case "cri-o":
		pod, _ := parseK8sName(c.name)
		r.engine.Manager, r.name, r.pod = "cri-o", c.name, known(pod)
	case "podman":
		r.engine.Manager, r.name, r.pod = "podman", c.name, Pod{}
	}
}

// storageOf returns the directory in which the storage of a root file system keeps what it
// knows of containers (containers/storage, drivers); empty: it is in none.
func storageOf(rootfs string) string {
	for driver, part := range map[string]string{"overlay": "/overlay/", "vfs": "/vfs/dir/"} {
		if i := strings.LastIndex(rootfs, part); i > 0 {
			return rootfs[:i] + "/" + driver + "-containers"
		}
	}
	return ""
}
