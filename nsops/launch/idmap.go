package launch

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/moby/sys/user"
	"golang.org/x/sys/unix"

	"dx/nsops/proc"
)

// IDMaps are the uid_map and gid_map of a new user namespace
// (user_namespaces(7)).
type IDMaps struct{ UIDs, GIDs proc.IDMap }

// MapOwn maps the caller's own ids, and no others: what needs no right at all.
func MapOwn(uid, gid, ownUID, ownGID int) *IDMaps {
	return &IDMaps{
		UIDs: proc.IDMap{{Inside: uint32(uid), Outside: uint32(ownUID), Count: 1}},
		GIDs: proc.IDMap{{Inside: uint32(gid), Outside: uint32(ownGID), Count: 1}},
	}
}

// ErrNoSubordinateIDs says that an account may not use other ids than its own.
var ErrNoSubordinateIDs = errors.New("no subordinate ids")

// AddSubordinate maps the ids behind the first to those that /etc/subuid and
// /etc/subgid give to an account, named there by its name or number.
func (m *IDMaps) AddSubordinate(uid int) error {
	name := strconv.Itoa(uid)
	if u, err := user.LookupUid(uid); err == nil {
		name = u.Name
	}
	for _, f := range []struct {
		path string
		to   *proc.IDMap
	}{{"/etc/subuid", &m.UIDs}, {"/etc/subgid", &m.GIDs}} {
		ranges, err := user.ParseSubIDFileFilter(f.path, func(s user.SubID) bool {
			return s.Name == name || s.Name == strconv.Itoa(uid)
		})
		if err != nil {
			return fmt.Errorf("%w: %w", ErrNoSubordinateIDs, err)
		}
		if len(ranges) == 0 {
			return fmt.Errorf("%w of %s in %s", ErrNoSubordinateIDs, name, f.path)
		}
		// Inside they are numbered as in unshare(1): 65,536 ids end with 65535.
		if n := ranges[0].Count - 1; n > 0 {
			*f.to = append(*f.to, proc.IDRange{Inside: 1, Outside: uint32(ranges[0].SubID), Count: uint32(n)})
		}
	}
	return nil
}

// own reports whether the process may write the maps itself: its own ids alone.
func (m *IDMaps) own() bool { return len(m.UIDs) == 1 && len(m.GIDs) == 1 }

// mapIDs writes the maps, or lets P stop until the caller has had them written.
func (c *compiler) mapIDs(m *IDMaps) {
	if m == nil {
		return
	}
	if !m.own() {
		c.stop("stop until newuidmap and newgidmap have written the maps").Origin = "/etc/subuid, /etc/subgid"
		return
	}
	// Without it the map of groups is refused (user_namespaces(7)): leaving a
	// group can open a file that is closed to that group.
	c.writeFile("/proc/self/setgroups", "deny", "give up setgroups")
	c.writeFile("/proc/self/uid_map", m.UIDs[0].String(), "map the user")
	c.writeFile("/proc/self/gid_map", m.GIDs[0].String(), "map the group")
}

// stop lets P stop itself until Program.paused is done.
func (c *compiler) stop(doing string) *Step {
	self := c.call("find the own PID", "", "getpid", unix.SYS_GETPID)
	stop := c.call(doing, "", "kill", unix.SYS_KILL, named(0, "self"), named(int(unix.SIGSTOP), "SIGSTOP"))
	self.into = &slot{step: stop, arg: 0}
	return stop
}

func (c *compiler) writeFile(path, text, doing string) {
	open := c.call("open "+path, "", "openat", unix.SYS_OPENAT, named(atFdcwd, "AT_FDCWD"), str(path),
		named(unix.O_WRONLY|unix.O_CLOEXEC, "O_WRONLY|O_CLOEXEC"))
	write := c.call(doing, "", "write", unix.SYS_WRITE, named(0, path), raw([]byte(text), strconv.Quote(text)), num(len(text)))
	open.into = &slot{step: write, arg: 0}
}

// helperTime bounds newuidmap and newgidmap.
const helperTime = 10 * time.Second

// install lets the set-user-ID helpers write the maps of a process.
func (m *IDMaps) install(pid int) error {
	for _, h := range []struct {
		program string
		maps    proc.IDMap
	}{{"newuidmap", m.UIDs}, {"newgidmap", m.GIDs}} {
		args := []string{strconv.Itoa(pid)}
		for _, l := range h.maps {
			args = append(args, strings.Fields(l.String())...)
		}
		ctx, cancel := context.WithTimeout(context.Background(), helperTime)
		out, err := exec.CommandContext(ctx, h.program, args...).CombinedOutput()
		cancel()
		if err != nil {
			return fmt.Errorf("%s %s: %w: %s", h.program, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}
