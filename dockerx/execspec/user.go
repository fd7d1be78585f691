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
	"strings"

	"github.com/moby/sys/user"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// user mirrors moby daemon/exec.go: -u, else the configuration's user, else the
// one that the container was started with. Who is in no container, or has lost its
// bundle, has by default the user of the process; the host has root.
func (b *builder) user() error {
	u, origin, err := b.findUser()
	if err != nil {
		return err
	}
	if b.f.Manager == "podman" {
		u.AdditionalGids = withoutPrimary(u)
	}
	if b.f.hasBundle() && !sinceRunc13(b.f.State) && !b.out.Crun {
		u.AdditionalGids = groupsOfOldRunc(b.f.Accounts, u.AdditionalGids)
	}
	b.out.Process.User = u
	b.from("User", "%s", origin)
	return nil
}

// groupsOfOldRunc returns the groups that runc to 1.2 sets: a set, in which each number is
// first looked up in /etc/group, where a group may be named like it
// (libcontainer/init_linux.go, setupUser; libcontainer/user, GetAdditionalGroups).
func groupsOfOldRunc(a Accounts, ids []uint32) []uint32 {
	groups, err := user.ParseGroup(source(a.Group))
	if err != nil {
		groups = nil
	}
	var out []uint32
	for _, id := range ids {
		for _, g := range groups {
			gid := uint32(g.Gid)
			if (g.Name == strconv.FormatUint(uint64(id), 10) || gid == id) && !slices.Contains(out, gid) {
				id = gid
				break
			}
		}
		if !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}

func (b *builder) findUser() (specs.User, string, error) {
	name, origin := userName(b.f, b.o)
	switch {
	case name != "":
		u, err := b.lookUp(name)
		return u, origin + ", looked up in the root file system", err
	case b.f.hasBundle():
		return b.f.Spec.Process.User, configJSON("process.user"), nil
	case b.f.Kind == OnHost:
		return specs.User{}, "root unless -u", nil
	}
	return b.initUser()
}

// userName is the user to look up; empty: none is named.
func userName(f *Facts, o Options) (name, origin string) {
	if o.User != "" {
		return o.User, "-u"
	}
	if c := configOf(f); c != nil {
		return c.User, c.Origin + " Config.User"
	}
	return "", ""
}

type lookup func(a Accounts, name string, groupAdd []string) (specs.User, error)

func (b *builder) lookUp(name string) (specs.User, error) {
	var groupAdd []string
	if b.config != nil {
		groupAdd = b.config.GroupAdd
	}
	var find lookup = lookupUser
	switch {
	case b.f.Kind == Contained && b.f.Docker == nil:
		find = foreignLookup(b.f)
	case b.f.Kind == Contained && snapshotter(b.f):
		find = lookupUserSnapshotter
	}
	// Of name:group:more Docker took two parts (moby/sys/user to 0.3). Which one it has is
	// told by the runtime of its time.
	if parts := strings.SplitN(name, ":", 3); len(parts) == 3 && !sinceRunc13(b.f.State) && !snapshotter(b.f) {
		name = parts[0] + ":" + parts[1]
	}
	u, err := find(b.f.Accounts, name, groupAdd)
	var known *UserError
	if err != nil && !errors.As(err, &known) {
		err = &UserError{Err: err}
	}
	return u, err
}

// snapshotter reports whether dockerd keeps the container in containerd's image
// store: its root file system is then mounted at <data-root>/rootfs/<snapshotter>/<id>
// (moby daemon/snapshotter/mount.go).
func snapshotter(f *Facts) bool {
	dir, id := path.Split(f.Spec.Root.Path)
	return id == f.ID && path.Base(path.Dir(path.Clean(dir))) == "rootfs"
}

// source gives the true nil that moby/sys/user takes for "no such file".
func source(b []byte) io.Reader {
	if b == nil {
		return nil
	}
	return bytes.NewReader(b)
}

// lookupUser mirrors moby daemon/oci_linux.go, getUser.
func lookupUser(a Accounts, name string, groupAdd []string) (specs.User, error) {
	eu, err := user.GetExecUser(name, nil, source(a.Passwd), source(a.Group))
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
	added, err := user.GetAdditionalGroups(groupAdd, source(a.Group))
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

// lookupUserSnapshotter mirrors moby daemon/exec_linux.go, getUserFromContainerd. What
// getUser finds is checked when the exec is created, and not used when it starts: then
// containerd looks the user up.
func lookupUserSnapshotter(a Accounts, name string, groupAdd []string) (specs.User, error) {
	parts := strings.SplitN(name, ":", 3)
	checked := strings.Join(parts[:min(len(parts), 2)], ":") // moby/sys/user to 0.4
	if _, err := lookupUser(a, checked, nil); err != nil {
		return specs.User{}, err
	}
	if len(parts) == 3 {
		return specs.User{}, &UserError{Err: fmt.Errorf("invalid USER value %s", name), Starting: true}
	}
	u, err := containerdUser(a, parts)
	if err != nil {
		return u, &UserError{Err: err, Starting: true}
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

// containerdUser mirrors containerd's oci.WithUser (v2.3.5) for what getUser has accepted: a
// number is never looked up as a name, and beside a group, also an empty one, the user's own
// group does not count.
func containerdUser(a Accounts, parts []string) (specs.User, error) {
	uid, err := strconv.Atoi(parts[0])
	isUID := err == nil
	users, err := passwdEntries(a, func(u user.User) bool {
		return isUID && u.Uid == uid || !isUID && u.Name == parts[0]
	})
	switch {
	case err != nil:
		return specs.User{}, err
	case len(users) > 0:
		uid = users[0].Uid
	case !isUID && parts[0] != "":
		return specs.User{}, errors.New("no users found") // the file has just changed
	}
	u := specs.User{UID: uint32(uid)}
	if len(parts) == 2 {
		u.GID, err = containerdGroup(a, parts[1])
	} else if len(users) > 0 {
		u.GID = uint32(users[0].Gid)
	}
	return u, err
}

func containerdGroup(a Accounts, name string) (uint32, error) {
	if gid, err := strconv.Atoi(name); err == nil || name == "" {
		return uint32(gid), nil
	}
	groups, err := user.ParseGroupFilter(bytes.NewReader(a.Group), func(g user.Group) bool { return g.Name == name })
	if err != nil {
		return 0, err
	}
	if len(groups) == 0 {
		return 0, errors.New("no groups found")
	}
	return uint32(groups[0].Gid), nil
}

func passwdEntries(a Accounts, matches func(user.User) bool) ([]user.User, error) {
	return user.ParsePasswdFilter(bytes.NewReader(a.Passwd), matches)
}

func memberGroups(a Accounts, name string) ([]uint32, error) {
	if uid, err := strconv.Atoi(name); err == nil {
		users, err := passwdEntries(a, func(u user.User) bool { return u.Uid == uid })
		if err != nil || len(users) == 0 {
			return nil, err
		}
		name = users[0].Name
	}
	groups, err := user.ParseGroupFilter(bytes.NewReader(a.Group), func(g user.Group) bool {
		return g.Name != name && slices.Contains(g.List, name)
	})
	var out []uint32
	for _, g := range groups {
		out = append(out, uint32(g.Gid))
	}
	return out, err
}

// appendedGroups mirrors containerd's oci.WithAppendAdditionalGroups.
func appendedGroups(a Accounts, groupAdd []string) ([]uint32, error) {
	var out []uint32
	for _, name := range groupAdd {
		if gid, err := strconv.ParseUint(name, 10, 32); err == nil {
			out = append(out, uint32(gid))
			continue
		}
		groups, err := user.ParseGroupFilter(bytes.NewReader(a.Group), func(g user.Group) bool { return g.Name == name })
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
func homeOf(f *Facts, uid uint32) (dir, origin string) {
	const passwd = "/etc/passwd"
	switch {
	case errors.Is(f.HomeErr, fs.ErrNotExist):
		return "/", "runc's default (no " + passwd + ")"
	case f.HomeErr != nil:
		return "/", fmt.Sprintf("runc's default (%v)", f.HomeErr)
	}
	users, err := user.ParsePasswdFilter(bytes.NewReader(f.Home), func(u user.User) bool { return uint32(u.Uid) == uid })
	if err != nil || len(users) == 0 {
		return "/", fmt.Sprintf("runc's default (uid %d is not in %s)", uid, passwd)
	}
	return users[0].Home, "the container's " + passwd
}
