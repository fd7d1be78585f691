package host

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"dx/nsops"
	"dx/nsops/cgroup"
	"dx/nsops/proc"
)

// Nobody serves a container that runc was told to leave alone (runc run -d), or one whose
// manager is no shim of containerd's. What was asked for is in the runtime's state,
// <root>/<id>/state.json, and in the bundle that it names, which `runc exec` reads as well.
//
// Both count if root, or dx's own user, made them, and nobody else could have: each
// directory on the way is theirs and closed to others, or sticky; none is a link. The
// state counts for its init alone, by PID and start time, and for who is in the init's
// cgroup and namespaces. A state in another root than runc's default is not found.

// Detached is a container of which the runtime's state tells, and its bundle.
type Detached struct {
	ID    string
	Path  string // of the directory of state.json
	State *State
	Init  int // as State has it

	// Made is what the container was made with: of the state. Spec is the bundle's
	// config.json as it is now, its Linux part being what the state says.
	Made *Made
	Spec *specs.Spec
}

// DetachedOf finds the container of a process by the state of its runtime. ErrNoBundle
// if no state that counts names it, with a DisbeliefError if its bundle does not count.
func DetachedOf(p *proc.Process) (*Detached, error) {
	return detachedIn(append(allStateRoots(), crunRoots()...), p)
}

func detachedIn(roots []string, p *proc.Process) (*Detached, error) {
	for dir := range statesBelow(roots) {
		state, made, err := detachedState(dir, p)
		if err != nil || state == nil {
			continue
		}
		d := &Detached{ID: state.ID, Path: dir.path, State: state, Init: state.InitPID, Made: made}
		if d.Spec, err = d.spec(); err != nil {
			claim := fmt.Sprintf("is in container %s by %s/state.json", state.ID, dir.path)
			return nil, fmt.Errorf("%w (%w)", ErrNoBundle, &DisbeliefError{PID: p.PID, Claim: claim, Reason: "of its bundle " + err.Error(), Err: err})
		}
		return d, nil
	}
	return nil, fmt.Errorf("pid %d: %w", p.PID, ErrNoBundle)
}

// statesBelow yields the directories of states, which are the loop's to use only: all, or
// those of the IDs that are wanted.
func statesBelow(roots []string, wanted ...func(id string) bool) iter.Seq[handle] {
	return func(yield func(handle) bool) {
		for _, root := range roots {
			if !statesIn(root, wanted, yield) {
				return
			}
		}
	}
}

func statesIn(root string, wanted []func(string) bool, yield func(handle) bool) bool {
	dir, err := openOwned(root)
	if err != nil {
		return true // there is no runc, or it is somebody else's
	}
	defer dir.close()
	names, err := dir.names()
	if err != nil {
		return true
	}
	for _, name := range names {
		if slices.ContainsFunc(wanted, func(wants func(string) bool) bool { return !wants(name) }) {
			continue
		}
		sub, err := dir.open(name)
		if err != nil {
			continue // removed meanwhile, or no directory
		}
		more := !sub.owned() || yield(sub)
		sub.close()
		if !more {
			return false
		}
	}
	return true
}

// detachedState returns the state in a directory if p is that container's.
func detachedState(dir handle, p *proc.Process) (*State, *Made, error) {
	f, err := dir.file("state.json")
	if errors.Is(err, unix.ENOENT) {
		return crunState(dir, p)
	}
	if err != nil {
		return nil, nil, err
	}
	defer f.close()
	head, err := ParseStateHead(f)
	if err != nil {
		return nil, nil, err
	}
	isInit := head.InitPID == p.PID && head.InitStart == p.StartTime
	if !isInit && !besideInit(p, head) {
		return nil, nil, nil
	}
	data, err := dir.read("state.json")
	if err != nil {
		return nil, nil, err
	}
	state, err := ParseState(data)
	if err != nil {
		return nil, nil, err
	}
	if !isInit && !inCgroupsOf(p, state) {
		return nil, nil, nil
	}
	made, err := ParseMade(data)
	return state, made, err
}

// crunState is detachedState of crun, whose status names the init and whose copy of config.json
// says what the container was made with. It names no cgroups, and so counts for the init alone.
func crunState(dir handle, p *proc.Process) (*State, *Made, error) {
	state, err := parse(dir, "status", ParseCrunStatus)
	if err != nil || state.InitPID != p.PID || state.InitStart != p.StartTime {
		return nil, nil, err
	}
	spec, err := parse(dir, "config.json", ParseSpec)
	if err != nil {
		return nil, nil, err
	}
	state.ID = path.Base(dir.path)
	l := spec.Linux
	return state, &Made{Namespaces: l.Namespaces, Seccomp: l.Seccomp, Personality: l.Personality, MemoryPolicy: l.MemoryPolicy}, nil
}

