package e2e

import (
	"fmt"
	"os"
	"path/filepath"
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
	// newest is what the newest docker CLI answers where the installed one is older
	// and answers otherwise: dx follows the engine's version, not the client's.
	newest engine.Result
}

// refuses is what a command line gets that the CLI itself refuses.
func refuses(code int, text string) engine.Result { return engine.Result{Stderr: text, Code: code} }

var refusals = []refusal{
	{name: "no such container", args: []string{"nosuch", "true"}},
	{"empty reference", []string{"", "true"}, refuses(1, "invalid container name or ID: value is empty")},
	{name: "ambiguous prefix", args: []string{"PREFIX", "true"}},
	{name: "stopped", args: []string{"STOPPED", "true"}},
	{name: "created", args: []string{"CREATED", "true"}},
	{name: "paused", args: []string{"PAUSED", "true"}},
	{name: "no such user", args: []string{"-u", "nobody-here", "NAME", "true"}},
	{name: "no such group", args: []string{"-u", "app:nogroup", "NAME", "true"}},
	{name: "uid out of range", args: []string{"-u", "2147483648", "NAME", "true"}},
	{name: "no such command", args: []string{"NAME", "nosuch"}},
	{name: "no such path", args: []string{"NAME", "/nosuch/x"}},
	{name: "a directory", args: []string{"NAME", "/etc"}},
	{name: "not executable", args: []string{"NAME", "/etc/passwd"}},
	{name: "not there for the user", args: []string{"-u", "app", "NAME", "/root/x"}},
	{name: "no such command, detached", args: []string{"-d", "NAME", "nosuch"}},
	{name: "no such command, tty", args: []string{"-t", "NAME", "nosuch"}},
	{name: "no such workdir", args: []string{"-w", "/nosuch", "NAME", "true"}},
	{name: "relative workdir", args: []string{"-w", "tmp", "NAME", "true"}},
	{name: "workdir is a file", args: []string{"-w", "/etc/passwd", "NAME", "true"}},
	{name: "no interpreter", args: []string{"NAME", "/tmp/nointerp"}},
	{name: "no program", args: []string{"NAME", "/tmp/noprogram"}},
	{"no terminal", []string{"-it", "NAME", "true"}, refuses(1, "cannot attach stdin to a TTY-enabled container because stdin is not a terminal")},
	{"bad env", []string{"-e", "=x", "NAME", "true"}, refuses(125, `invalid argument "=x" for "-e, --env" flag: invalid environment variable: =x`)},
	{name: "no env file", args: []string{"--env-file", "/nosuch/file", "NAME", "true"}},
	{"bad detach keys", []string{"--detach-keys", "ctrl-5", "-t", "NAME", "true"}, refuses(1, "invalid detach keys (ctrl-5): unknown character: 'ctrl-5'")},
	{"unknown flag", []string{"--nosuch", "NAME", "true"}, refuses(125, "unknown flag: --nosuch")},
	{"no command", []string{"NAME"}, refuses(1, "X: 'X exec' requires at least 2 arguments")},
	{"no argument", nil, refuses(1, "X: 'X exec' requires at least 2 arguments")},
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
			want, got := essence(e.Docker(t, args...)), essence(e.Dx(t, args...))
			if got != want && (r.newest.Code == 0 || got != r.newest) {
				t.Errorf("docker: %+v\ndx:     %+v", want, got)
			}
		})
	}
}

