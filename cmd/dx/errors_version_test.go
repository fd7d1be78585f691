package main

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"dx/cmd/dx/output/outputtest"
	"dx/dockerx"
	"dx/dockerx/execspec"
	"dx/nsops/launch"
)

// The engines of Debian 12, 13 and sid. What is expected is what their docker exec
// printed (e2e, TestExecRefuses, in November 2026).
var (
	bookworm = dockerx.Versions{Engine: "20.10.24+dfsg1", Containerd: "1.6.20~ds1", Runc: "1.1.5+ds1"}
	trixie   = dockerx.Versions{Engine: "26.1.5+dfsg1", Containerd: "1.7.24~ds1", Runc: "1.1.15+ds1"}
	newest   = dockerx.Versions{Engine: "28.5.2+dfsg4", Containerd: "2.1.9+unknown", Runc: "1.3.6+ds1"}
)

func TestDialects(t *testing.T) {
	const (
		prefix = "OCI runtime exec failed: exec failed: "
		start  = prefix + "unable to start container process: "
	)
	command := &startError{command: "x", step: &launch.StepError{Step: &launch.Step{Stage: launch.StageLookup}, Errno: unix.ENOENT}}
	detached := &startError{command: "x", detached: true, step: command.step}
	format := &startError{command: "x", step: &launch.StepError{Step: &launch.Step{Stage: launch.StageExec}, Errno: unix.ENOEXEC}}
	crun := &startError{command: "x", crun: true, step: command.step}
	crunNotDir := &startError{command: "/etc/passwd/x", crun: true, step: &launch.StepError{Step: &launch.Step{Stage: launch.StageLookup}, Errno: unix.ENOTDIR}}
	directory := &startError{command: "/etc", step: &launch.StepError{Step: &launch.Step{Stage: launch.StageLookup}, Errno: unix.EISDIR}}
	user := &execspec.UserError{Err: errors.New("unable to find user x: no matching entries in passwd file")}
	for name, c := range map[string]struct {
		err      error
		versions dockerx.Versions
		detached bool
		out, log string
		code     int
	}{
		"command, 20.10":            {err: command, versions: bookworm, out: start + `exec: "x": executable file not found in $PATH: unknown` + "\r\n", code: 126},
		"command, newest":           {err: command, versions: newest, out: start + `exec: "x": executable file not found in $PATH` + "\r\n", code: 127},
		"command, crun, 20.10":      {err: crun, versions: bookworm, out: "OCI runtime exec failed: executable file `x` not found in $PATH: No such file or directory: unknown\r\n", code: 126},
		"no directory, crun, 20.10": {err: crunNotDir, versions: bookworm, out: "OCI runtime exec failed: open executable: Not a directory: unknown: Are you trying to mount a directory onto a file (or vice-versa)? Check if the specified host path exists and is the expected type\r\n", code: 126},
		"NUL, runc 1.1.5":           {err: &nulError{variable: "A=b\x00c"}, versions: bookworm, out: start + `environment variable value can't contain null(\x00): "A=b\x00c": unknown` + "\r\n", code: 126},
		"NUL, runc 1.1.15":          {err: &nulError{variable: "A=b\x00c"}, versions: trixie, out: start + `invalid environment variable "A": value contains nul byte (\x00): unknown` + "\r\n", code: 126},
		"NUL, newest":               {err: &nulError{variable: "A=b\x00c"}, versions: newest, out: start + `invalid environment variable "A": contains nul byte (\x00)` + "\r\n", code: 128},
		"detached, 20.10":           {err: detached, versions: bookworm, log: "Error response from daemon: " + start + `exec: "x": executable file not found in $PATH: unknown` + "\n", code: 1},
		"directory, 20.10":          {err: directory, versions: bookworm, out: start + `exec: "/etc": permission denied: unknown` + "\r\n", code: 126},
		"directory, 26.1":           {err: directory, versions: trixie, out: start + `exec: "/etc": is a directory: unknown: permission denied` + "\r\n", code: 126},
		"directory, newest":         {err: directory, versions: newest, out: start + `exec: "/etc": is a directory: permission denied` + "\r\n", code: 126},
		"format, 20.10":             {err: format, versions: bookworm, log: "exec x: exec format error\n", code: 1},
		"format, newest":            {err: format, versions: newest, log: "exec x: exec format error\n", code: 255},
		"relative, 20.10":           {err: execspec.ErrRelativeCwd, versions: bookworm, out: prefix + "Cwd must be an absolute path: unknown\r\n", code: 126},
		"relative, newest":          {err: execspec.ErrRelativeCwd, versions: newest, out: prefix + "Cwd must be an absolute path\r\n", code: 128},
		"user, 20.10":               {err: user, versions: bookworm, out: user.Error() + "\r\n", code: 126},
		"user, newest":              {err: user, versions: newest, log: "Error response from daemon: " + user.Error() + "\n", code: 1},
		"user, -d, 20.10":           {err: user, versions: bookworm, detached: true, log: "Error response from daemon: " + user.Error() + "\n", code: 1},
		"ambiguous, 20.10":          {err: &dockerx.AmbiguousError{Ref: "0", Engine: "unix:///x"}, versions: bookworm, log: "Error response from daemon: Multiple IDs found with provided prefix: 0\n", code: 1},
		"ambiguous, newest":         {err: &dockerx.AmbiguousError{Ref: "0", Engine: "unix:///x"}, versions: newest, log: "Error response from daemon: multiple IDs found with provided prefix: 0\n", code: 1},
		"stopped, 20.10":            {err: &dockerx.StateError{State: dockerx.NotRunning, ID: "0", Engine: "unix:///x"}, versions: bookworm, log: "Error response from daemon: Container 0 is not running\n", code: 1},
		"stopped, 26.1":             {err: &dockerx.StateError{State: dockerx.NotRunning, ID: "0", Engine: "unix:///x"}, versions: trixie, log: "Error response from daemon: container 0 is not running\n", code: 1},
		"user, 26.1":                {err: user, versions: trixie, out: user.Error() + "\r\n", code: 126},
		"stopped, newest":           {err: &dockerx.StateError{State: dockerx.NotRunning, ID: "0", Engine: "unix:///x"}, versions: newest, log: "Error response from daemon: container 0 is not running\n", code: 1},
	} {
		t.Run(name, func(t *testing.T) {
			out, log := outputtest.File(t), outputtest.File(t)
			a := &app{out: out, err: log}
			code := a.exitCode(&versionedError{error: c.err, detached: c.detached, versions: c.versions})
			if code != c.code || outputtest.Content(t, out) != c.out || outputtest.Content(t, log) != c.log {
				t.Errorf("exit %d, stdout %q, stderr %q", code, outputtest.Content(t, out), outputtest.Content(t, log))
			}
		})
	}
}

func TestOlder(t *testing.T) {
	for version, want := range map[string]bool{"1.1.5+ds1": true, "v1.1.0": true, "1.2.0": false, "2.0.1": false, "": false, "HEAD": false, "1.10.0": false} {
		if older(version, 1, 2) != want {
			t.Errorf("older(%q, 1, 2) is %v", version, !want)
		}
	}
}
