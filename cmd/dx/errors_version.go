package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"dx/dockerx"
	"dx/dockerx/execspec"
	"dx/nsops/launch"

	"golang.org/x/sys/unix"
)

// versionedError is an error that the engine of this host would put in other words,
// on another stream or with another exit code than the newest one.
type versionedError struct {
	error
	detached bool
	versions dockerx.Versions
}

func (e *versionedError) Unwrap() error { return e.error }

// withEngineVersion asks the engine for its version if that matters for what is to be
// said: after an error, and where the engine was heard before.
func withEngineVersion(ctx context.Context, r *dockerx.Resolver, detached bool, err error) error {
	var start *startError
	var nul *nulError
	if !dockerSays(err) && !errors.As(err, &start) && !errors.As(err, &nul) && !errors.Is(err, execspec.ErrRelativeCwd) {
		return err
	}
	v := r.Versions(ctx)
	if v == (dockerx.Versions{}) {
		return err
	}
	return &versionedError{error: err, detached: detached, versions: v}
}

// printFor prints an error as that engine would, and returns the exit code.
func (a *app) printFor(e *versionedError) int {
	var start *startError
	var nul *nulError
	var user *execspec.UserError
	switch {
	case errors.As(e.error, &nul):
		return a.printStartFailure(nul.text(e.versions), nul.detached, e.versions)
	case errors.As(e.error, &start):
		return a.startFailed(start, e.versions)
	case errors.Is(e.error, execspec.ErrRelativeCwd):
		return a.printStartFailure(relativeCwd, e.detached, e.versions)
	case errors.As(e.error, &user) && !e.detached && (user.Starting || older(e.versions.Engine, 28, 0)):
		// To 27 a user is looked up when the exec starts, not when it is created.
		a.onTerminal(user.Error())
		return exitNotExecutable
	}
	a.fromDaemon(e.text())
	return exitFailure
}

// text has older engines' capital letters (moby, daemon/errors.go to 24, and
// pkg/truncindex to 20.10).
func (e *versionedError) text() string {
	text := e.Error()
	var ambiguous *dockerx.AmbiguousError
	var state *dockerx.StateError
	switch {
	case errors.As(e.error, &ambiguous) && older(e.versions.Engine, 23, 0),
		errors.As(e.error, &state) && older(e.versions.Engine, 25, 0):
		return strings.ToUpper(text[:1]) + text[1:]
	}
	return text
}

// startText is the reason of a failed start with what is appended on its way:
// containerd to 1.7 the name of the class that an error has over gRPC, dockerd its
// own comments (translateContainerdStartErr). To Go 1.19, with which the runc of
// that time was built, a directory is a file that may not be executed.
func startText(text string, v dockerx.Versions) string {
	const dir, notDir = "is a directory", "not a directory"
	if older(v.Engine, 23, 0) && strings.HasSuffix(text, dir) {
		text = strings.TrimSuffix(text, dir) + "permission denied"
	}
	isDir, isNotDir := strings.HasSuffix(text, dir), strings.HasSuffix(strings.ToLower(text), notDir)
	if older(v.Containerd, 2, 0) {
		text += ": unknown"
	}
	switch {
	case isDir:
		text += ": permission denied"
	case isNotDir:
		text += ": Are you trying to mount a directory onto a file (or vice-versa)? Check if the specified host path exists and is the expected type"
	}
	return text
}

// crunText is crun's (src/libcrun/utils.c, linux.c; as of 1.8.1), which has the C library's
// words.
func (e *startError) crunText() string {
	errno := e.step.Errno
	reason := errno.Error()
	reason = strings.ToUpper(reason[:1]) + reason[1:]
	switch {
	case e.step.Step.Stage == launch.StageCwd:
		return fmt.Sprintf("chdir `%s`: %s", e.cwd, reason)
	case errno == unix.ENOENT:
		return fmt.Sprintf("executable file `%s` not found in $PATH: %s", e.command, reason)
	case errno == unix.EISDIR:
		return "open executable: Operation not permitted"
	}
	return "open executable: " + reason
}

// older reports whether a version, "1.1.5+ds1", is known, and before another.
func older(version string, major, minor int) bool { return olderPatch(version, major, minor, 0) }

func olderPatch(version string, want ...int) bool {
	var got [3]int
	if n, _ := fmt.Sscanf(strings.TrimPrefix(version, "v"), "%d.%d.%d", &got[0], &got[1], &got[2]); n < 2 {
		return false
	}
	return slices.Compare(got[:], want) < 0
}

// nulError is a variable of an --env-file that no process can have: runc refuses it when
// the command is to start.
type nulError struct {
	variable string
	detached bool
}

func (e *nulError) Error() string { return e.text(dockerx.Versions{}) }

// text has runc's words: to 1.2 those of populateProcessEnvironment
// (libcontainer/init_linux.go), which has others from 1.1.8 on, then those of prepareEnv
// (libcontainer/env.go).
func (e *nulError) text(v dockerx.Versions) string {
	name, _, _ := strings.Cut(e.variable, "=")
	part := "value"
	if strings.Contains(name, "\x00") {
		part = "name"
	}
	reason := fmt.Sprintf("invalid environment variable %q: %s contains nul byte (\\x00)", name, part)
	switch {
	case olderPatch(v.Runc, 1, 1, 8):
		reason = fmt.Sprintf("environment variable %s can't contain null(\\x00): %q", part, e.variable)
	case !older(v.Runc, 1, 3):
		reason = fmt.Sprintf("invalid environment variable %q: contains nul byte (\\x00)", name)
	}
	return execFailed + "unable to start container process: " + reason
}

// escapeKeysError is a sequence of docker's config file that is none: moby's words.
type escapeKeysError struct{ keys string }

func (e *escapeKeysError) Error() string {
	return fmt.Sprintf("Invalid escape keys (%s) provided", e.keys)
}
