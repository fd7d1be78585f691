package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"dx/dockerx/docker"
	"dx/nsops"
	"dx/nsops/cgroup"
	"dx/nsops/proc"
)

// Whose word is believed
//
// Any process may call its working directory a bundle, listen on a socket like an
// engine, and live in a cgroup that is called after a container. Each such word
// decides which program dx starts as root. It counts only if root of this host, or
// dx's own user, could have made it so:
//
//   - A process counts (Trust.Check) if its real, effective, saved and file-system uid
//     are all 0, or all dx's; if it is in dx's user and PID namespace and in no
//     container's cgroup; and if it runs a file of root's, or of dx's user, that is not
//     set-uid: a set-uid program is root in the directory, and with the children, of
//     whoever started it (sudo at its prompt).
//   - A shim (Trust.Shim) counts if moreover its program is called containerd-shim…,
//     as containerd wants of all shims: a root shell, or a logger that a shim has
//     started, may stand in the same directory.
//   - A cgroup that is the only proof (Trust.Cgroup) counts if its directory is root's,
//     if it lies in no other container's, nor in one that runc's state says is another's, nor in a unit of systemd's that may be one
//     (machine-NAME.scope), and if the process is in a PID and a mount namespace other
//     than dx's.
//   - An engine counts if the process that listens on its socket does.
//
// The owner of a directory is no proof, as a mount namespace of a user's shows any
// (overlay, bind). It is checked anyway: see trusted. The program's file is
// looked at as an inode, so that a shim whose program was replaced by an upgrade
// still counts.

// Trust tells whose word counts.
type Trust struct {
	pidns, mntns, userns nsops.ID
	uid                  uint32
	own                  func() own      // nil: nothing is known of dx's cgroups
	served               map[string]bool // IDs, or names, of containers that have a shim
}

// DisbeliefError says that a process claims something and is not believed.
type DisbeliefError struct {
	PID    int
	Claim  string // "claims to be the shim of 0123456789ab"; may be empty
	Reason string // the rule that refused: "it runs as uid 1000"
	Err    error  // what kept dx from looking; nil if nothing did
}

func (e *DisbeliefError) Unwrap() error { return e.Err }

func (e *DisbeliefError) Error() string {
	if e.Claim == "" {
		return fmt.Sprintf("pid %d is not believed: %s", e.PID, e.Reason)
	}
	return fmt.Sprintf("pid %d %s, but %s: not believed", e.PID, e.Claim, e.Reason)
}

// errNoShim says that a process which counts stands in a bundle and is no shim, as root's
// shell or a logger may: there is nothing to warn of.
var errNoShim = errors.New("not a shim")

// NewTrust looks at dx itself, once.
func NewTrust() (Trust, error) { return ownTrust() }

var ownTrust = sync.OnceValues(func() (Trust, error) {
	self, err := proc.Self()
	if err != nil {
		return Trust{}, err
	}
	defer self.Close()
	t := Trust{uid: uint32(os.Geteuid())}
	for kind, to := range map[nsops.Type]*nsops.ID{nsops.PID: &t.pidns, nsops.Mnt: &t.mntns, nsops.User: &t.userns} {
		if *to, err = nsops.Identify(self, kind); err != nil {
			return Trust{}, err
		}
	}
	t.own = ownCgroups
	return t, nil
})

// own is where dx itself runs.
type own struct {
	id      string // the ID of its container; empty: it is in none that is known
	cgroups []proc.Cgroup
}

// ownCgroups reads it when it is first asked for: whoever shares dx's mount namespace
// needs no such look. Cgroups that cannot be read make dx believe less.
var ownCgroups = sync.OnceValue(func() own {
	cgroups, err := cgroup.Own()
	if err != nil {
		return own{}
	}
	id, _ := CgroupID(cgroups)
	return own{id, cgroups}
})

func (t Trust) here() own {
	if t.own == nil {
		return own{}
	}
	return t.own()
}

// Host reports whether a process is root's of this host, or dx's own user's.
func (t Trust) Host(p *proc.Process) bool {
	_, err := t.Check(p)
	return err == nil
}

// Check returns the program of a process whose word counts, else a DisbeliefError, or
// proc.ErrGone or os.ErrNotExist for one that is about to be gone.
// What the process itself can shape (its working directory) is not touched.
func (t Trust) Check(p *proc.Process) (proc.Executable, error) {
	return t.check(&claimant{Process: p})
}

