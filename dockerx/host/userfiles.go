package host

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"

	"github.com/moby/sys/user"
	"golang.org/x/sys/unix"

	"dx/nsops/launch"
	"dx/nsops/proc"
	"dx/nsops/rootfs"
)

// userFiles are the files of a plain user's engine, below the root of the process that
// keeps a container of it. A deputy reads them, which has joined the user namespace in which
// that process is: it can read what that user could, and no more, so that no link leads to
// anything else; and it is not waited for where a FUSE of that user's does not answer.
type userFiles struct {
	keeper *proc.Process // stays its owner's
	deputy launch.Deputy
	root   *rootfs.Root // nil: not opened yet
	silent *bool        // a file of that user's has not answered: none is asked for any more; nil: nobody remembers
}

// asked remembers a silence, which costs some seconds, for all files of that user.
func (u *userFiles) asked(err error) error {
	if u.silent != nil && errors.Is(err, launch.ErrSilent) {
		*u.silent = true
	}
	return err
}

func (u *userFiles) open() error {
	if u.silent != nil && *u.silent {
		return launch.ErrSilent
	}
	if u.root != nil {
		return nil
	}
	realm, err := u.keeper.OpenFile("ns/user", unix.O_RDONLY)
	if err != nil {
		return err
	}
	u.deputy.Realm = realm
	u.root, err = rootfs.Open(u.keeper, &u.deputy, fmt.Sprintf("pid %d", u.keeper.PID))
	return err
}

func (u *userFiles) close() {
	if u == nil {
		return
	}
	_ = u.deputy.Close()
	if u.deputy.Realm != nil {
		u.deputy.Realm.Close()
		u.deputy.Realm = nil
	}
	if u.root != nil {
		u.root.Close()
		u.root = nil
	}
}

// read reads a regular file, 8 MiB at the most.
func (u *userFiles) read(name string) ([]byte, error) {
	if err := u.open(); err != nil {
		return nil, err
	}
	data, err := u.root.ReadFile(name)
	return data, u.asked(err)
}

// directory opens one with O_PATH: what lies in it is for a deputy to look at.
func (u *userFiles) directory(name string) (*os.File, error) {
	if err := u.open(); err != nil {
		return nil, err
	}
	f, info, err := u.root.Find(name)
	if err == nil && info.Mode&unix.S_IFMT != unix.S_IFDIR {
		f.Close()
		return nil, fmt.Errorf("open %s: %w", name, unix.ENOTDIR)
	}
	return f, err
}

// has reports whether there is a file of that name, or nobody can tell.
func (u *userFiles) has(name string) bool {
	if u.open() != nil {
		return true
	}
	_, err := u.root.Stat(name)
	return !errors.Is(err, unix.ENOENT)
}

// parseOf is parse for a file of a plain user's.
func parseOf[T any](u *userFiles, name string, parser func([]byte) (T, error)) (v T, err error) {
	data, err := u.read(name)
	if err != nil {
		return v, err
	}
	if v, err = parser(data); err != nil {
		err = fmt.Errorf("parse %s: %w", name, err)
	}
	return v, err
}

// state reads a runtime's state, in a directory of a plain user's. Of cgroups it has no
// say: a user may call any his container's.
func (u *userFiles) state(dir string) (*State, error) {
	s, err := parseOf(u, path.Join(dir, "state.json"), ParseState)
	if errors.Is(err, unix.ENOENT) {
		s, err = parseOf(u, path.Join(dir, "status"), ParseCrunStatus)
	}
	if err == nil {
		s.CgroupPaths = nil
	}
	return s, err
}

// userName is what a user is called in references: the account, or the number where there
// is none, or none that can be typed.
func userName(uid uint32) string {
	number := strconv.FormatUint(uint64(uid), 10)
	u, err := user.LookupUid(int(uid))
	if err != nil || !isAccount(u.Name) {
		return number
	}
	return u.Name
}

// isAccount reports whether a text is an account's name as useradd(8) takes it.
func isAccount(name string) bool {
	for i, r := range name {
		letter := r >= 'a' && r <= 'z' || r == '_'
		if !letter && (i == 0 || (r < '0' || r > '9') && r != '-' && (r < 'A' || r > 'Z') && r != '.') {
			return false
		}
	}
	return name != ""
}
