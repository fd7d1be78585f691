package host

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"dx/dockerx/docker"
	"dx/nsops"
	"dx/nsops/proc"
)

// Engines of plain users
//
// A rootless engine runs in a user namespace that its user has made. What keeps a container
// there says as little as anything of that user's: any of it may be made up. Three things
// are the kernel's word: whose the namespace is, that a process is in it, and whose child
// that process is. They suffice. Whoever joins the namespace, and that before anything else,
// has no right and no id left that this user lacks (user_namespaces(7)), whichever process
// is then entered, with whatever rights, by whichever files. The files are read in the
// same way: see userFiles.
//
// What is kept there is a container of that user's, and answers to no other name.

// checkOfUser is Trust.check for a process that may keep a container of a plain user's. It
// returns whose.
func (t Trust) checkOfUser(p *proc.Process) (exe proc.Executable, owner uint32, err error) {
	st, err := p.Status()
	if err != nil {
		return exe, 0, err
	}
	owner = st.UID[0]
	reason := ""
	if st.UID != [4]uint32{owner, owner, owner, owner} {
		reason = fmt.Sprintf("its uids are %d, %d, %d and %d", st.UID[0], st.UID[1], st.UID[2], st.UID[3])
	}
	if reason == "" {
		reason, err = t.doubtRealm(p, st, owner)
	}
	if reason == "" && err == nil {
		exe, reason, err = doubtProgramOf(p, owner)
	}
	if err := disbelief(p, reason, err); err != nil {
		return exe, 0, err
	}
	return exe, owner, nil
}

// doubtRealm wants a process that is root of the user's namespace, and no container: one
// has another namespace of its own in that, or lacks CAP_SYS_ADMIN, or is in its cgroup.
func (t Trust) doubtRealm(p *proc.Process, st proc.Status, owner uint32) (string, error) {
	realm, err := nsops.RealmOf(p)
	switch {
	case errors.Is(err, nsops.ErrNotVisible):
		return "it is in another user namespace", nil
	case err != nil:
		return "", err
	case realm.Depth == 0:
		return fmt.Sprintf("it runs as uid %d", owner), nil
	case realm.Owner == 0 || realm.Owner != owner:
		return fmt.Sprintf("it runs as uid %d in a user namespace that uid %d has made", owner, realm.Owner), nil
	case realm.Depth > 1:
		return "it is in a user namespace within that of a user's engine, as a container is", nil
	case st.CapPrm&(1<<unix.CAP_SYS_ADMIN) == 0:
		return "it lacks CAP_SYS_ADMIN in its user namespace, as a container's processes do", nil
	}
	if id, err := nsops.Identify(p, nsops.PID); err != nil || id != t.pidns {
		return "it is in another PID namespace", err
	}
	cgroups, err := p.Cgroups()
	if err != nil {
		return "", err
	}
	if id, ok := keptIn(cgroups); ok && id != t.here().id {
		return "it is in the cgroup of container " + short(id), nil
	}
	return "", nil
}

// keptIn is CgroupID, but for the scopes that Podman makes for conmon.
func keptIn(cgroups []proc.Cgroup) (string, bool) {
	for _, cg := range cgroups {
		for part := range strings.SplitSeq(cg.Path, "/") {
			if id := idOf(part); docker.IsID(id) && !strings.HasPrefix(part, "libpod-conmon-") {
				return id, true
			}
		}
	}
	return "", false
}

func doubtProgramOf(p *proc.Process, owner uint32) (proc.Executable, string, error) {
	exe, err := p.Executable()
	switch {
	case err != nil:
		return exe, "", err
	case exe.UID != 0 && exe.UID != owner:
		return exe, fmt.Sprintf("its program is a file of uid %d", exe.UID), nil
	case exe.Mode&(unix.S_ISUID|unix.S_ISGID) != 0:
		return exe, "its program is set-uid: any user may have started it", nil
	}
	return exe, "", nil
}

// OwnerOf returns the plain user whose namespace a process is in, or was started by;
// 0: it is not in one of a plain user's.
func OwnerOf(p *proc.Process) uint32 {
	realm, err := nsops.RealmOf(p)
	if err != nil || realm.Depth == 0 {
		return 0
	}
	return realm.Owner
}

// EngineOwner returns the plain user whose engine a process is, which listens where dx asks: one
// that runs as root of a namespace of that user's. ok is false for any other process.
func (t Trust) EngineOwner(p *proc.Process) (owner uint32, ok bool) {
	_, owner, err := t.checkOfUser(p)
	return owner, err == nil
}

// keptForUser makes the record of a child of a process that keeps a container for a plain
// user. nil if the process that is named is none, or not in that user's namespace.
func (m *monitor) keptForUser(r *record, pid int) *record {
	children, err := m.Children()
	if err != nil || !slices.Contains(children, pid) {
		return nil
	}
	p, err := proc.Open(pid)
	if err != nil {
		return nil
	}
	defer p.Close()
	r.pid, r.start, r.monitor, r.bundle, r.engine.Owner = pid, p.StartTime, &m.believed, handle{fd: none}, m.owner
	if r.name != "" && !docker.IsName(r.name) {
		r.name = ""
	}
	if !r.names(p) {
		return nil
	}
	return r
}

