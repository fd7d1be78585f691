package host

import (
	"encoding/json"
	"errors"
	"maps"
	"path"
	"strings"
	"time"

	"dx/dockerx/docker"
	"dx/nsops"
	"dx/nsops/proc"
)

// conmon keeps the containers of Podman and CRI-O, one process each, whose arguments tell
// all of it (containers/conmon, src/cli.c): -c ID, -b bundle, -n name, -r runtime. It is
// also the parent of what `podman exec` starts: its -u, which is the exec's own ID, then
// differs from -c.
type conmon struct{}

func (conmon) monitors(program string) bool { return program == "conmon" }

func (conmon) written(stores) ([]*record, error) { return nil, nil }

func (conmon) kept(m *monitor, known stores) (*record, error) {
	a := parseConmon(m.args)
	if !docker.IsID(a.id) || a.exec || !path.IsAbs(a.bundle) {
		return nil, nil
	}
	if m.owner != 0 {
		return conmon{}.ofUser(m, a, known)
	}
	root := a.root()
	if !inFirstUser() { // in podman unshare
		root = a.userRoot(m)
	}
	r := &record{id: a.id, runtime: path.Base(a.runtime), state: path.Join(root, a.id), monitor: &m.believed}
	r.engine.Manager, r.name, r.pod = a.whose()
	r.proof = "the arguments of its conmon and the runtime's state"
	var err error
	if r.bundle, err = inRootOf(m.Process, a.bundle); err != nil {
		return nil, err
	}
	if err := r.readPID(m.Process); err != nil {
		r.close()
		return nil, err
	}
	r.named(m.Process, a.bundle, known)
	return r, nil
}

// conmonArgs are the arguments that dx uses.
type conmonArgs struct {
	id, bundle, name, runtime, runtimeRoot, pidfile string

	podman bool // whose program cleans up when the container has ended
	exec   bool // it keeps what an exec has started
}

func parseConmon(args []string) (a conmonArgs) {
	var unique string
	runtimeArgs := []string{}
	take := map[string]func(string){
		"-c": func(v string) { a.id = v }, "--cid": func(v string) { a.id = v },
		"-u": func(v string) { unique = v }, "--cuuid": func(v string) { unique = v },
		"-b": func(v string) { a.bundle = v }, "--bundle": func(v string) { a.bundle = v },
		"-n": func(v string) { a.name = v }, "--name": func(v string) { a.name = v },
		"-r": func(v string) { a.runtime = v }, "--runtime": func(v string) { a.runtime = v },
		"-p": func(v string) { a.pidfile = v }, "--container-pidfile": func(v string) { a.pidfile = v },
		"--runtime-arg":  func(v string) { runtimeArgs = append(runtimeArgs, v) },
		"--exit-command": func(v string) { a.podman = strings.HasPrefix(path.Base(v), "podman") },
		// Those whose values may look like one of the above.
		"--exit-command-arg": func(string) {}, "-l": func(string) {}, "--log-path": func(string) {}, "--log-tag": func(string) {},
	}
	for i := 1; i < len(args); i++ {
		name, value, inline := strings.Cut(args[i], "=")
		to := take[name]
		switch {
		case to == nil:
		case inline:
			to(value)
		case i+1 < len(args):
			i++
			to(args[i])
		}
	}
	for i, arg := range runtimeArgs {
		if root, ok := strings.CutPrefix(arg, "--root="); ok {
			a.runtimeRoot = root
		} else if arg == "--root" && i+1 < len(runtimeArgs) {
			a.runtimeRoot = runtimeArgs[i+1]
		}
	}
	a.exec = unique != "" && unique != a.id
	return a
}

// root is where the runtime keeps its state: what it is told, else its default for root.
func (a conmonArgs) root() string {
	if a.runtimeRoot != "" {
		return a.runtimeRoot
	}
	return "/run/" + path.Base(a.runtime)
}

// whose tells Podman's containers from CRI-O's, which are named as the kubelet named
// Docker's: k8s_CONTAINER_POD_NAMESPACE_UID_ATTEMPT (kubernetes, dockershim/naming.go).
func (a conmonArgs) whose() (manager, name string, pod Pod) {
	if pod, ok := parseK8sName(a.name); ok && !a.podman {
		return "cri-o", a.name, pod
	}
	if a.podman || a.name != "" && !strings.HasPrefix(a.name, "k8s_") {
		return "podman", a.name, Pod{}
	}
	return "cri-o", a.name, Pod{}
}

func parseK8sName(name string) (Pod, bool) {
	f := strings.Split(name, "_") // which no name of Kubernetes' has
	if len(f) != 6 || f[0] != "k8s" || f[2] == "" || f[3] == "" {
		return Pod{}, false
	}
	p := Pod{Container: f[1], Name: f[2], Namespace: f[3]}
	if p.Container == "POD" {
		p.Container, p.Sandbox = "", true
	}
	return p, true
}

// readPID takes the init from the runtime's state, which a monitor's root names, else from
// the file that conmon has written beside the bundle.
func (r *record) readPID(monitor *proc.Process) error {
	b := &Bundle{ID: r.id, Path: r.bundle.path, Shim: monitor, dir: r.bundle, record: r}
	defer b.closeState()
	state, err := b.StateHead()
	if err != nil {
		return err
	}
	r.pid, r.start = state.InitPID, state.InitStart
	return nil
}

