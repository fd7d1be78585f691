package host

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"dx/dockerx/docker"
	"dx/nsops/proc"
)

// runtimes are runc and crun by themselves: nobody keeps what `runc run -d` has started,
// and what conmon or buildah has started remains when they have died. Their state names the
// init, when it started, and the bundle.
type runtimes struct{}

func (runtimes) monitors(string) bool                   { return false }
func (runtimes) kept(*monitor, stores) (*record, error) { return nil, nil }

// runtimeRoots are the defaults: for root /run/NAME, else $XDG_RUNTIME_DIR/NAME (runc
// main.go, crun src/libcrun/status.c). CRI-O gives runc one of its own.
func runtimeRoots() []string {
	if uid := os.Geteuid(); uid != 0 {
		return []string{fmt.Sprintf("/run/user/%d/runc", uid), fmt.Sprintf("/run/user/%d/crun", uid)}
	}
	return []string{"/run/runc", "/run/crun", "/run/runc-crio", "/run/crio/crun"}
}

func (runtimes) written(known stores) ([]*record, error) {
	var out []*record
	var errs []error
	for _, root := range runtimeRoots() {
		list, err := recordsIn(root, known)
		out = append(out, list...)
		if err != nil && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, err)
		}
	}
	return out, errors.Join(errs...)
}

func recordsIn(root string, known stores) ([]*record, error) {
	dir, err := trustedDir(func() (handle, error) { return openWithoutLinks(root) })
	if err != nil {
		return nil, err
	}
	defer dir.close()
	names, err := dir.names()
	if err != nil {
		return nil, err
	}
	var out []*record
	for _, name := range names {
		if !validID("", name) {
			continue
		}
		if r, err := stateIn(dir, name, known); err == nil {
			out = append(out, r)
		}
	}
	return out, nil
}

// stateIn reads what a runtime has written of one container. Half of it is no record.
func stateIn(root handle, id string, known stores) (*record, error) {
	dir, err := root.open(id)
	if err != nil {
		return nil, err
	}
	defer dir.close()
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
		proof: "the runtime's state in " + dir.path + ", which has its start as well", runtime: path.Base(root.path),
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
	dir, err := trustedDir(func() (handle, error) {
		root, err := os.OpenFile("/", unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil {
			return handle{fd: none}, err
		}
		defer root.Close()
		return handleIn(root, name)
	})
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
func (r *record) ofStore(store string, known stores) {
	spec, err := parse(r.bundle, "config.json", ParseSpec)
	if err != nil {
		return
	}
	r.engine.Manager, r.name, r.pod = identify(spec.Annotations)
	dir, err := trustedDir(func() (handle, error) { return openWithoutLinks(store) })
	if err != nil {
		return
	}
	defer dir.close()
	r.storedIn(dir, store, known)
}
