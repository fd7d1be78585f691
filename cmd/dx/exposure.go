package main

import (
	"fmt"

	"dx/nsops/tools"
)

// exposedError says that a process of the container could take over the host through
// a command that has the host's root and is seen by it.
type exposedError struct {
	container, reason string
	instead           string // what to do about it; empty: nothing but --expose-host
}

func (e *exposedError) Error() string {
	return fmt.Sprintf("%s: %s: through /proc/PID/root of the command, which has the host's root, it could take over the host", e.container, e.reason)
}

func (e *exposedError) hint() string {
	if e.instead == "" {
		return "; --expose-host goes on all the same"
	}
	return "; " + e.instead + ", --expose-host goes on all the same"
}

// watched says which process has the power, and over what.
func watched(watchers []tools.Watcher) string {
	w, more := watchers[0], ""
	if len(watchers) > 1 {
		more = fmt.Sprintf(" (and %d more)", len(watchers)-1)
	}
	return fmt.Sprintf("its process %d (%s)%s has %s", w.PID, w.Name, more, w.Reason)
}
