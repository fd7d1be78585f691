package execspec

import (
	"fmt"
	"maps"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"

	"dx/dockerx"
	"dx/nsops"
	"dx/nsops/caps"
	"dx/nsops/proc"
)

// What runs beside a process that is in no container (pid:N) has at most the rights
// of that process, which may be anybody's, and takes no word of it:
//
//   - It is in another mount namespace than dx. In dx's own there is nothing to enter
//     but its user, and whatever a command looks up there is the caller's.
//   - Its user, groups and capabilities are those of the process, as its own user
//     namespace counts them; with -u another user, and the process's permitted
//     capabilities. Its bounding set says nothing: it is full for every user.
//   - Its user namespace is joined, as it was when its rights were read: whoever makes
//     one has all capabilities in it.
//   - Its environment is never taken. It is the word of who started the process, who
//     may have fewer rights (a set-uid program), and of whoever gets a text into its
//     title (setproctitle(3) writes over it).

// SharedMountError says that a process is in dx's own mount namespace.
type SharedMountError struct {
	Ref   string
	PID   int
	Kinds []nsops.Type // the namespaces in which it is elsewhere
}

func (e *SharedMountError) Error() string {
	return fmt.Sprintf("%s shares your mount namespace: it is in no container that could be entered, and its user and environment are not to be trusted", e.Ref)
}

// BarePrivilegedError says that --privileged was asked for beside a process that is
// in no container.
type BarePrivilegedError struct{ Ref string }

func (e *BarePrivilegedError) Error() string {
	return e.Ref + " is in no container: --privileged would run programs of its choice with rights that it does not have"
}

// apart refuses a process that is in dx's own mount namespace.
func apart(c *dockerx.Container) error {
	differ, err := nsops.Differing(c.Process)
	if err != nil {
		return err
	}
	if slices.Contains(differ, nsops.Mnt) {
		return nil
	}
	return &SharedMountError{Ref: c.Ref, PID: c.Process.PID, Kinds: differ}
}

// settled makes sure that the process was in the same namespaces all the time: its
// capabilities are those of one user namespace, and mean nothing in another one.
func (b *builder) settled() error {
	now, err := nsops.Read(b.c.Process)
	if err != nil {
		return err
	}
	if !maps.Equal(now.Own, b.before.Own) {
		return fmt.Errorf("%s: %w", b.c.Ref, nsops.ErrMoved)
	}
	b.out.Exactly = now.Own
	return nil
}

// bareEnvironment is docker's default, for the host as well: an init's own says
// nothing that a command needs.
func (b *builder) bareEnvironment() error {
	b.setEnv(override(b.defaults(), b.o.Env, "-e"))
	return nil
}

// initUser is the user that the process runs as now, as its user namespace counts.
func (b *builder) initUser() (specs.User, string, error) {
	inside, err := b.insideIDs()
	if err != nil {
		return specs.User{}, "", err
	}
	u := specs.User{}
	var ok bool
	if u.UID, ok = inside.uids.Inner(b.init.UID[1]); !ok {
		return u, "", b.unmapped("uid", b.init.UID[1])
	}
	if u.GID, ok = inside.gids.Inner(b.init.GID[1]); !ok {
		return u, "", b.unmapped("gid", b.init.GID[1])
	}
	for _, outer := range b.init.Groups {
		if gid, ok := inside.gids.Inner(outer); ok {
			u.AdditionalGids = append(u.AdditionalGids, gid)
		}
	}
	return u, b.procFile("status"), nil
}

func (b *builder) unmapped(what string, id uint32) error {
	return fmt.Errorf("the user namespace of %s has no id for its %s %d: its %s_map does not cover it", b.c.Name, what, id, what)
}

// idMaps lead from the ids that dx sees to those of the process's user namespace.
type idMaps struct{ uids, gids proc.IDMap }

func (b *builder) insideIDs() (idMaps, error) {
	same := proc.IDMap{{Count: ^uint32(0)}}
	self, err := proc.Self()
	if err != nil {
		return idMaps{}, err
	}
	defer self.Close()
	ours, err := nsops.Identify(self, nsops.User)
	if err != nil {
		return idMaps{}, err
	}
	theirs, err := nsops.Identify(b.c.Process, nsops.User)
	if err != nil || theirs == ours {
		return idMaps{same, same}, err
	}
	var m idMaps
	if m.uids, err = b.c.Process.UIDMap(); err == nil {
		m.gids, err = b.c.Process.GIDMap()
	}
	return m, err
}

// heldCapabilities are those that the process has.
func (b *builder) heldCapabilities() error {
	if b.o.Privileged {
		return &BarePrivilegedError{Ref: b.c.Ref}
	}
	held := b.init.CapPrm & caps.Supported()
	set := all(held)
	b.from("Capabilities", "%s CapPrm", b.procFile("status"))
	if b.o.User == "" {
		set.Effective = caps.Names(b.init.CapEff & held)
		set.Inheritable = caps.Names(b.init.CapInh & held)
		set.Ambient = caps.Names(b.init.CapAmb & held)
		b.from("Capabilities", "%s CapPrm, CapEff, CapInh, CapAmb", b.procFile("status"))
	}
	b.out.Process.Capabilities = set
	return nil
}