func (t Trust) check(c *claimant) (exe proc.Executable, err error) {
	uids, err := c.uids()
	reason := ""
	if err == nil {
		// This comes first: whoever fails here costs one question to the kernel.
		reason = t.doubtIDs(uids)
	}
	if reason == "" && err == nil {
		reason, err = t.doubtPlace(c)
	}
	if reason == "" && err == nil {
		exe, reason, err = t.doubtProgram(c.Process)
	}
	return exe, disbelief(c.Process, reason, err)
}

// disbelief is nil if there is no reason for it. Who has just ended claims nothing: it loses its
// program first.
func disbelief(p *proc.Process, reason string, err error) error {
	switch {
	case IsGone(err):
		return err
	case err != nil:
		return &DisbeliefError{PID: p.PID, Reason: fmt.Sprintf("it cannot be looked at (%v)", err), Err: err}
	case reason != "":
		return &DisbeliefError{PID: p.PID, Reason: reason}
	}
	return nil
}

func (t Trust) doubtIDs(uids [4]uint32) string {
	first := uids[0]
	if !t.Owns(first) {
		return fmt.Sprintf("it runs as uid %d", first)
	}
	if uids != [4]uint32{first, first, first, first} {
		return fmt.Sprintf("its uids are %d, %d, %d and %d", first, uids[1], uids[2], uids[3])
	}
	return ""
}

// Owns reports whether a uid is root's or dx's own.
func (t Trust) Owns(uid uint32) bool { return uid == 0 || uid == t.uid }

func (t Trust) doubtPlace(c *claimant) (string, error) {
	p := c.Process
	for _, ns := range []struct {
		kind nsops.Type
		want nsops.ID
		name string
	}{{nsops.User, t.userns, "user"}, {nsops.PID, t.pidns, "PID"}} {
		id, err := nsops.Identify(p, ns.kind)
		if err != nil {
			return "", err
		}
		if id != ns.want {
			return "it is in another " + ns.name + " namespace", nil
		}
	}
	// Who shares dx's mount namespace is in no container: to get there takes the
	// rights of the host's root.
	if id, err := nsops.Identify(p, nsops.Mnt); err == nil && id == t.mntns {
		return "", nil
	}
	st, err := c.Status()
	if err != nil {
		return "", err
	}
	if reason := doubtRights(st); reason != "" {
		return reason, nil
	}
	cgroups, err := p.Cgroups()
	if err != nil {
		return "", err
	}
	if id, ok := CgroupID(cgroups); ok && id != t.here().id {
		return "it is in the cgroup of container " + short(id), nil
	}
	return "", nil
}

// doubtRights wants of a process of root's that is in another mount namespace what it
// takes to run containers, and with the host's PIDs to be root of the host. Without that
// it may be in a container whose cgroup bears no ID: runc's own, ctr's, LXC's.
func doubtRights(st proc.Status) string {
	if st.UID[0] != 0 || st.CapPrm&(1<<unix.CAP_SYS_ADMIN) != 0 {
		return ""
	}
	return "it is root in another mount namespace without CAP_SYS_ADMIN, as a container's processes are"
}

func (t Trust) doubtProgram(p *proc.Process) (exe proc.Executable, reason string, err error) {
	exe, err = p.Executable()
	switch {
	case err != nil:
	case !t.Owns(exe.UID) && (exe.UID != unmapped || t.userns.IsFirstUser()):
		reason = fmt.Sprintf("its program is a file of uid %d", exe.UID)
	case exe.Mode&(unix.S_ISUID|unix.S_ISGID) != 0:
		reason = "its program is set-uid: any user may have started it"
	}
	return exe, reason, err
}

// unmapped is the number of all whom dx's user namespace has none for (/proc/sys/kernel/overflowuid):
// in one below the first, of the host's root as well, whose programs run there.
const unmapped = 65534

// Shim returns nil for a process that is a shim of root's, or of dx's user, else a
// DisbeliefError. id is what it claims to serve.
func (t Trust) Shim(p *proc.Process, id string) error { return t.shim(&claimant{Process: p}, id) }

