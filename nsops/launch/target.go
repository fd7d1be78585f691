package launch

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"dx/nsops"
	"dx/nsops/proc"
)

// Target is what a program needs of the process that it joins. It owns its
// files but not the process.
type Target struct {
	Joins           []Join
	Root            *os.File
	SetgroupsDenied bool

	owned []*os.File
}

// OpenTarget opens the namespaces of p that are among kinds and differ from the
// caller's. root is p's, and stays the caller's; nil: it is opened as well.
func OpenTarget(p *proc.Process, root *os.File, kinds []nsops.Type) (*Target, error) {
	t := &Target{Root: root}
	err := t.open(p, kinds)
	if err == nil {
		// A process that is still there now was there for every open before.
		err = p.Alive()
	}
	if err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

func (t *Target) open(p *proc.Process, kinds []nsops.Type) error {
	differ, err := differing(p, kinds)
	if err != nil {
		return err
	}
	if err := t.openNamespaces(p, differ); err != nil {
		return err
	}
	return t.openRoot(p)
}

func (t *Target) openRoot(p *proc.Process) (err error) {
	if t.Root == nil {
		if t.Root, err = t.own(p.OpenFile("root", unix.O_PATH)); err != nil {
			return fmt.Errorf("open the root: %w", err)
		}
	}
	if slices.ContainsFunc(t.Joins, func(j Join) bool { return j.Type == nsops.User }) {
		t.SetgroupsDenied, err = setgroupsDenied(p)
		return err
	}
	// An init that has left for a user namespace of its own has no say.
	t.SetgroupsDenied, err = ownSetgroupsDenied()
	return err
}

// ownSetgroupsDenied: nothing denies it in the first user namespace.
func ownSetgroupsDenied() (bool, error) {
	self, err := proc.Self()
	if err != nil {
		return false, err
	}
	if own, err := nsops.Identify(self, nsops.User); err == nil && own.IsFirstUser() {
		return false, nil
	}
	return setgroupsDenied(self)
}

// setgroupsDenied reports whether the user namespace of a process denies
// setgroups(2).
func setgroupsDenied(p *proc.Process) (bool, error) {
	b, err := p.ReadFile("setgroups")
	if errors.Is(err, os.ErrNotExist) { // Linux 3.19
		return false, nil
	}
	return bytes.HasPrefix(b, []byte("deny")), err
}

// openNamespaces opens each namespace, or the pidfd, which stands for all.
func (t *Target) openNamespaces(p *proc.Process, kinds []nsops.Type) error {
	var pidfd *os.File
	if len(kinds) > 0 && setnsTakesPidfd() {
		h, err := p.OpenHandle()
		if err != nil {
			return err
		}
		pidfd, _ = t.own(h.File(), nil)
	}
	for _, k := range kinds {
		if pidfd != nil {
			t.Joins = append(t.Joins, Join{Type: k, File: pidfd})
		} else if err := t.openNamespace(p, k); err != nil {
			return err
		}
	}
	return nil
}

func (t *Target) openNamespace(p *proc.Process, k nsops.Type) error {
	f, err := t.own(p.OpenFile("ns/"+string(k), unix.O_RDONLY))
	if err != nil {
		return fmt.Errorf("open the %s namespace: %w", longName(k), err)
	}
	t.Joins = append(t.Joins, Join{Type: k, File: f})
	return nil
}

// OpenExactly is OpenTarget for a process that may change its namespaces at will: it
// opens those that were found before, or fails with
// nsops.ErrMoved. A pidfd would not do,
// which stands for the namespaces of the moment in which it is used.
func OpenExactly(p *proc.Process, root *os.File, found map[nsops.Type]nsops.ID) (*Target, error) {
	t := &Target{Root: root}
	err := t.openExactly(p, found)
	if err == nil {
		err = p.Alive()
	}
	if err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

func (t *Target) openExactly(p *proc.Process, found map[nsops.Type]nsops.ID) error {
	kinds, err := differing(p, slices.Collect(maps.Keys(found)))
	if err != nil {
		return err
	}
	for _, k := range kinds {
		if err := t.openNamespace(p, k); err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Fstat(int(t.Joins[len(t.Joins)-1].File.Fd()), &st); err != nil {
			return err
		}
		if nsops.IDOf(&st) != found[k] {
			return nsops.ErrMoved
		}
	}
	if err := t.openRoot(p); err != nil {
		return err
	}
	// Who has made a user namespace can have any root in it. There is no way back from
	// one: if it is not in one now, it was not when the files were opened.
	now, err := nsops.Read(p)
	if err == nil && !maps.Equal(now.Own, found) {
		err = nsops.ErrMoved
	}
	return err
}

func (t *Target) own(f *os.File, err error) (*os.File, error) {
	if err == nil && f != nil {
		t.owned = append(t.owned, f)
	}
	return f, err
}

// Close closes the target's files.
func (t *Target) Close() {
	for _, f := range t.owned {
		f.Close()
	}
}

// joinOrder is that of runc's nsexec.c, mount last: what is read of the host's
// files is read before.
var joinOrder = []nsops.Type{nsops.User, nsops.IPC, nsops.UTS, nsops.Net, nsops.PID, nsops.Cgroup, nsops.Time, nsops.Mnt}

// differing are the kinds of those given in which p is elsewhere, in joinOrder.
func differing(p *proc.Process, kinds []nsops.Type) ([]nsops.Type, error) {
	all, err := nsops.DifferentFromSelf(p)
	if err != nil {
		return nil, err
	}
	var out []nsops.Type
	for _, k := range joinOrder {
		if slices.Contains(kinds, k) && slices.Contains(all, k) {
			out = append(out, k)
		}
	}
	return out, nil
}

// setnsTakesPidfd asks the kernel (Linux 5.8) by joining the caller's own UTS
// namespace, which changes nothing: 0 or EPERM where pidfds are understood,
// EINVAL where only namespace files are.
func setnsTakesPidfd() bool {
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	err = unix.Setns(fd, unix.CLONE_NEWUTS)
	return err == nil || errors.Is(err, unix.EPERM)
}

// Unified is the name of the v2 hierarchy's cgroup.
const Unified = "unified"

// OpenCgroup opens what a process needs to enter a cgroup or, if that is the unified one, to be
// born in it.
func OpenCgroup(name, dir string) (cg Cgroup, err error) {
	cg.Name = name
	if name == Unified {
		cg.Dir, err = openAt(unix.AT_FDCWD, dir, unix.O_PATH|unix.O_DIRECTORY)
	} else {
		cg.Procs, err = openAt(unix.AT_FDCWD, filepath.Join(dir, procsFile), unix.O_WRONLY)
	}
	if err != nil {
		return Cgroup{}, fmt.Errorf("open the %s cgroup: %w", name, err)
	}
	return cg, nil
}

// procsFile takes the PIDs of those that are to enter the cgroup (cgroups(7)).
const procsFile = "cgroup.procs"

// openProcs opens it for the keeper, where P is not to enter.
func (cg *Cgroup) openProcs() (err error) {
	if cg.Procs == nil {
		cg.Procs, err = openAt(int(cg.Dir.Fd()), procsFile, unix.O_WRONLY)
	}
	if err != nil {
		return fmt.Errorf("open the %s cgroup: %w", cg.Name, err)
	}
	return nil
}

// openAt opens a file that needs no poller.
func openAt(dir int, name string, flags int) (*os.File, error) {
	fd, err := unix.Openat(dir, name, flags|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}
