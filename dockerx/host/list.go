package host

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"dx/dockerx/docker"
	"dx/nsops"
	"dx/nsops/proc"
)

// Found is a container that runs, as its shim's bundle tells of it. Nothing of it
// is verified yet but that the shim is one of the host's. What it can still be asked
// takes its Listing to be open.
type Found struct {
	ID        string
	Namespace string // containerd's
	PID       int
	Bundle    string // its path, as the shim's root names it
	Orphan    bool   // its shim has died: there is no bundle

	listing *Listing
	folder  *folder
	shim    *proc.Process
	dir     handle // the bundle
	docker  *docker.Container
	read    bool // Docker's files have been looked for
}

// FoundIn is a container that Docker's files tell of.
func FoundIn(d *docker.Container) *Found {
	return &Found{ID: d.ID, docker: d, read: true, dir: handle{fd: none}}
}

// Name is Docker's name of the container, else its ID.
func (f *Found) Name() string {
	if d := f.Docker(); d != nil {
		return d.Name
	}
	return f.ID
}

// Docker is what Docker has written down of the container, without its HostConfig;
// nil if it is not Docker's, or cannot be read, which has been reported then.
func (f *Found) Docker() *docker.Container {
	if f.read || f.listing == nil {
		return f.docker
	}
	f.read = true
	d, err := f.readDocker()
	switch {
	case err == nil:
		f.docker = d
	case !errors.Is(err, os.ErrNotExist):
		f.listing.warn(err)
	}
	return f.docker
}

// IsInit says whether a process that was opened after the container was found is its
// init: the bundle's init.pid named it, and it is a child of the bundle's shim, which
// lives. False also if it cannot be told so cheaply.
func (f *Found) IsInit(p *proc.Process) bool {
	return f.shim != nil && p.PID == f.PID && p.ParentPID == f.shim.PID && f.shim.Alive() == nil
}

// Listing is the running containers of the host. It owns what it takes to ask more
// of them.
type Listing struct {
	Found []*Found

	warn    func(error)
	trust   Trust
	shims   map[int]*proc.Process
	foreign []foreigner

	mu      sync.Mutex // while bundles are looked at
	folders []*folder
	done    map[string]bool // namespace/ID
}

// foreigner is a process in another PID namespace than dx.
type foreigner struct {
	pid   int
	pidns string // as its link reads
}

// List finds the running containers with no daemon and no assumption about paths:
// a shim's working directory is its bundle, and the bundle names the rest. A
// container that cannot be read is reported to warn and hides no other.
//
// Only shims in dx's own PID namespace count, and none that lies in a container's
// cgroup: whoever is in a container can dress up as a shim, and would then answer
// to any name. So could any user of the host: see trusted.
func List(warn func(error)) (*Listing, error) {
	l := &Listing{warn: warn, shims: map[int]*proc.Process{}, done: map[string]bool{}}
	if err := l.findShims(); err != nil {
		l.Close()
		return nil, err
	}
	shims := slices.Collect(maps.Values(l.shims))
	nsops.Spread(len(shims), func(i int) { l.ownBundle(shims[i]) })
	for _, folder := range l.folders {
		l.siblings(folder)
	}
	return l, nil
}

// Close releases the shims and bundles.
func (l *Listing) Close() {
	for _, s := range l.shims {
		s.Close()
	}
	for _, f := range l.Found {
		f.dir.close()
		f.read = true
	}
	for _, f := range l.folders {
		f.closeAll()
	}
}

// findShims makes the one pass over /proc. One system call tells of a process in a
// container, and two of any other, that it is no shim of the host's.
func (l *Listing) findShims() error {
	pids, err := proc.PIDs()
	if err != nil {
		return err
	}
	if l.trust, err = NewTrust(); err != nil {
		return err
	}
	here := fmt.Sprintf("pid:[%d]", l.trust.pidns.Inode)
	shims := make([]*proc.Process, len(pids))
	foreign := make([]string, len(pids))
	nsops.Spread(len(pids), func(i int) {
		ns, err := proc.ReadlinkOf(pids[i], "ns/pid")
		switch {
		case err != nil: // gone, or not ours to see
		case ns != here:
			foreign[i] = ns
		default:
			shims[i] = l.asShim(pids[i])
		}
	})
	for i, pid := range pids {
		switch {
		case foreign[i] != "":
			l.foreign = append(l.foreign, foreigner{pid, foreign[i]})
		case shims[i] != nil:
			l.shims[pid] = shims[i]
		}
	}
	return nil
}