func (t Trust) shim(p *claimant, id string) error {
	exe, err := t.check(p)
	var not *DisbeliefError
	if err == nil && !strings.Contains(path.Base(exe.Path), "containerd-shim") {
		err = &DisbeliefError{PID: p.PID, Reason: "its program is no shim", Err: errNoShim}
	}
	if errors.As(err, &not) {
		not.Claim = "claims to be the shim of " + short(id)
	}
	return err
}

// Cgroup returns nil if a process's cgroup proves that it is in the container with
// that ID, else a DisbeliefError. No shim may be left that could tell.
func (t Trust) Cgroup(p *proc.Process, id string) error {
	return t.cgroup(p, id, []place{{nsops.PID, t.pidns, "PID"}, {nsops.Mnt, t.mntns, "mount"}})
}

// CgroupNamed is Cgroup for a process that a file of root's names as the container's
// init: it may be in dx's PID namespace, as with --pid host.
func (t Trust) CgroupNamed(p *proc.Process, id string) error {
	return t.cgroup(p, id, []place{{nsops.Mnt, t.mntns, "mount"}})
}

// place is a namespace of dx's.
type place struct {
	kind nsops.Type
	ours nsops.ID
	name string
}

func (t Trust) cgroup(p *proc.Process, id string, elsewhere []place) error {
	reason, err := doubtApart(p, elsewhere)
	if reason == "" && err == nil {
		reason, err = t.doubtCgroup(p, id)
	}
	if err != nil {
		reason = fmt.Sprintf("it cannot be looked at (%v)", err)
	}
	if reason != "" {
		return &DisbeliefError{PID: p.PID, Claim: "is in a cgroup that is called after container " + short(id), Reason: reason}
	}
	return nil
}

// doubtApart wants a process that has left the host's namespaces, as a container's
// has: what a command would gain over it is then bounded by those. Who may not see its
// namespaces may not enter them either.
func doubtApart(p *proc.Process, elsewhere []place) (string, error) {
	for _, ns := range elsewhere {
		id, err := nsops.Identify(p, ns.kind)
		switch {
		case errors.Is(err, fs.ErrPermission):
			return "", nil
		case err != nil:
			return "", err
		case id == ns.ours:
			return "it is in dx's own " + ns.name + " namespace and no shim serves it", nil
		}
	}
	return "", nil
}

// doubtCgroup wants the container's own cgroup to be a directory of root's, in one
// hierarchy at least: a user may have one delegated, and name what is in it.
func (t Trust) doubtCgroup(p *proc.Process, id string) (string, error) {
	cgroups, err := p.Cgroups()
	if err != nil {
		return "", err
	}
	if other, ok := madeAround(cgroups, id); ok {
		return "runc made that cgroup's parent for container " + short(other), nil
	}
	reason := "the container's cgroup is not mounted here"
	for _, cg := range cgroups {
		base, ok := CgroupBase(cg, id)
		if !ok || t.inAnother(cg, id) {
			continue
		}
		dirs, err := cgroup.DirsOf([]proc.Cgroup{{Controllers: cg.Controllers, Path: base}})
		if err != nil {
			return "", err
		}
		for _, d := range dirs {
			var st unix.Stat_t
			if err := unix.Lstat(d.Path, &st); err != nil {
				continue
			}
			if trusted(&st) {
				return "", nil
			}
			reason = doubtDir(&st)
		}
	}
	return reason, nil
}

// doubtDir says why a cgroup's directory that is not trusted proves nothing.
func doubtDir(st *unix.Stat_t) string {
	if ownedHere(st) {
		return fmt.Sprintf("others than its owner may write to that cgroup (mode %o)", st.Mode&0o7777)
	}
	return fmt.Sprintf("that cgroup belongs to uid %d", st.Uid)
}

// trusted reports whether only root, or dx's own user, can make anything in a
// directory, as far as stat(2) tells.
func trusted(st *unix.Stat_t) bool {
	return ownedHere(st) && st.Mode&(unix.S_IWGRP|unix.S_IWOTH) == 0
}

// ownedHere reports whether a file is root's or dx's own user's.
func ownedHere(st *unix.Stat_t) bool { return st.Uid == 0 || int(st.Uid) == os.Geteuid() }

// short is an ID as docker prints it.
func short(id string) string {
	if docker.IsID(id) {
		return id[:12]
	}
	return id
}