// besideInit reports whether a process is in the PID, mount and user namespace of the
// init that a state names.
func besideInit(p *proc.Process, head *State) bool {
	init, err := proc.Open(head.InitPID)
	if err != nil {
		return false
	}
	defer init.Close()
	return init.StartTime == head.InitStart && inNamespacesOf(p, init)
}

// inCgroupsOf reports whether a process is in a container's cgroup, or below it, in each
// hierarchy of which the state tells and that dx sees.
func inCgroupsOf(p *proc.Process, s *State) bool {
	list, err := p.Cgroups()
	if err != nil {
		return false
	}
	dirs, err := cgroup.DirsOf(list)
	if err != nil {
		return false
	}
	seen := false
	for _, d := range dirs {
		made, ok := s.CgroupPaths[d.Controller]
		if ok && !nsops.Below(d.Path, made) {
			return false
		}
		seen = seen || ok
	}
	return seen
}

// spec reads the bundle's config.json and puts what the container was made with in the
// place of what the file says by now: as runc exec does.
func (d *Detached) spec() (*specs.Spec, error) {
	if !path.IsAbs(d.State.Bundle) {
		return nil, errors.New("it names no bundle")
	}
	dir, err := openOwned(d.State.Bundle)
	if err != nil {
		return nil, err
	}
	defer dir.close()
	spec, err := parse(dir, "config.json", ParseSpec)
	if err != nil {
		return nil, err
	}
	m := d.Made
	spec.Linux.Namespaces, spec.Linux.Seccomp = m.Namespaces, m.Seccomp
	spec.Linux.Personality, spec.Linux.MemoryPolicy = m.Personality, m.MemoryPolicy
	return spec, nil
}

// openOwned opens a directory of dx's own root on whose way nobody but root, or dx's own
// user, can change anything: each directory is theirs and no link, and who else may write
// to it is kept from renaming by the sticky bit.
func openOwned(name string) (handle, error) {
	const flags = unix.O_PATH | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	at := handle{fd: none, path: "/"}
	fd, err := unix.Open("/", flags, 0)
	for _, part := range append(slices.Collect(strings.SplitSeq(strings.Trim(path.Clean(name), "/"), "/")), "") {
		if err != nil {
			at.close()
			return handle{fd: none}, fmt.Errorf("open %s: %w", path.Join(at.path, part), err)
		}
		at.close()
		at.fd = fd
		if err := at.closedToOthers(part != ""); err != nil {
			at.close()
			return handle{fd: none}, err
		}
		if part != "" {
			at.path = path.Join(at.path, part)
			fd, err = unix.Openat(at.fd, part, flags, 0)
		}
	}
	return at, nil
}

// closedToOthers refuses a directory in which others could exchange something; the last
// of a path may not even be sticky.
func (h handle) closedToOthers(sticky bool) error {
	var st unix.Stat_t
	if err := unix.Fstat(h.fd, &st); err != nil {
		return fmt.Errorf("stat %s: %w", h.path, err)
	}
	switch {
	case !ownedHere(&st):
		return fmt.Errorf("%s is %w (uid %d)", h.path, ErrForeign, st.Uid)
	case trusted(&st), sticky && st.Mode&unix.S_ISVTX != 0:
		return nil
	}
	return fmt.Errorf("%s may be written to by others (mode %o): %w", h.path, st.Mode&0o7777, fs.ErrPermission)
}

func (h handle) owned() bool { return h.closedToOthers(false) == nil }

// madeAround returns the ID of another container, if a runtime's state says that one of
// these cgroups is in that container's: whoever is root there may have made and named it.
func madeAround(cgroups []proc.Cgroup, id string) (other string, ok bool) {
	dirs, err := cgroup.DirsOf(cgroups)
	if err != nil {
		return "", false
	}
	for dir := range statesBelow(allStateRoots()) {
		state, err := parse(dir, "state.json", ParseState)
		if err == nil && state.ID != id && state.holds(dirs) {
			return state.ID, true
		}
	}
	return "", false
}

// holds reports whether one of these cgroups is the container's, or in it.
func (s *State) holds(dirs []cgroup.Dir) bool {
	return slices.ContainsFunc(dirs, func(d cgroup.Dir) bool {
		made, ok := s.CgroupPaths[d.Controller]
		return ok && nsops.Below(d.Path, made)
	})
}

// allStateRoots are runcRoots, and those that containerd gives runc, one for each of
// its namespaces.
func allStateRoots() []string { return append(runcRoots(), containerdRoots()...) }

// containerdRoots are those that containerd's shims give runc, one for each namespace.
func containerdRoots() (roots []string) {
	dir, err := openOwned(defaultRuntimeRoot)
	if err != nil {
		return nil
	}
	defer dir.close()
	names, err := dir.names()
	if err != nil {
		return nil
	}
	for _, name := range names {
		roots = append(roots, path.Join(defaultRuntimeRoot, name))
	}
	return roots
}
