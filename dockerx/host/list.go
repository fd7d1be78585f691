package host

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"dx/nsops"
	"dx/nsops/proc"
)

// Found is a container that runs, as its shim's bundle tells of it. Nothing of it
// is verified yet but that the shim is one of the host's.
type Found struct {
	ID        string
	Namespace string // containerd's
	PID       int
	Bundle    string  // its path, as the shim's root names it
	Orphan    bool    // its shim has died: there is no bundle
	Docker    *Docker // nil: not Docker's
}

// Name is Docker's name of the container, else its ID.
func (f *Found) Name() string {
	if f.Docker != nil {
		return f.Docker.Name
	}
	return f.ID
}

// List finds the running containers with no daemon and no assumption about paths:
// a shim's working directory is its bundle, and the bundle names the rest. A
// container that cannot be read is reported to warn and hides no other.
//
// Only shims in dx's own PID namespace count, and none that lies in a container's
// cgroup: whoever is in a container can dress up as a shim, and would then answer
// to any name.
func List(warn func(error)) ([]Found, error) {
	l := &lister{warn: warn, shims: map[int]*proc.Process{}, done: map[string]bool{}, dataRoots: map[string]string{}}
	defer l.close()
	if err := l.findShims(); err != nil {
		return nil, err
	}
	for _, shim := range l.shims {
		l.ownBundle(shim)
	}
	for _, parent := range l.parents {
		l.siblings(parent)
	}
	return l.found, nil
}

type lister struct {
	warn    func(error)
	shims   map[int]*proc.Process
	parents []bundleParent
	done    map[string]bool // namespace/ID

	dataRoots map[string]string // folder of bundles → <data-root>/containers
	found     []Found
}

// bundleParent is a folder of bundles: …/io.containerd.runtime.v2.task/<namespace>.
type bundleParent struct {
	namespace, path string
	dir             *os.File
	id              nsops.ID
}

func (l *lister) close() {
	for _, s := range l.shims {
		s.Close()
	}
	for _, p := range l.parents {
		p.dir.Close()
	}
}

// findShims makes the one pass over /proc.
func (l *lister) findShims() error {
	pids, err := proc.PIDs()
	if err != nil {
		return err
	}
	trust, err := NewTrust()
	if err != nil {
		return err
	}
	for _, pid := range pids {
		cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
		if err != nil {
			continue // gone, a kernel thread, or not ours to see
		}
		if _, _, ok := splitBundlePath(cutDeleted(cwd)); !ok {
			continue
		}
		p, err := proc.Open(pid)
		if err != nil {
			continue
		}
		if !trust.Host(p) {
			p.Close()
			continue
		}
		l.shims[pid] = p
	}
	return nil
}

// Trust tells the host's own processes from what a container may show.
type Trust struct {
	pidns nsops.ID
	own   string // the ID of the container in which dx itself runs; empty: none
}

// NewTrust looks at dx itself: the host's processes are those in its PID namespace
// and in no container's cgroup but dx's own.
func NewTrust() (Trust, error) {
	self, err := proc.Self()
	if err != nil {
		return Trust{}, err
	}
	defer self.Close()
	set, err := nsops.Read(self)
	if err != nil {
		return Trust{}, err
	}
	cgroups, err := self.Cgroups()
	if err != nil {
		return Trust{}, err
	}
	own, _ := CgroupID(cgroups)
	return Trust{pidns: set.Own[nsops.PID], own: own}, nil
}

// Host says whether a process is the host's own.
func (t Trust) Host(p *proc.Process) bool {
	set, err := nsops.Read(p)
	if err != nil || set.Own[nsops.PID] != t.pidns {
		return false
	}
	cgroups, err := p.Cgroups()
	if err != nil {
		return false
	}
	id, _ := CgroupID(cgroups)
	return id == t.own
}

// ownBundle adds the container of a shim's own working directory, and notes the
// folder in which its siblings lie.
func (l *lister) ownBundle(shim *proc.Process) {
	text, err := shim.Readlink("cwd")
	if err != nil {
		return
	}
	text = cutDeleted(text)
	namespace, id, ok := splitBundlePath(text)
	if !ok {
		return
	}
	cwd, err := shim.OpenFile("cwd", unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return
	}
	defer cwd.Close()
	l.noteParent(cwd, namespace, path.Dir(text))
	l.bundle(shim, &bundleDir{id: id, namespace: namespace, path: text, f: cwd})
}

func (l *lister) noteParent(cwd *os.File, namespace, name string) {
	parent, err := openDirAt(cwd, "..")
	if err != nil {
		return
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(parent.Fd()), &st); err != nil {
		parent.Close()
		return
	}
	id := nsops.ID{Device: st.Dev, Inode: st.Ino}
	for _, known := range l.parents {
		if known.id == id {
			parent.Close()
			return
		}
	}
	l.parents = append(l.parents, bundleParent{namespace: namespace, path: name, dir: parent, id: id})
}

// siblings adds the bundles of shims that serve several containers.
func (l *lister) siblings(p bundleParent) {
	names, err := p.dir.Readdirnames(maxBundles)
	if err != nil && !errors.Is(err, io.EOF) {
		l.warn(fmt.Errorf("list %s: %w", p.path, err))
		return
	}
	for _, name := range names {
		if l.done[p.namespace+"/"+name] {
			continue
		}
		f, err := openDirAt(p.dir, name)
		if err != nil {
			continue // removed meanwhile, or no folder
		}
		d := &bundleDir{id: name, namespace: p.namespace, path: path.Join(p.path, name), f: f}
		if shim := l.shimOf(d); shim != nil {
			l.bundle(shim, d)
		}
		f.Close()
	}
}

// shimOf is the shim whose child the init of a bundle is.
func (l *lister) shimOf(d *bundleDir) *proc.Process {
	pid, err := d.initPID()
	if err != nil {
		return nil
	}
	p, err := proc.Open(pid)
	if err != nil {
		return nil
	}
	defer p.Close()
	st, err := p.Stat()
	if err != nil {
		return nil
	}
	return l.shims[st.PPID]
}

// bundle adds the container of one bundle.
func (l *lister) bundle(shim *proc.Process, d *bundleDir) {
	pid, err := d.initPID()
	if errors.Is(err, unix.ENOENT) {
		return // removed, or not started yet
	}
	if err != nil {
		l.warn(err)
		return
	}
	l.done[d.namespace+"/"+d.id] = true
	f := Found{ID: d.id, Namespace: d.namespace, PID: pid, Bundle: d.path}
	b := &Bundle{ID: d.id, Namespace: d.namespace, Path: d.path, Shim: shim, dir: d.f}
	if f.Docker, err = l.docker(b); err != nil && !errors.Is(err, os.ErrNotExist) {
		l.warn(err)
	}
	l.found = append(l.found, f)
}

// docker reads Docker's files of a bundle. All bundles of one folder are one
// engine's: once its data root is known, the long config.json need not be read.
func (l *lister) docker(b *Bundle) (*Docker, error) {
	folder := path.Dir(b.Path)
	if containers, ok := l.dataRoots[folder]; ok {
		if d, err := b.dockerIn(containers); err == nil {
			return d, nil
		}
	}
	spec, err := b.Spec()
	if err != nil {
		return nil, err
	}
	if containers, ok := containersDir(spec.Mounts); ok {
		l.dataRoots[folder] = containers
	}
	return b.Docker(spec)
}
