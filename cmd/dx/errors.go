package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"dx/cmd/dx/output"
	"dx/dockerx"
	"dx/dockerx/execspec"
	"dx/dockerx/exposure"
	"dx/dockerx/lookup"
	"dx/dockerx/top"
	"dx/nsops/caps"
	"dx/nsops/launch"
	"dx/nsops/proc"
	"dx/nsops/rootfs"
	"dx/nsops/session"
	"dx/nsops/tty"
)

// Exit codes. 125 is dx's own failure, before the container was touched; where
// docker has a code of its own for a failure, that one is used.
const (
	exitFailure       = 1
	exitDx            = 125
	exitNotExecutable = 126
	exitNotFound      = 127
	exitRuntime       = 128
	exitLateExec      = 255
)

// statusError carries the exit code of a command that ran: nothing is printed.
type statusError struct{ code int }

func (e *statusError) Error() string { return fmt.Sprintf("exit status %d", e.code) }

// clientError is an error of the command line, in docker's words: it is printed
// without a prefix.
type clientError struct {
	err  error
	code int
}

func (e *clientError) Error() string { return e.err.Error() }
func (e *clientError) Unwrap() error { return e.err }

// exitCode prints an error as docker would and returns the exit code: the one
// table of both.
func (a *app) exitCode(err error) int {
	var status *statusError
	var client *clientError
	var interrupted *session.Interrupted
	var start *startError
	var step *launch.StepError
	var older *versionedError
	var disbelief *dockerx.EngineDisbeliefError
	var template *output.TemplateError
	var nul *nulError
	var keys *escapeKeysError
	var elsewhere *dockerx.OtherHostError
	var cgroup *execspec.NoCgroupError
	var filter *dockerx.FilterError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &older):
		return a.printFor(older)
	case errors.As(err, &status):
		return status.code
	case errors.As(err, &client):
		a.lines(client.Error())
		return client.code
	case errors.As(err, &template):
		a.lines(template.Error())
		return exitFailure
	case errors.As(err, &interrupted):
		return 128 + int(interrupted.Signal)
	case errors.Is(err, tty.ErrDetached):
		a.line("read escape sequence")
		return exitFailure
	case errors.As(err, &start):
		return a.startFailed(start, dockerx.Versions{})
	case errors.As(err, &nul):
		return a.printStartFailure(nul.text(dockerx.Versions{}), nul.detached, dockerx.Versions{})
	case errors.As(err, &keys):
		a.fromDaemon(keys.Error())
		return exitFailure
	case errors.Is(err, execspec.ErrRelativeCwd):
		return a.printStartFailure(relativeCwd, false, dockerx.Versions{})
	case errors.As(err, &filter), dockerSays(err) && !ofUser(err):
		a.fromDaemon(err.Error())
		return exitFailure
	}
	a.say("%s%s", err, hint(err))
	if errors.As(err, &step) || errors.As(err, &cgroup) || errors.As(err, &disbelief) || errors.As(err, &elsewhere) || ofTools(err) || ofBareProcess(err) || errors.Is(err, launch.ErrSilent) {
		return exitDx
	}
	return exitFailure
}

// dockerSays reports whether an error is one that an engine has told, or would: docker has a
// text of its own for it. What dx found out without an engine is said as its own.
func dockerSays(err error) bool {
	var notFound *dockerx.NotFoundError
	var ambiguous *dockerx.AmbiguousError
	var state *dockerx.StateError
	switch {
	case errors.As(err, &notFound):
		return notFound.Engine != ""
	case errors.As(err, &ambiguous):
		return ambiguous.Engine != ""
	case errors.As(err, &state):
		return state.Engine != ""
	}
	return ofUser(err)
}

// ofUser reports whether a user or group could not be looked up.
func ofUser(err error) bool {
	var user *execspec.UserError
	return errors.As(err, &user)
}

// hint says what the user can do, where something can be done.
func hint(err error) string {
	var stale *dockerx.StaleError
	var filter *execspec.UnknownFilterError
	var caller *launch.CallerError
	var unknown *lookup.UnknownError
	var unshare *unshareError
	var other *dockerx.OtherHostError
	var ambiguous *dockerx.AmbiguousError
	var exposed *exposure.Error
	var cgroup *execspec.NoCgroupError
	var unseen *dockerx.UnseenError
	switch {
	case errors.As(err, &other):
		return elsewhereHint(other)
	case errors.As(err, &ambiguous):
		return "; say which"
	case errors.Is(err, launch.ErrSilent):
		return silentHint(err)
	case errors.As(err, &exposed):
		return exposureHint(exposed)
	case ofTools(err):
		return toolsHint(err)
	case ofBareProcess(err):
		return bareHint(err)
	case errors.As(err, &unshare):
		return unshare.hint()
	case errors.As(err, &unknown):
		if os.Geteuid() != 0 {
			return "; other users' containers are only seen with sudo"
		}
	case errors.As(err, &caller):
		return "; start dx without that, or run the command so with --ignore-caller-limits"
	case errors.As(err, &filter):
		return "; --ignore-unknown-filter enters anyway"
	case errors.Is(err, top.ErrNoPID):
		return "; pid must be among the columns: dx top web -o pid,cmd"
	case errors.As(err, &unseen):
		return withSudo() // it says what is missing
	case errors.As(err, &cgroup):
		return "; mount the host's /sys/fs/cgroup, or enter with dx exec --no-cgroup, where the container's limits do not hold"
	case errors.As(err, &stale):
		return "; look again: the container may just have ended or been restarted"
	case errors.Is(err, unix.EPERM), errors.Is(err, fs.ErrPermission):
		if c := missingCapability(err); c != "" {
			return ": " + c + " is missing" + withSudo()
		}
		return "; a security module or a user namespace forbids it"
	case errors.Is(err, proc.ErrGone):
		return "; the process has just ended"
	case errors.Is(err, unix.EAGAIN):
		return "; the container may be at its limit of processes (pids.max): dx exec --no-cgroup gets in"
	case errors.Is(err, unix.ENODEV):
		return "; the cgroup has just been removed"
	}
	return ""
}

