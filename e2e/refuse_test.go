package e2e

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"dx/e2e/engine"
)

// refusal is a command line that fails. NAME, STOPPED, CREATED, PAUSED and PREFIX
// stand for containers.
type refusal struct {
	name string
	args []string
	// newest is what docker 29 answers where the installed docker is older and
	// answers otherwise; dx may do either.
	newest engine.Result
}

const runc = "OCI runtime exec failed: exec failed: unable to start container process: "

// fails is a start that docker 29 reports, on stdout, with that exit code (moby
// daemon/errors.go, setExitCodeFromError; to 28 it is always 126).
func fails(code int, text string) engine.Result { return engine.Result{Stdout: text, Code: code} }

// refuses is an exec that docker 29 does not begin.
func refuses(text string) engine.Result { return engine.Result{Stderr: text, Code: 1} }

var refusals = []refusal{
	{name: "no such container", args: []string{"nosuch", "true"}},
	{name: "empty reference", args: []string{"", "true"}},
	{name: "ambiguous prefix", args: []string{"PREFIX", "true"}},
	{name: "stopped", args: []string{"STOPPED", "true"}},
	{name: "created", args: []string{"CREATED", "true"}},
	{name: "paused", args: []string{"PAUSED", "true"}},
	{"no such user", []string{"-u", "nobody-here", "NAME", "true"}, refuses("unable to find user nobody-here: no matching entries in passwd file")},
	{"no such group", []string{"-u", "app:nogroup", "NAME", "true"}, refuses("unable to find group nogroup: no matching entries in group file")},
	{"uid out of range", []string{"-u", "2147483648", "NAME", "true"}, refuses("uids and gids must be in range 0-2147483647")},
	{"no such command", []string{"NAME", "nosuch"}, fails(127, runc+`exec: "nosuch": executable file not found in $PATH`)},
	{"no such path", []string{"NAME", "/nosuch/x"}, fails(127, runc+`exec: "/nosuch/x": stat /nosuch/x: no such file or directory`)},
	{"a folder", []string{"NAME", "/etc"}, fails(126, runc+`exec: "/etc": is a directory`)},
	{name: "not executable", args: []string{"NAME", "/etc/passwd"}},
	{"not there for the user", []string{"-u", "app", "NAME", "/root/x"}, fails(127, runc+`exec: "/root/x": stat /root/x: no such file or directory`)},
	{name: "no such command, detached", args: []string{"-d", "NAME", "nosuch"}},
	{"no such command, tty", []string{"-t", "NAME", "nosuch"}, fails(127, runc+`exec: "nosuch": executable file not found in $PATH`)},
	{"no such workdir", []string{"-w", "/nosuch", "NAME", "true"}, fails(127, runc+`chdir to cwd ("/nosuch") set in config.json failed: no such file or directory`)},
	{"relative workdir", []string{"-w", "tmp", "NAME", "true"}, fails(128, "OCI runtime exec failed: exec failed: Cwd must be an absolute path")},
	{"workdir is a file", []string{"-w", "/etc/passwd", "NAME", "true"}, fails(127, runc+`chdir to cwd ("/etc/passwd") set in config.json failed: not a directory`)},
	{"no interpreter", []string{"NAME", "/tmp/nointerp"}, engine.Result{Stderr: "exec /tmp/nointerp: no such file or directory", Code: 255}},
	{"no program", []string{"NAME", "/tmp/noprogram"}, engine.Result{Stderr: "exec /tmp/noprogram: exec format error", Code: 255}},
	{"no terminal", []string{"-it", "NAME", "true"}, refuses("cannot attach stdin to a TTY-enabled container because stdin is not a terminal")},
	{name: "bad env", args: []string{"-e", "=x", "NAME", "true"}},
	{name: "no env file", args: []string{"--env-file", "/nosuch/file", "NAME", "true"}},
	{"bad detach keys", []string{"--detach-keys", "ctrl-5", "-t", "NAME", "true"}, refuses("invalid detach keys (ctrl-5): unknown character: 'ctrl-5'")},
	{name: "unknown flag", args: []string{"--nosuch", "NAME", "true"}},
	{name: "no command", args: []string{"NAME"}},
	{name: "no argument"},
}

func TestExecRefuses(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	names := containersForRefusals(t, e)
	for _, r := range refusals {
		t.Run(r.name, func(t *testing.T) {
			args := []string{"exec"}
			for _, a := range r.args {
				if name, ok := names[a]; ok {
					a = name
				}
				args = append(args, a)
			}
			want, got := e.Docker(t, args...), e.Dx(t, args...)
			t.Logf("docker: %q %q %d", want.Stdout, want.Stderr, want.Code)
			want, got = essence(want), essence(got)
			if got != want && (r.newest.Code == 0 || got != essence(r.newest)) {
				t.Errorf("docker: %+v\ndx:     %+v", want, got)
			}
		})
	}
}

