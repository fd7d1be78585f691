// Package host knows containers from the kernel alone, with no daemon: from a
// process to its shim, from the shim's working directory to the bundle, from
// there to the runtime's state and to Docker's own files.
//
// All files are opened through magic links (/proc/<shim>/cwd, /proc/<shim>/root):
// an engine may live in another mount namespace or root, where its paths mean
// something else here. Every read is bounded, never blocks and takes regular
// files only.
//
// What the facts mean for an exec, and the Engine API, do not belong here.
package host

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"dx/nsops"
	"dx/nsops/proc"
)

// ErrNoBundle says that no shim with a bundle stands behind the process.
var ErrNoBundle = errors.New("no shim holds a bundle for it")

// Parent opens the parent of a process. ErrNoBundle if it has none that is
// visible here.
func Parent(p *proc.Process) (*proc.Process, error) {
	parent, _, err := heldParent(p)
	return parent, err
}

// heldParent returns the status of the process as well, read when its parent was held.
func heldParent(p *proc.Process) (*proc.Process, proc.Status, error) {
	st := proc.Status{PPID: p.ParentPID} // when it was opened
	for {
		if st.PPID == 0 {
			var err error
			if st, err = p.Status(); err != nil {
				return nil, st, err
			}
		}
		if st.PPID == 0 {
			return nil, st, fmt.Errorf("pid %d has no parent here: %w", p.PID, ErrNoBundle)
		}
		parent, err := proc.OpenDir(st.PPID)
		if err != nil && !errors.Is(err, proc.ErrGone) {
			return nil, st, err
		}
		// Still its parent after its directory was opened: the number was not
		// recycled in between. A reparented process goes round again.
		again, errStatus := p.Status()
		if errStatus == nil && err == nil && again.PPID == st.PPID {
			return parent, again, nil
		}
		if err == nil {
			parent.Close()
		}
		if errStatus != nil {
			return nil, again, errStatus
		}
		if err != nil && again.PPID == st.PPID {
			// A leader that has exited before its threads: no shim does that.
			return nil, again, fmt.Errorf("parent of pid %d: %w: %w", p.PID, ErrNoBundle, err)
		}
		st = again
	}
}

// Open finds the bundle whose init process p is: its parent is a shim, whose
// working directory is the bundle or a sibling of it (a shim may serve several
// containers, as in a Kubernetes pod). ErrNoBundle if there is none.
//
// Of the managers that have no shims, what they have written down and their monitors tell.
func Open(p *proc.Process) (*Bundle, error) {
	b, err := openServed(p)
	if !errors.Is(err, ErrNoBundle) {
		return b, err
	}
	if b, errManaged := managedInit(p); errManaged == nil {
		return b, nil
	}
	return nil, err
}

func openServed(p *proc.Process) (*Bundle, error) {
	return open(p, func(dir *bundleDir) bool {
		// A shim that counts is in dx's PID namespace, and so are its numbers.
		pid, err := dir.initPID()
		return err == nil && pid == p.PID
	})
}

// maxDepth bounds the walk from a process up to a container's init.
const maxDepth = 4096

// Find finds the bundle of the container that p belongs to, by walking up from
// p to a child of a shim: the container's init, or a process that docker exec
// started. ErrNoBundle if the walk ends elsewhere, with a DisbeliefError if it passed
// somebody who is called a shim and not believed.
func Find(p *proc.Process) (*Bundle, error) {
	b, err := openChild(p)
	if err == nil {
		b.Apart = apart(p, b)
	}
	if !errors.Is(err, ErrNoBundle) {
		return b, err
	}
	none := fmt.Errorf("pid %d: %w", p.PID, ErrNoBundle)
	var disbelief *DisbeliefError
	if errors.As(err, &disbelief) {
		none = err
	}
	child, err := Parent(p)
	for depth := 0; err == nil && depth < maxDepth; depth++ {
		b, errOpen := openChild(child)
		if errors.As(errOpen, &disbelief) {
			none = errOpen
		}
		if !errors.Is(errOpen, ErrNoBundle) {
			defer child.Close()
			if errOpen != nil {
				return nil, errOpen
			}
			if disbelief != nil {
				b.Doubt = disbelief
			}
			b.Apart = apart(p, b)
			return b, nil
		}
		var next *proc.Process
		next, err = Parent(child)
		child.Close()
		child = next
	}
	if err != nil && !errors.Is(err, ErrNoBundle) {
		return nil, err
	}
	if err == nil {
		child.Close()
	}
	return nil, none
}

// apart reports whether a process is in another PID, mount or user namespace than the
// init of its container; true as well where that cannot be seen.
func apart(p *proc.Process, b *Bundle) bool {
	pid, err := b.InitPID()
	if err != nil || pid == p.PID {
		return err != nil
	}
	init, err := proc.Open(pid)
	if err != nil {
		return true
	}
	defer init.Close()
	return !inNamespacesOf(p, init)
}

// inNamespacesOf reports whether a process is seen to be in the PID, mount and user
// namespace of a container's init.
func inNamespacesOf(p, init *proc.Process) bool {
	for _, t := range []nsops.Type{nsops.PID, nsops.Mnt, nsops.User} {
		own, err := nsops.Identify(p, t)
		its, errInit := nsops.Identify(init, t)
		if err != nil || errInit != nil || own != its {
			return false
		}
	}
	return true
}

// openChild finds the bundle of a child of a shim, be it the init or not: where
// a shim serves several containers, the cgroup tells which.
func openChild(p *proc.Process) (*Bundle, error) {
	b, err := Open(p)
	if !errors.Is(err, ErrNoBundle) {
		return b, err
	}
	cgroups, err := p.Cgroups()
	if err != nil {
		return nil, err
	}
	trust, err := NewTrust()
	if err != nil {
		return nil, err
	}
	return open(p, func(dir *bundleDir) bool {
		for _, cg := range cgroups {
			if _, ok := CgroupBase(cg, dir.id); ok && !trust.inAnother(cg, dir.id) {
				return true
			}
		}
		return false
	})
}

// open looks at the bundle in the working directory of p's parent and then at
// its siblings, for one that match accepts.
func open(p *proc.Process, match func(*bundleDir) bool) (*Bundle, error) {
	shim, status, err := heldParent(p)
	if err != nil {
		return nil, err
	}
	dir, shimStatus, err := shimBundle(shim, match)
	var disbelief *DisbeliefError
	if err != nil {
		switch {
		case errors.As(err, &disbelief) && !errors.Is(err, errNoShim):
			err = fmt.Errorf("pid %d: %w (%w)", p.PID, ErrNoBundle, err)
		case errors.Is(err, errNoShim), IsGone(err), errors.Is(err, fs.ErrPermission) && !isShim(shim):
			err = fmt.Errorf("pid %d: %w", p.PID, ErrNoBundle)
		}
		shim.Close()
		return nil, err
	}
	return &Bundle{
		ID: dir.id, Namespace: dir.namespace, Path: dir.path, Shim: shim, dir: dir.handle,
		Status: status, ShimStatus: shimStatus,
	}, nil
}

// isShim goes by the name, which anybody may read: it only decides whether a
// process that may not be looked at matters.
func isShim(p *proc.Process) bool {
	st, err := p.Stat()
	return err == nil && strings.HasPrefix(st.Comm, "containerd-shim")
}