// named takes the name that the storage has: one that was given by `podman rename` is only
// there. It is that of the arguments where the storage has none.
func (r *record) named(monitor *proc.Process, bundle string, known stores) {
	store, ok := strings.CutSuffix(bundle, "/"+r.id+"/userdata")
	if !ok {
		return
	}
	dir, err := inRootOf(monitor, store)
	if err != nil {
		return
	}
	defer dir.close()
	r.storedIn(dir, store, known)
}

// storedIn takes what a storage has written down of the container.
func (r *record) storedIn(dir handle, store string, known stores) {
	r.engine.At, r.engine.Namespace = dir.at(), strings.TrimSuffix(store, "/overlay-containers")
	c := known.in(dir)[r.id]
	r.image = c.image
	if r.engine.Manager == "podman" && c.name != "" {
		r.name = c.name
	}
}

// stores are the storages of containers that have been read, as each may have thousands; and
// who reads those of plain users.
type stores struct {
	read    map[nsops.ID]map[string]storedName
	ofUsers map[usersStore]map[string]storedName
	files   map[usersRoot]*userFiles
	silent  map[uint32]*bool // by user
}

// maxUsersFiles bounds how many are open at a time: any user can make thousands of namespaces.
const maxUsersFiles = 8

// usersRoot is a mount namespace in a plain user's: what keeps his containers there sees the
// same files.
type usersRoot struct{ user, mnt nsops.ID }

type usersStore struct {
	at   usersRoot
	path string
}

func newStores() stores {
	return stores{
		read: map[nsops.ID]map[string]storedName{}, ofUsers: map[usersStore]map[string]storedName{},
		files: map[usersRoot]*userFiles{}, silent: map[uint32]*bool{},
	}
}

func (s stores) close() {
	for _, files := range s.files {
		files.close()
	}
}

// in reads one, once. One that is half-written or too large has no names.
func (s stores) in(dir handle) map[string]storedName {
	at := dir.at()
	list, read := s.read[at]
	if !read {
		list = map[string]storedName{}
		for _, name := range storeNames {
			more, _ := parse(dir, name, parseStore)
			maps.Copy(list, more)
		}
		s.read[at] = list
	}
	return list
}

// filesOf are what a monitor of a plain user's sees.
func (s stores) filesOf(m *monitor) *userFiles {
	at := rootOf(m)
	if s.files[at] == nil {
		if len(s.files) >= maxUsersFiles {
			s.close()
			clear(s.files)
		}
		if s.silent[m.owner] == nil {
			s.silent[m.owner] = new(bool)
		}
		s.files[at] = &userFiles{keeper: m.Process, silent: s.silent[m.owner]}
	}
	return s.files[at]
}

// rootOf goes by the root too, as a monitor may have called chroot(2). One that cannot be
// seen is nobody's but the monitor's.
func rootOf(m *monitor) (at usersRoot) {
	user, errUser := nsops.Identify(m.Process, nsops.User)
	mnt, errMnt := nsops.Identify(m.Process, nsops.Mnt)
	if root, err := m.Readlink("root"); errUser != nil || errMnt != nil || err != nil || root != "/" {
		return usersRoot{mnt: nsops.ID{Inode: uint64(m.PID)}}
	}
	return usersRoot{user, mnt}
}

// ofUser is in for a storage of a plain user's.
func (s stores) ofUser(files *userFiles, m *monitor, dir string) map[string]storedName {
	at := usersStore{rootOf(m), dir}
	list, read := s.ofUsers[at]
	if !read {
		list, _ = parseOf(files, dir+"/containers.json", parseStore)
		s.ofUsers[at] = list
	}
	return list
}

// storedName is what containers/storage calls a container.
type storedName struct {
	name, image string
	podman, pod bool // by whose record it has one, see manager
	created     time.Time
}

// manager tells whose it is: Podman and CRI-O write different things into the storage, buildah
// nothing (libpod/container_internal.go; cri-o, internal/storage/runtime.go).
func (c storedName) manager() string {
	switch {
	case c.pod:
		return "cri-o"
	case c.podman:
		return "podman"
	}
	return ""
}

// parseStore parses containers.json of containers/storage (containers.go, Container).
func parseStore(b []byte) (map[string]storedName, error) {
	var list []struct {
		ID       string   `json:"id"`
		Names    []string `json:"names"`
		Metadata string   `json:"metadata"`

		Created time.Time `json:"created"`
	}
	if err := decode(b, &list); err != nil {
		return nil, err
	}
	out := map[string]storedName{}
	for _, c := range list {
		if !docker.IsID(c.ID) {
			return nil, errors.New("an ID is none")
		}
		s := storedName{created: c.Created}
		if len(c.Names) > 0 {
			s.name = c.Names[0]
		}
		var about struct {
			Image string `json:"image-name"`
			Name  string `json:"name"`
			Pod   string `json:"pod-id"`
		}
		if json.Unmarshal([]byte(c.Metadata), &about) == nil {
			s.image, s.podman, s.pod = about.Image, about.Name != "", about.Pod != ""
		}
		out[c.ID] = s
	}
	return out, nil
}
