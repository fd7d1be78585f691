package dockerx

import (
	"fmt"

	"dx/dockerx/engine"
)

// NotFoundError says that no container answers to the reference.
type NotFoundError struct{ Ref string }

func (e *NotFoundError) Error() string { return "No such container: " + e.Ref }

// AmbiguousError says that the reference is a prefix of several IDs.
type AmbiguousError struct{ Ref string }

func (e *AmbiguousError) Error() string {
	return "multiple IDs found with provided prefix: " + e.Ref
}

// State is what keeps a container from being entered.
type State string

// The states.
const (
	NotRunning State = "not running"
	Restarting State = "restarting"
	Paused     State = "paused"
)

// StateError says that the container is in a state that docker exec refuses. The texts are
// moby's (daemon/exec.go, errors of getExecConfig and getActiveContainer).
type StateError struct {
	State State
	ID    string // 64 hex digits
	Ref   string // as typed
}

func (e *StateError) Error() string {
	switch e.State {
	case Restarting:
		return fmt.Sprintf("Container %s is restarting, wait until the container is running", e.ID)
	case Paused:
		return fmt.Sprintf("Container %s is paused, unpause the container before exec", e.Ref)
	}
	return fmt.Sprintf("container %s is not running", e.ID)
}

// EngineError says that the Engine API gave no answer. Err is what the client said
// (errors.Is finds context.DeadlineExceeded, fs.ErrPermission, fs.ErrNotExist…).
type EngineError = engine.Error

// StaleError says that the PID that a source names is not (or no longer) the container's
// init. dx never enters such a process.
type StaleError struct {
	Ref    string
	PID    int
	Source Source
	Reason string // "its cgroup /user.slice does not hold the container's ID"
}

func (e *StaleError) Error() string {
	return fmt.Sprintf("%s says that %s is pid %d, but %s", e.Source, e.Ref, e.PID, e.Reason)
}