// TestExecHasDockersTexts: what docker makes of odd users, names, environments and config
// files, refused or not.
func TestExecHasDockersTexts(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox)
	e.MustDocker(t, "exec", c.Name, "sh", "-c", "echo 4000:x:55: >>/etc/group")
	config := t.TempDir()
	nul := filepath.Join(config, "nul")
	for path, text := range map[string]string{nul: "A=b\x00c\n", filepath.Join(config, "config.json"): `{"detachKeys":"ctrl-5"}`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{
		{"-u", "0:4000", c.Name, "id"}, {"-u", "0:0:0", c.Name, "id"}, {"-u", "app:app:app", c.Name, "id"},
		{"-u", "a:b:c", c.Name, "id"}, {"-u", ":", c.Name, "id"}, {"-u", ":4000", c.Name, "id"},
		{c.Name + "/", "hostname"}, {"/" + c.Name + "//", "hostname"}, {"nosuch/", "true"},
		{"--env-file", nul, c.Name, "true"}, {"-d", "--env-file", nul, c.Name, "true"}, {"--env-file", nul, "nosuch", "true"},
		{"-e", "PATH=/", c.Name, "nosuch"},
	} {
		args = append([]string{"exec"}, args...)
		if want, got := essence(e.Docker(t, args...)), essence(e.Dx(t, args...)); got != want {
			t.Errorf("%q\ndocker: %+v\ndx:     %+v", args, want, got)
		}
	}
	e.MustDocker(t, "exec", c.Name, "sh", "-c", "echo big:x:99999999999:app >>/etc/group")
	for _, user := range []string{"app", "app:big", ":big", "root"} {
		args := []string{"exec", "-u", user, c.Name, "id"}
		want, got := essence(e.Docker(t, args...)), essence(e.Dx(t, args...))
		if got != want && !strings.Contains(want.Stdout, "setgroups: invalid argument") { // Debian's 28.5
			t.Errorf("%q, a group out of range\ndocker: %+v\ndx:     %+v", args, want, got)
		}
	}
	// On a terminal docker has the carriage returns of the mode that it has set.
	for _, flags := range []string{"-t", "-it"} {
		run := func(program []string) string {
			line := strings.Join(append(slices.Clone(program), "exec", flags, c.Name, "nosuch"), " ")
			return e.Do(t, engine.Command{Args: []string{"script", "-qec", line, "/dev/null"}}).Stdout
		}
		if want, got := run([]string{"docker"}), run(e.DxArgs(t)); got != want || !strings.Contains(want, "executable file not found") {
			t.Errorf("exec %s nosuch on a terminal\ndocker: %q\ndx:     %q", flags, want, got)
		}
	}
	// What is no UTF-8 goes through; docker's JSON has U+FFFD for it.
	if r := e.Dx(t, "exec", "-e", "A=\xfe", c.Name, "sh", "-c", "echo $0$A", "a\xffb"); r.Stdout != "a\xffb\xfe\n" {
		t.Errorf("echo of bytes: %q, want them as they were", r.Stdout)
	}
	for _, args := range [][]string{{c.Name, "hostname"}, {"-t", c.Name, "hostname"}, {"-d", c.Name, "hostname"}, {"nosuch", "true"}} {
		run := func(program ...string) engine.Result {
			command := slices.Concat([]string{"env", "DOCKER_CONFIG=" + config}, program, []string{"exec"}, args)
			return essence(e.Do(t, engine.Command{Args: command}))
		}
		if want, got := run("docker"), run(e.DxArgs(t)...); got != want {
			t.Errorf("%q, with bad detach keys in the config file\ndocker: %+v\ndx:     %+v", args, want, got)
		}
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
	e.MustDocker(t, "exec", names["NAME"], "sh", "-c",
		"cd /tmp; echo '#!/nosuch' >nointerp; echo text >noprogram; chmod +x nointerp noprogram")
	e.KillContainer(t, names["STOPPED"])
	e.MustDocker(t, "pause", names["PAUSED"])
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

// nameNoise is the program's own name, and what only dx has.
var nameNoise = []struct {
	old *regexp.Regexp
	new string
}{
	{regexp.MustCompile(`\b(docker|dx) exec\b`), "X exec"},
	{regexp.MustCompile(`(?m)^(docker|dx): `), "X: "},
	// What follows the first paragraph is usage, which lists dx's own flags too.
	{regexp.MustCompile(`(?s)\n\n.*`), ""},
}

func essence(r engine.Result) engine.Result {
	for _, n := range nameNoise {
		r.Stdout = n.old.ReplaceAllString(r.Stdout, n.new)
		r.Stderr = n.old.ReplaceAllString(r.Stderr, n.new)
	}
	r.Stderr = strings.TrimSpace(r.Stderr)
	return r
}

// TestExecWithoutEngine: both fail alike and name the address.
func TestExecWithoutEngine(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	run := func(tool string) engine.Result {
		return e.Do(t, engine.Command{Args: []string{tool, "-H", "unix:///nosuch/docker.sock", "exec", "no-container-of-any-engine", "true"}})
	}
	want, got := run("docker"), run(e.DxPath(t))
	for _, r := range []engine.Result{want, got} {
		if r.Code != want.Code || r.Code == 0 || r.Stdout != "" || !strings.Contains(r.Stderr, "/nosuch/docker.sock") {
			t.Errorf("without an engine\ndocker: %v\ndx:     %v\nwant the same exit code, and the address in stderr", want, got)
			break
		}
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
			t.Errorf("exec by a caller with %s: %v, want a refusal that names %s and --ignore-caller-limits", limit, r, names)
		}
		want := e.MustDocker(t, "exec", c.Name, "grep", "-E", "NoNewPrivs|CapBnd", "/proc/self/status").Stdout
		want = map[string]string{"--no-new-privs": strings.Replace(want, "NoNewPrivs:\t0", "NoNewPrivs:\t1", 1),
			"--bounding-set=-chown": strings.Replace(want, "25fb", "25fa", 1)}[limit]
		if r := run("--ignore-caller-limits"); r.Code != 0 || r.Stdout != want {
			t.Errorf("%s, accepted: %+v, want %q", limit, r, want)
		}
	}
}
