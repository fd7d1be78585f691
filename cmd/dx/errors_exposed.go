package main

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

// exposedError says that the container could take over the host through a command.
type exposedError struct {
	container, reason string
	how               string // empty: throughRoot
	instead           string // what to do about it; empty: nothing but --expose-host
}

const throughRoot = "through /proc/PID/root of the command, which has the host's root, it could take over the host"

func (e *exposedError) Error() string {
	how := e.how
	if how == "" {
		how = throughRoot
	}
	return fmt.Sprintf("%s: %s: %s", e.container, e.reason, how)
}

func (e *exposedError) hint() string {
	if e.instead == "" {
		return "; --expose-host goes on anyway"
	}
	return "; " + e.instead + ", --expose-host goes on anyway"
}

// watched says which process has the power, and over what.
func watched(watchers []tools.Watcher) string {
	w, more := watchers[0], ""
	if len(watchers) > 1 {
		more = fmt.Sprintf(" (and %d more)", len(watchers)-1)
	}
	return fmt.Sprintf("its process %d (%s)%s has %s", w.PID, w.Name, more, w.Reason)
}

// checkExposure refuses to run a program of the container's with the caller's rights,
// and to let a process see the command that would have power over it.
func checkExposure(c *dockerx.Container, joins []nsops.Type, own proc.Status) error {
	has := func(t nsops.Type) bool { return slices.Contains(joins, t) }
	switch {
	case has(nsops.Mnt):
		return &exposedError{
			container: c.String(), reason: "with mnt the command is the container's own program, by whatever name",
			how:     "with your rights, and none of the container's limits, it could take over the host",
			instead: "without mnt it is a program of the host's, without --ns it has the container's rights",
		}
	case has(nsops.User):
		return checkUserNamespace(c, has(nsops.PID))
	case !has(nsops.PID):
		return nil
	}
	watchers, err := tools.Watchers(c.Process, own)
	if err != nil || len(watchers) == 0 {
		return err
	}
	return &exposedError{container: c.String(), reason: watched(watchers)}
}

// hasHostPIDs reports whether a container's processes see all of the host's.
func hasHostPIDs(c *dockerx.Container) (bool, error) {
	differ, err := nsops.Differing(c.Process)
	return !slices.Contains(differ, nsops.PID), err
}

// checkUserNamespace refuses one whose processes see the command, or whose maker
// does: he has all capabilities over it (user_namespaces(7)). The root of a container
// without a user namespace is the same maker as the host's root, if he sees the host's
// processes.
func checkUserNamespace(c *dockerx.Container, joinsPIDs bool) error {
	pidHost, err := hasHostPIDs(c)
	if err != nil {
		return err
	}
	if joinsPIDs || pidHost {
		const reason = "the command would be root of the container's user namespace, as its processes may be"
		return &exposedError{container: c.String(), reason: reason}
	}
	switch pid, id, err := host.WithHostPIDs(); {
	case err != nil:
		return err
	case pid != 0:
		whose := "container " + id[:min(12, len(id))]
		if id == "" {
			whose = "a container, by its root and its rights,"
		}
		return &exposedError{
			container: c.String(), reason: fmt.Sprintf("pid %d of %s sees the host's processes, and the command among them", pid, whose),
			how: "as root it has power over the command in a user namespace, and over what that has of yours",
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
	return &exposedError{
		container: c.String(), reason: fmt.Sprintf("the command would be in a user namespace of uid %d's", owner),
		how: "its maker has power over the command, and over what it has of yours",
	}
}
