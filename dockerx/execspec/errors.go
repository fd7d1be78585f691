package execspec

import (
	"errors"
	"fmt"
)

// UnknownFilterError says that a process runs under seccomp filters that no bundle
// describes and the kernel does not give. A new process beside it could do what it
// cannot.
type UnknownFilterError struct {
	PID    int    // whose filters they are
	Reason string // "no bundle tells their profile"
	Err    error  // of seccomp.Installed
}

func (e *UnknownFilterError) Error() string {
	return fmt.Sprintf("pid %d runs under seccomp filters, %s, and a process started beside it would run without them: %v", e.PID, e.Reason, e.Err)
}

func (e *UnknownFilterError) Unwrap() error { return e.Err }

// NoCgroupError says that no hierarchy is mounted here in which the command could be
// where the container's limits hold for it.
type NoCgroupError struct{ Of string }

func (e *NoCgroupError) Error() string {
	return fmt.Sprintf("none of the cgroups in %s is mounted here", e.Of)
}

// ErrRelativeCwd says that the working directory is not absolute. The text is runc's
// (validateProcessSpec).
var ErrRelativeCwd = errors.New("Cwd must be an absolute path") //nolint:staticcheck // runc's text

// UserError says that a user or group could not be looked up. The texts are moby's.
type UserError struct {
	Err error
	// Starting: an engine of any version finds it out when the exec starts, not when it is
	// created.
	Starting bool
}

func (e *UserError) Error() string { return e.Err.Error() }
func (e *UserError) Unwrap() error { return e.Err }