// silentHint says who knows more of a file system that does not answer, and how to
// do without the file.
func silentHint(err error) string {
	const doctor = "; dx doctor names what does not answer"
	var silent *rootfs.SilentError
	if errors.As(err, &silent) && silent.Path == "/etc/passwd" {
		return doctor + "; dx exec -e HOME=/ needs no /etc/passwd, unless a user is named"
	}
	return doctor
}

// withSudo is what to do about a missing capability; root in a container has no sudo.
func withSudo() string {
	if os.Geteuid() == 0 {
		return ""
	}
	return "; run with sudo"
}

// missingCapability names the first capability that joining a container needs
// and dx does not have, or that setting a limit does.
func missingCapability(denied error) string {
	st, err := proc.OwnStatus()
	if err != nil {
		return ""
	}
	names := []string{"CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_SYS_CHROOT", "CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP", "CAP_DAC_OVERRIDE"}
	var step *launch.StepError
	if errors.As(denied, &step) && step.Step.Nr == unix.SYS_PRLIMIT64 {
		names = []string{"CAP_SYS_RESOURCE"} // nothing else raises a limit
	}
	for _, name := range names {
		if n, ok := caps.Number(name); ok && st.CapEff&(1<<n) == 0 {
			return name
		}
	}
	return ""
}

// startError is a command that could not be started: the case in which docker
// speaks on stdout.
type startError struct {
	command, cwd string
	detached     bool
	step         *launch.StepError
	crun         bool // the words are to be crun's
}

func (e *startError) Error() string { return e.text() }
func (e *startError) Unwrap() error { return e.step }

const (
	crunFailed  = "OCI runtime exec failed: "
	execFailed  = crunFailed + "exec failed: "
	relativeCwd = execFailed + "Cwd must be an absolute path"
)

// startFailed prints what docker and runc print, and returns docker's code.
func (a *app) startFailed(e *startError, v dockerx.Versions) int {
	if e.step.Step.Stage == launch.StageExec {
		// runc's last words, on the process's own stderr.
		command := e.command
		if e.step.Path != "" {
			command = e.step.Path
		}
		a.line("exec %s: %s", command, e.step.Errno.Error())
		if older(v.Runc, 1, 2) {
			return exitFailure
		}
		return exitLateExec
	}
	if e.crun {
		return a.printStartFailure(crunFailed+e.crunText(), e.detached, v)
	}
	return a.printStartFailure(execFailed+"unable to start container process: "+e.text(), e.detached, v)
}

// printStartFailure prints the reason why a command could not be started, and returns the
// exit code (moby, daemon/exec_linux.go and errors.go).
func (a *app) printStartFailure(text string, detached bool, v dockerx.Versions) int {
	code := startCode(text)
	if older(v.Engine, 28, 0) { // moby#48552
		code = exitNotExecutable
	}
	text = startText(text, v)
	if detached {
		a.fromDaemon(text)
		return exitFailure
	}
	a.onTerminal(text)
	return code
}

func startCode(text string) int {
	text = strings.ToLower(text)
	for _, c := range []struct {
		part string
		code int
	}{
		{"permission denied", exitNotExecutable}, {"is a directory", exitNotExecutable}, {"not a directory", exitNotFound},
		{"executable file not found", exitNotFound}, {"no such file or directory", exitNotFound},
	} {
		if strings.Contains(text, c.part) {
			return c.code
		}
	}
	return exitRuntime
}

// text is runc's, without its prefix.
func (e *startError) text() string {
	errno := e.step.Errno
	switch {
	case e.step.Step.Stage == launch.StageCwd && e.step.Step.Name != "chdir" && (errno == unix.EBADF || errno == unix.ENOENT):
		return "current working directory is outside of container mount namespace root -- possible container breakout detected"
	case e.step.Step.Stage == launch.StageCwd && e.step.Step.Name != "chdir":
		return fmt.Sprintf("failed to verify if current working directory is safe: %v", errno)
	case e.step.Step.Stage == launch.StageCwd:
		return fmt.Sprintf("chdir to cwd (%q) set in config.json failed: %v", e.cwd, errno)
	case errno == unix.EXDEV:
		return fmt.Sprintf("exec: %q: cannot run executable found relative to current directory", e.command)
	case !strings.Contains(e.command, "/"):
		return fmt.Sprintf("exec: %q: executable file not found in $PATH", e.command)
	case errno == unix.EACCES, errno == unix.EISDIR:
		return fmt.Sprintf("exec: %q: %v", e.command, errno)
	}
	return fmt.Sprintf("exec: %q: stat %s: %v", e.command, e.command, errno)
}
