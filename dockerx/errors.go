package dockerx

import (
	"fmt"
	"strings"

	"dx/dockerx/docker"
	"dx/dockerx/engine"
)

// NotFoundError says that no container answers to the reference.
type NotFoundError struct {
	Ref    string
	Engine string // the engine that said so; empty: none did
	Asked  string // where no engine said so: who was asked, and what could not be seen
}

func (e *NotFoundError) Error() string {
	text := "No such container: " + e.Ref
	if e.Asked != "" {
		text = e.Asked + ": " + text
	}
	return text
}

// AmbiguousError says that several containers can be meant: a prefix of several IDs, or a
// name that several engines know.
type AmbiguousError struct {
	Ref        string
	Engine     string      // the engine that said so; empty: none did
	Candidates []Candidate // empty if an engine said so
}

// Candidate is a container that a reference may mean.
type Candidate struct {
	Reference string // that means it and no other
	ID        string // 64 hex digits; empty if the reference has it
	PID       int    // 0: it does not run, or that is not known

	running bool // by an engine's word, which has told no PID
}

func (c Candidate) String() string {
	var about []string
	if c.ID != "" {
		about = append(about, c.ID[:min(12, len(c.ID))])
	}
	if c.PID != 0 {
		about = append(about, fmt.Sprintf("pid %d", c.PID))
	} else if c.Reference != "host:" && !c.running {
		about = append(about, "not running")
	}
	if about == nil {
		return c.Reference
	}
	return c.Reference + " (" + strings.Join(about, ", ") + ")"
}

func (e *AmbiguousError) Error() string {
	if len(e.Candidates) == 0 {
		return "multiple IDs found with provided prefix: " + e.Ref
	}
	texts := make([]string, len(e.Candidates))
	for i, c := range e.Candidates {
		texts[i] = c.String()
	}
	return e.Ref + " is ambiguous: " + strings.Join(texts, ", ")
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

	Engine string // the engine that said so; empty: none did

	// Docker is what is recorded of the container; nil: nothing.
	Docker *docker.Container
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

// SandboxError says that a container's runtime runs it behind a kernel of its own: the
// process that the host shows is the sandbox, and not the container.
type SandboxError struct{ Ref, Runtime string }

func (e *SandboxError) Error() string {
	return fmt.Sprintf("%s runs in a sandbox of %s: what the host shows is the sandbox's process, not the container's, and only %s can enter it", e.Ref, e.Runtime, e.Runtime)
}

// sandboxed returns a SandboxError for a container that is not what was verified, which is
// closed then.
func sandboxed(ref string, v *verified) error {
	if v.bundle == nil {
		return nil
	}
	runtime := v.bundle.Sandbox()
	if runtime == "" {
		return nil
	}
	v.close()
	return &SandboxError{Ref: ref, Runtime: runtime}
}

// EngineError says that the Engine API gave no answer. Err is what the client said
// (errors.Is finds context.DeadlineExceeded, fs.ErrPermission, fs.ErrNotExist…).
type EngineError = engine.Error

// StaleError says that the PID that a source names is not (or no longer) the container's
// init. dx never enters such a process.
type StaleError struct {
	Ref    string
	ID     string // of the container
	PID    int
	Source Source
	Reason string // "its cgroup /user.slice does not hold the container's ID"
}

func (e *StaleError) Error() string {
	return fmt.Sprintf("%s says that %s is pid %d, but %s", e.Source, e.Ref, e.PID, e.Reason)
}
