package main

import (
	"errors"
	"fmt"
	"strings"

	"dx/dockerx/execspec"
	"dx/nsops"
)

const bareHelp = "\n\n" +
	"Beside a process that is in no container (pid:N) COMMAND has the user, groups,\n" +
	"capabilities and limits of that process, with -u at most its capabilities, and not\n" +
	"its environment: PATH, HOME and what -e sets. One that shares your mount namespace\n" +
	"is refused."

// ofBareProcess reports whether an error is about a process that is in no container:
// there is nothing like it in docker.
func ofBareProcess(err error) bool {
	var shared *execspec.SharedMountError
	var privileged *execspec.BarePrivilegedError
	return errors.As(err, &shared) || errors.As(err, &privileged) || errors.Is(err, nsops.ErrMoved)
}

// bareHint is hint for these.
func bareHint(err error) string {
	var shared *execspec.SharedMountError
	var privileged *execspec.BarePrivilegedError
	switch {
	case errors.As(err, &shared):
		return sharedMountHint(shared)
	case errors.As(err, &privileged):
		return "; dx exec --ns runs a program of yours with your rights in some of its namespaces"
	}
	return "; try again"
}

// sharedMountHint says how to do with one's own rights what was asked for.
func sharedMountHint(e *execspec.SharedMountError) string {
	var kinds []string
	for _, k := range e.Kinds {
		if k != nsops.User { // in which its owner has power over the command
			kinds = append(kinds, string(k))
		}
	}
	switch {
	case e.PID == 1:
		return "; the host itself is entered as host"
	case len(kinds) == 0:
		return "; its files are yours: run the command itself"
	}
	return fmt.Sprintf("; dx exec --ns %s %s COMMAND runs a program of yours in its other namespaces, with your own rights and environment, as nsenter does", strings.Join(kinds, ","), e.Ref)
}
