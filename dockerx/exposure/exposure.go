// Package exposure finds out whether a container could take over the host through a
// command that has the caller's rights, or the host's root: what it is that docker exec
// never starts. How such a command is started does not belong here.
package exposure

import (
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"dx/dockerx"
	"dx/dockerx/host"
	"dx/nsops"
	"dx/nsops/proc"
	"dx/nsops/tools"
)

// Error says that the container could take over the host, or the caller, through a command.
type Error struct {
	Container, Reason string
	How               string // empty: through its root
	Instead           string // what to do about it; empty: nothing but to go on anyway
}

const throughRoot = "through /proc/PID/root of the command, which has the host's root, it could take over the host"

func (e *Error) Error() string {
	how := e.How
	if how == "" {
		how = throughRoot
	}
	return fmt.Sprintf("%s: %s: %s", e.Container, e.Reason, how)
}

// watched says which process has the power, and over what.
func watched(watchers []tools.Watcher) string {
	w, more := watchers[0], ""
	if len(watchers) > 1 {
		more = fmt.Sprintf(" (and %d more)", len(watchers)-1)
	}
	return fmt.Sprintf("its process %d (%s)%s has %s", w.PID, w.Name, more, w.Reason)
}

// OfNamespaces refuses to run a program of the container's with the caller's rights,
// and to let a process see the command that would have power over it.
func OfNamespaces(c *dockerx.Container, joins []nsops.Type, own proc.Status) error {
	has := func(t nsops.Type) bool { return slices.Contains(joins, t) }
	switch {
	case has(nsops.Mnt):
		return &Error{
			Container: c.String(), Reason: "with mnt the command is the container's own program, by whatever name",
			How:     "with your rights, and none of the container's limits, it could take over the host",
			Instead: "without mnt it is a program of the host's, without --ns it has the container's rights",
		}
	case has(nsops.User):
		return checkUserNamespace(c, has(nsops.PID))
	case !has(nsops.PID):
		return nil
	}
	watchers, err := tools.Tracers(c.Process, own)
	if err != nil || len(watchers) == 0 {
		return err
	}
	return &Error{Container: c.String(), Reason: watched(watchers)}
}

// OfHostTools refuses a command with the host's root where a process of the container
// would see it and has power over it. joinsPIDs: it is in the container's PID namespace.
func OfHostTools(c *dockerx.Container, own proc.Status, joinsPIDs bool) error {
	pidHost, err := HostPIDs(c)
	if err != nil || !joinsPIDs && !pidHost {
		return err
	}
	watchers, err := tools.Tracers(c.Process, own)
	if err != nil || len(watchers) == 0 {
		return err
	}
	instead := "--share-pid=false hides the command from the container"
	if pidHost {
		instead = "the container has the host's PID namespace, so that --share-pid=false does not help"
	}
	return &Error{Container: c.String(), Reason: watched(watchers), Instead: instead}
}

// HostPIDs reports whether a container's processes see all of the host's.
func HostPIDs(c *dockerx.Container) (bool, error) {
	differ, err := nsops.DifferentFromSelf(c.Process)
	return !slices.Contains(differ, nsops.PID), err
}

// checkUserNamespace refuses one whose processes see the command, or whose maker
// does: he has all capabilities over it (user_namespaces(7)). The root of a container
// without a user namespace is the same maker as the host's root, if he sees the host's
// processes.
func checkUserNamespace(c *dockerx.Container, joinsPIDs bool) error {
	pidHost, err := HostPIDs(c)
	if err != nil {
		return err
	}
	if joinsPIDs || pidHost {
		const reason = "the command would be root of the container's user namespace, as its processes may be"
		return &Error{Container: c.String(), Reason: reason}
	}
	switch pid, id, err := host.WithHostPIDs(); {
	case err != nil:
		return err
	case pid != 0:
		whose := "container " + id[:min(12, len(id))]
		if id == "" {
			whose = "a container, by its root and its rights,"
		}
		return &Error{
			Container: c.String(), Reason: fmt.Sprintf("pid %d of %s sees the host's processes, and the command among them", pid, whose),
			How: "as root it has power over the command in a user namespace, and over what that has of yours",
		}
	}
	f, err := c.Process.OpenFile("ns/user", unix.O_PATH)
	if err != nil {
		return err
	}
	defer f.Close()
	ns, err := nsops.OpenFile(f)
	if err != nil {
		return err
	}
	defer ns.Close()
	owner, err := ns.OwnerUID()
	if err != nil || int(owner) == os.Geteuid() {
		return err
	}
	return &Error{
		Container: c.String(), Reason: fmt.Sprintf("the command would be in a user namespace of uid %d's", owner),
		How: "its maker has power over the command, and over what it has of yours",
	}
}