// pidIn reads a number.
func pidIn(u *userFiles, name string) (int, error) { return parseOf(u, name, ParseInitPID) }

// ofUser is what conmon keeps for a plain user's Podman.
func (conmon) ofUser(m *monitor, a conmonArgs, known stores) (*record, error) {
	files := known.filesOf(m)
	pid, err := pidIn(files, a.pidfile)
	if err != nil {
		if pid, err = onlyChild(m.Process); err != nil || pid == 0 {
			return nil, err
		}
	}
	r := &record{
		id: a.id, name: a.name, runtime: path.Base(a.runtime), state: path.Join(a.userRoot(m), a.id), place: a.bundle,
		proof: "its conmon, whose child it is, in the user namespace of uid " + strconv.Itoa(int(m.owner)),
	}
	r.engine.Manager = "podman"
	if store, ok := strings.CutSuffix(a.bundle, "/"+r.id+"/userdata"); ok {
		r.engine.Namespace = path.Dir(store)
		c := known.ofUser(files, m, store)[r.id]
		if r.image = c.image; c.name != "" {
			r.name = c.name
		}
	}
	return m.keptForUser(r, pid), nil
}

// userRoot is where the runtime keeps its state: what it is told, else its default for a
// plain user (runc, main.go; crun, src/libcrun/status.c). Podman has conmon know that it is
// not root's (pkg/rootless).
func (a conmonArgs) userRoot(m *monitor) string {
	env, _ := m.ReadFile("environ")
	value := func(name string) (value string) {
		for entry := range bytes.SplitSeq(env, []byte{0}) {
			if v, ok := strings.CutPrefix(string(entry), name+"="); ok {
				value = v
			}
		}
		return value
	}
	switch dir, uid := value("XDG_RUNTIME_DIR"), value("_CONTAINERS_ROOTLESS_UID"); {
	case a.runtimeRoot != "" || m.owner == 0 && uid == "":
		return a.root()
	case path.IsAbs(dir):
		return path.Join(dir, path.Base(a.runtime))
	default:
		return path.Join("/run/user", uid, path.Base(a.runtime))
	}
}

// shims are those of a plain user's containerd: a rootless dockerd's, nerdctl's. Root's are
// found by their bundles (shimbundle.go).
type shims struct{}

func (shims) monitors(program string) bool { return strings.HasPrefix(program, "containerd-shim") }

func (shims) written(stores) ([]*record, error) { return nil, nil }

func (shims) kept(m *monitor, known stores) (*record, error) {
	if m.owner == 0 {
		return nil, nil
	}
	// The name of its working directory is the kernel's word, which dx does not follow.
	cwd, err := m.Readlink("cwd")
	if err != nil {
		return nil, err
	}
	namespace, id, ok := splitBundlePath(cutDeleted(cwd))
	if !ok {
		return nil, nil
	}
	files := known.filesOf(m)
	place := cutDeleted(cwd)
	pid, err := pidIn(files, place+"/init.pid")
	if err != nil {
		return nil, err
	}
	r := &record{
		id: id, namespace: namespace, place: place,
		proof: "its shim, whose child it is, in the user namespace of uid " + strconv.Itoa(int(m.owner)),
	}
	if r = m.keptForUser(r, pid); r == nil {
		return nil, nil
	}
	r.shimOptions(m, files)
	r.describe(files)
	return r, nil
}

// shimOptions takes the runtime, and where that keeps its state.
func (r *record) shimOptions(m *monitor, files *userFiles) {
	root := defaultRuntimeRoot
	if options, err := files.read(r.place + "/options.json"); err == nil {
		if named, err := ParseOptions(options); err == nil && named != "" {
			root = named
		}
		if name, err := parseBinaryName(options); err == nil {
			r.runtime = path.Base(name)
		}
	}
	if exe, err := m.Readlink("exe"); err == nil && sandboxOf(path.Base(cutDeleted(exe))) != "" {
		r.runtime = path.Base(cutDeleted(exe))
	}
	r.state = path.Join("/", root, r.namespace, r.id)
}

// describe takes what the container is called: by Docker's files where the mounts lead there,
// else by the bundle's annotations.
func (r *record) describe(files *userFiles) {
	r.engine.Manager, r.engine.Namespace = "containerd", r.namespace
	if IsDockers(r.namespace) {
		r.engine.Manager, r.engine.Namespace = "docker", ""
	}
	spec, err := parseOf(files, r.place+"/config.json", ParseSpec)
	if err != nil {
		return
	}
	if r.engine.Manager == "containerd" {
		_, r.name, _ = identify(spec.Annotations)
	}
	if r.docker, err = dockerOfUser(files, spec.Mounts, r.id); err == nil {
		r.name = r.docker.Name
	}
	if !docker.IsName(r.name) {
		r.name = ""
	}
}
