package execspec

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"

	"github.com/moby/sys/user"
	"github.com/opencontainers/runtime-spec/specs-go"

	"dx/nsops/launch"
	"dx/nsops/rootfs"
)

// user mirrors moby daemon/exec.go: -u, else the configuration's user, else the
// one that the container was started with. Names are looked up in the root file
// system, not in the mount namespace: an /etc/passwd that is mounted over it does
// not count here, though it does for HOME.
func (b *builder) user() error {
	if err := b.findUser(); err != nil {
		return err
	}
	if !b.sinceRunc13() {
		// To 1.2 runc made a set of the groups (libcontainer/init_linux.go, setupUser).
		b.out.Process.User.AdditionalGids = distinct(b.out.Process.User.AdditionalGids)
	}
	return nil
}

func distinct(ids []uint32) []uint32 {
	var out []uint32
	for _, id := range ids {
		if !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}

func (b *builder) findUser() error {
	name, origin := b.userName()
	if name == "" {
		b.out.Process.User = b.spec.Process.User
		b.from("User", "%s", b.configJSON("process.user"))
		return nil
	}
	dir, err := b.bundle.OpenRootfs(b.spec)
	if err != nil {
		return fmt.Errorf("look up user %s: %w", name, err)
	}
	defer dir.Close()
	a, err := readAccounts(rootfs.At(dir, b.c.Deputy(), b.c.Name))
	if err != nil {
		return err
	}
	lookup := lookupUser
	if b.snapshotter() {
		lookup = lookupUserSnapshotter
	}
	return b.setUser(lookup, a, name, origin)
}

// userName is the user to look up; empty: none is named.
func (b *builder) userName() (name, origin string) {
	if b.o.User != "" {
		return b.o.User, "-u"
	}
	if b.config != nil {
		return b.config.User, b.config.Origin + " Config.User"
	}
	return "", ""
}

type lookup func(a accounts, name string, groupAdd []string) (specs.User, error)

func (b *builder) setUser(find lookup, a accounts, name, origin string) error {
	var groupAdd []string
	if b.config != nil {
		groupAdd = b.config.GroupAdd
	}
	u, err := find(a, name, groupAdd)
	if err != nil {
		return &UserError{Err: err}
	}
	b.out.Process.User = u
	b.from("User", "%s, looked up in the root file system", origin)
	return nil
}

// snapshotter says whether dockerd keeps the container in containerd's image
// store: its root file system is then mounted at <data-root>/rootfs/<snapshotter>/<id>
// (moby daemon/snapshotter/mount.go).
func (b *builder) snapshotter() bool {
	dir, id := path.Split(b.spec.Root.Path)
	return id == b.bundle.ID && path.Base(path.Dir(path.Clean(dir))) == "rootfs"
}

// ownUser is user without a bundle: by default who the process runs as. The root
// file system is only to be had through the mount namespace.
func (b *builder) ownUser() error { return b.userInRoot(b.initUser) }

// rootUser is for the host: root unless -u says otherwise.
func (b *builder) rootUser() error {
	return b.userInRoot(func() (specs.User, string, error) { return specs.User{}, "root unless -u", nil })
}

func (b *builder) userInRoot(otherwise func() (specs.User, string, error)) error {
	name, origin := b.userName()
	if name == "" {
		u, from, err := otherwise()
		b.out.Process.User = u
		b.from("User", "%s", from)
		return err
	}
	root, err := b.c.Root()
	if err != nil {
		return err
	}
	defer root.Close()
	a, err := readAccounts(root)
	if err != nil {
		return err
	}
	return b.setUser(lookupUser, a, name, origin)
}

// accounts are /etc/passwd and /etc/group; nil if there is no such file.
type accounts struct{ passwd, group []byte }

// readAccounts reads what can be read: like moby it takes a file that cannot be
// opened, or is none, for absent (moby/sys/user, GetExecUserPath). A file system that
// does not answer says neither.
func readAccounts(root *rootfs.Root) (a accounts, err error) {
	for path, to := range map[string]*[]byte{"/etc/passwd": &a.passwd, "/etc/group": &a.group} {
		data, err := root.ReadFile(path)
		if errors.Is(err, launch.ErrSilent) {
			return a, err
		}
		if err == nil {
			*to = data
		}
	}
	return a, nil
}

// source gives the true nil that moby/sys/user takes for "no such file".
func source(b []byte) io.Reader {
	if b == nil {
		return nil
	}
	return bytes.NewReader(b)
}

// lookupUser mirrors moby daemon/oci_linux.go, getUser.
func lookupUser(a accounts, name string, groupAdd []string) (specs.User, error) {
	eu, err := user.GetExecUser(name, nil, source(a.passwd), source(a.group))
	if err != nil {
		return specs.User{}, err
	}
	u := specs.User{UID: uint32(eu.Uid), GID: uint32(eu.Gid)}
	u.AdditionalGids = append([]uint32{u.GID}, uint32s(eu.Sgids)...)
	if len(groupAdd) == 0 {
		return u, nil
	}
	if slices.Contains(groupAdd, "") { // v0.5.0 panics
		return u, fmt.Errorf("unable to find group : %w", user.ErrNoGroupEntries)
	}
	added, err := user.GetAdditionalGroups(groupAdd, source(a.group))
	slices.Sort(added) // the order is a map's
	u.AdditionalGids = append(u.AdditionalGids, uint32s(added)...)
	return u, err
}

func uint32s(ids []int) []uint32 {
	out := make([]uint32, len(ids))
	for i, id := range ids {
		out[i] = uint32(id)
	}
	return out
}

// lookupUserSnapshotter mirrors moby daemon/exec_linux.go, getUserFromContainerd:
// the same user, but its groups as containerd's oci.WithAdditionalGIDs finds
// them: none for "name:group", and not the group that is named like the user.
// A name that getUser does not find is refused before that.
func lookupUserSnapshotter(a accounts, name string, groupAdd []string) (specs.User, error) {
	u, err := lookupUser(a, name, nil)
	if err != nil {
		return u, err
	}
	u.AdditionalGids, err = memberGroups(a, name)
	if err != nil {
		return u, err
	}
	if !slices.Contains(u.AdditionalGids, u.GID) {
		u.AdditionalGids = append([]uint32{u.GID}, u.AdditionalGids...)
	}
	added, err := appendedGroups(a, groupAdd)
	u.AdditionalGids = append(u.AdditionalGids, added...)
	return u, err
}

func memberGroups(a accounts, name string) ([]uint32, error) {
	if uid, err := strconv.Atoi(name); err == nil {
		users, err := user.ParsePasswdFilter(bytes.NewReader(a.passwd), func(u user.User) bool { return u.Uid == uid })
		if err != nil || len(users) == 0 {
			return nil, err
		}
		name = users[0].Name
	}
	groups, err := user.ParseGroupFilter(bytes.NewReader(a.group), func(g user.Group) bool {
		return g.Name != name && slices.Contains(g.List, name)
	})
	var out []uint32
	for _, g := range groups {
		out = append(out, uint32(g.Gid))
	}
	return out, err
}

// appendedGroups mirrors containerd's oci.WithAppendAdditionalGroups.
func appendedGroups(a accounts, groupAdd []string) ([]uint32, error) {
	var out []uint32
	for _, name := range groupAdd {
		if gid, err := strconv.ParseUint(name, 10, 32); err == nil {
			out = append(out, uint32(gid))
			continue
		}
		groups, err := user.ParseGroupFilter(bytes.NewReader(a.group), func(g user.Group) bool { return g.Name == name })
		if err != nil {
			return nil, err
		}
		if len(groups) == 0 {
			return nil, fmt.Errorf("unable to find group %s", name)
		}
		out = append(out, uint32(groups[len(groups)-1].Gid)) // a map: the last one wins
	}
	return out, nil
}

// homeOf finds a user's home as runc does: the first entry of the uid in
// /etc/passwd as the container sees it, mounts included; "/" if there is none.
func (b *builder) homeOf(uid uint32) (dir, origin string, err error) {
	const passwd = "/etc/passwd"
	root, err := b.c.Root()
	if err != nil {
		return "/", fmt.Sprintf("runc's default (%v)", err), nil
	}
	defer root.Close()
	data, err := root.ReadFile(passwd)
	switch {
	case errors.Is(err, launch.ErrSilent):
		return "", "", err
	case errors.Is(err, fs.ErrNotExist):
		return "/", "runc's default (no " + passwd + ")", nil
	case err != nil:
		return "/", fmt.Sprintf("runc's default (%v)", err), nil
	}
	users, err := user.ParsePasswdFilter(bytes.NewReader(data), func(u user.User) bool { return uint32(u.Uid) == uid })
	if err != nil || len(users) == 0 {
		return "/", fmt.Sprintf("runc's default (uid %d is not in %s)", uid, passwd), nil
	}
	return users[0].Home, "the container's " + passwd, nil
}