func isBundlePath(cwd string) bool {
	_, _, ok := splitBundlePath(cutDeleted(cwd))
	return ok
}

// asShim opens a process that is a shim of the host's; nil if it is none.
func (l *Listing) asShim(pid int) *proc.Process {
	if cwd, err := proc.ReadlinkOf(pid, "cwd"); err != nil || !isBundlePath(cwd) {
		return nil
	}
	p, err := proc.OpenDir(pid)
	if err != nil {
		return nil
	}
	if !l.trust.Host(p) {
		p.Close()
		return nil
	}
	return p
}

// Trust tells the host's own processes from what a container may show.
type Trust struct {
	pidns, mntns nsops.ID
	own          string // the ID of the container in which dx itself runs; empty: none
}

// NewTrust looks at dx itself: the host's processes are those in its PID namespace
// and in no container's cgroup but dx's own. Who shares dx's mount namespace is in no
// container either: to get there takes the rights of the host's root.
func NewTrust() (Trust, error) {
	self, err := proc.Self()
	if err != nil {
		return Trust{}, err
	}
	defer self.Close()
	pidns, err := nsops.Identify(self, nsops.PID)
	if err != nil {
		return Trust{}, err
	}
	mntns, err := nsops.Identify(self, nsops.Mnt)
	if err != nil {
		return Trust{}, err
	}
	cgroups, err := self.Cgroups()
	if err != nil {
		return Trust{}, err
	}
	own, _ := CgroupID(cgroups)
	return Trust{pidns: pidns, mntns: mntns, own: own}, nil
}

// Host says whether a process is the host's own.
func (t Trust) Host(p *proc.Process) bool {
	if id, err := nsops.Identify(p, nsops.PID); err != nil || id != t.pidns {
		return false
	}
	if id, err := nsops.Identify(p, nsops.Mnt); err == nil && id == t.mntns {
		return true
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
func (l *Listing) ownBundle(shim *proc.Process) {
	text, err := shim.Readlink("cwd")
	if err != nil {
		return
	}
	text = cutDeleted(text)
	namespace, id, ok := splitBundlePath(text)
	if !ok {
		return
	}
	f := &Found{ID: id, Namespace: namespace, Bundle: text, listing: l, shim: shim}
	if f.dir, err = cwdOf(shim, text); err != nil {
		return
	}
	if f.folder, err = l.folderOf(f.dir, namespace); err != nil {
		f.dir.close()
		return
	}
	l.add(f)
}

// siblings adds the bundles of shims that serve several containers.
func (l *Listing) siblings(folder *folder) {
	names, err := folder.names()
	if err != nil {
		l.warn(err)
		return
	}
	for _, name := range names {
		if l.done[folder.namespace+"/"+name] {
			continue
		}
		f := &Found{ID: name, Namespace: folder.namespace, listing: l, folder: folder}
		if f.dir, err = folder.open(name); err != nil {
			continue // removed meanwhile, or no folder
		}
		f.Bundle = f.dir.path
		if f.shim = l.shimOf(f); f.shim == nil {
			f.dir.close()
			continue
		}
		l.add(f)
	}
}

// shimOf is the shim whose child the init of a bundle is.
func (l *Listing) shimOf(f *Found) *proc.Process {
	pid, err := parse(f.dir, "init.pid", ParseInitPID)
	if err != nil {
		return nil
	}
	st, err := proc.StatOf(pid)
	if err != nil {
		return nil
	}
	return l.shims[st.PPID]
}

// add adds the container of one bundle.
func (l *Listing) add(f *Found) {
	var err error
	f.PID, err = parse(f.dir, "init.pid", ParseInitPID)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		f.dir.close()
		if !errors.Is(err, unix.ENOENT) { // removed, or not started yet
			l.warn(err)
		}
		return
	}
	l.done[f.Namespace+"/"+f.ID] = true
	l.Found = append(l.Found, f)
}
