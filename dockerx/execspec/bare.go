package execspec

import (
	"fmt"

	"github.com/opencontainers/runtime-spec/specs-go"

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

// initUser is the user that the process runs as now, as its user namespace counts.
func (b *builder) initUser() (specs.User, string, error) {
	st, uids, gids := b.f.Init.Status, b.f.Init.UIDs, b.f.Init.GIDs
	if b.f.Init.Namespaces.Own[nsops.User] == b.f.Self.Namespaces.Own[nsops.User] {
		uids = proc.IDMap{{Count: ^uint32(0)}}
		gids = uids
	}
	u := specs.User{}
	var ok bool
	if u.UID, ok = uids.Inner(st.UID[1]); !ok {
		return u, "", b.unmapped("uid", st.UID[1])
	}
	if u.GID, ok = gids.Inner(st.GID[1]); !ok {
		return u, "", b.unmapped("gid", st.GID[1])
	}
	for _, outer := range st.Groups {
		if gid, ok := gids.Inner(outer); ok {
			u.AdditionalGids = append(u.AdditionalGids, gid)
		}
	}
	return u, b.procFile("status"), nil
}

func (b *builder) unmapped(what string, id uint32) error {
	return fmt.Errorf("the user namespace of %s has no id for its %s %d: its %s_map does not cover it", b.f.Name, what, id, what)
}

// heldCapabilities are those that the process has.
func (b *builder) heldCapabilities() error {
	if b.o.Privileged {
		return &BarePrivilegedError{Ref: b.f.Ref}
	}
	held := b.f.Init.Status.CapPrm & caps.Supported()
	set := all(held)
	b.from("Capabilities", "%s CapPrm", b.procFile("status"))
	if b.o.User == "" {
		set.Effective = caps.Names(b.f.Init.Status.CapEff & held)
		set.Inheritable = caps.Names(b.f.Init.Status.CapInh & held)
		set.Ambient = caps.Names(b.f.Init.Status.CapAmb & held)
		b.from("Capabilities", "%s CapPrm, CapEff, CapInh, CapAmb", b.procFile("status"))
	}
	b.out.Process.Capabilities = set
	return nil
}