// containersForRefusals prepares one container in each state.
func containersForRefusals(t *testing.T, e *engine.Engine) map[string]string {
	t.Helper()
	names := map[string]string{
		"NAME":    e.Run(t, engine.Busybox).Name,
		"STOPPED": e.Run(t, engine.Busybox).Name,
		"PAUSED":  e.Run(t, engine.Busybox).Name,
		"CREATED": e.Create(t, engine.Busybox).Name,
	}
	e.Docker(t, "exec", names["NAME"], "sh", "-c",
		"cd /tmp; echo '#!/nosuch' >nointerp; echo text >noprogram; chmod +x nointerp noprogram")
	e.Docker(t, "kill", names["STOPPED"])
	e.Docker(t, "pause", names["PAUSED"])
	names["PREFIX"] = ambiguousPrefix(t, e)
	return names
}

// ambiguousPrefix creates containers until two IDs begin alike: 17 at the most.
func ambiguousPrefix(t *testing.T, e *engine.Engine) string {
	t.Helper()
	seen := map[string]bool{}
	for {
		first := e.Create(t, engine.Busybox).ID[:1]
		if seen[first] {
			return first
		}
		seen[first] = true
	}
}

// versionNoise is what differs between docker and runc versions in texts that say
// the same, and the program's own name.
var versionNoise = []struct {
	old *regexp.Regexp
	new string
}{
	{regexp.MustCompile(`\b(docker|dx) exec\b`), "X exec"},
	{regexp.MustCompile(`(?m)^(docker|dx): `), "X: "},
	{regexp.MustCompile(`Error response from daemon: `), ""},
	{regexp.MustCompile(`^Error: `), ""},
	{regexp.MustCompile(`^Container `), "container "},
	{regexp.MustCompile(`^Multiple `), "multiple "},
	{regexp.MustCompile(`: unknown(: Are you trying to mount a directory.*)?(\r?\n)?$`), "$2"},
	// What follows the first paragraph is usage, which lists dx's own flags too.
	{regexp.MustCompile(`(?s)\n\n.*`), ""},
}

func essence(r engine.Result) engine.Result {
	for _, n := range versionNoise {
		r.Stdout = n.old.ReplaceAllString(r.Stdout, n.new)
		r.Stderr = n.old.ReplaceAllString(r.Stderr, n.new)
	}
	r.Stdout, r.Stderr = strings.TrimSpace(r.Stdout), strings.TrimSpace(r.Stderr)
	return r
}

func TestExecWithoutEngine(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	run := func(tool string) engine.Result {
		return e.Do(t, engine.Command{Args: []string{tool, "-H", "unix:///nosuch/docker.sock", "exec", "no-container-of-any-engine", "true"}})
	}
	want, got := run("docker"), run(e.DxPath(t))
	if got.Code == 0 || got.Stdout != "" || !strings.Contains(got.Stderr, "/nosuch/docker.sock") {
		t.Errorf("docker: %+v\ndx:     %+v", want, got)
	}
}

// TestExecNeedsRights: without root dx says which capability is missing.
func TestExecNeedsRights(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox)
	r := e.Do(t, engine.Command{Args: []string{"setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups",
		e.DxPath(t), "exec", fmt.Sprintf("pid:%d", c.PID), "true"}})
	if r.Code == 0 || !regexp.MustCompile(`CAP_[A-Z_]+`).MatchString(r.Stderr) {
		t.Errorf("exec as nobody: %+v", r)
	}
}

// TestExecOfALimitedCaller: what dx could never shed is named, and may be accepted.
func TestExecOfALimitedCaller(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox)
	for limit, names := range map[string]string{"--no-new-privs": "no_new_privs", "--bounding-set=-chown": "CAP_CHOWN"} {
		run := func(flags ...string) engine.Result {
			args := slices.Concat([]string{"setpriv", limit}, e.DxArgs(t), []string{"exec"}, flags, []string{c.Name, "grep", "-E", "NoNewPrivs|CapBnd", "/proc/self/status"})
			return e.Do(t, engine.Command{Args: args})
		}
		if r := run(); r.Code == 0 || !strings.Contains(r.Stderr, names) || !strings.Contains(r.Stderr, "--ignore-caller-limits") {
			t.Errorf("%s: %+v", limit, r)
		}
		want := e.Docker(t, "exec", c.Name, "grep", "-E", "NoNewPrivs|CapBnd", "/proc/self/status").Stdout
		want = map[string]string{"--no-new-privs": strings.Replace(want, "NoNewPrivs:\t0", "NoNewPrivs:\t1", 1),
			"--bounding-set=-chown": strings.Replace(want, "25fb", "25fa", 1)}[limit]
		if r := run("--ignore-caller-limits"); r.Code != 0 || r.Stdout != want {
			t.Errorf("%s, accepted: %+v, want %q", limit, r, want)
		}
	}
}
