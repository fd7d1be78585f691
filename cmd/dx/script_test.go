package main

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"dx": main, pluginFile: main})
}

// TestScript runs testdata/script: the command line as a user types it, without root
// and without Docker. The scripts speak to fake engines, and what else runs on the
// machine must not matter to them: their containers bear names with $MARK, which
// nobody else has.
func TestScript(t *testing.T) {
	manPages, err := filepath.Abs("../../docs/man")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		WorkdirRoot:         t.TempDir(), // which goes away; testscript's own stays when a script is skipped
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Condition:           scriptCondition,
		Setup: func(e *testscript.Env) error {
			mark := make([]byte, 6)
			rand.Read(mark)
			e.Setenv("MARK", "dx-script-"+hex.EncodeToString(mark))
			e.Setenv("MAN", manPages)
			e.Setenv("HOME", e.WorkDir)
			// Where dx is, and no directory of the caller's, which might be closed to us.
			dx, _, _ := strings.Cut(e.Getenv("PATH"), ":")
			e.Setenv("PATH", dx+":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
			e.Setenv("DOCKER_HOST", "unix://"+filepath.Join(e.WorkDir, "no-engine.sock"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"engine":   cmdEngine,
			"exits":    cmdExits,
			"refuses":  cmdRefuses,
			"process":  cmdProcess,
			"columns":  cmdColumns,
			"jsonkeys": cmdJSONKeys,
			"manpage":  cmdManPage,
			"lines":    cmdLines,
		},
	})
}

func scriptCondition(cond string) (bool, error) {
	switch cond {
	case "root":
		return os.Geteuid() == 0, nil
	case "namespaces":
		return mayUnshare(), nil
	case "docker": // where its client looks by default
		_, err := os.Stat("/var/run/docker.sock")
		return !errors.Is(err, fs.ErrNotExist), nil
	}
	return false, fmt.Errorf("unknown condition %q", cond)
}

// cmdExits is: exits CODE[|CODE] COMMAND [ARG...]. The command has to end with that code, or
// one of those.
func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE[|CODE] COMMAND [ARG...]")
	}
	code := strconv.Itoa(scriptExec(ts, args[1], args[2:]...))
	if !slices.Contains(strings.Split(args[0], "|"), code) {
		ts.Fatalf("%q ended with %s, want %s", args[1:], code, args[0])
	}
}

// scriptExec runs a command to its end and returns its exit code.
func scriptExec(ts *testscript.TestScript, name string, args ...string) int {
	err := ts.Exec(name, args...)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		ts.Fatalf("%s: %v", name, err)
	}
	if exit == nil {
		return 0
	}
	return exit.ExitCode()
}

// cmdRefuses is: refuses FILE. Each line of the file is a command line that is
// refused before an engine is asked: "CODE | ARG... | TEXT". TEXT is the first
// paragraph on stderr. With "refuses -docker FILE" the texts are the docker client's
// but for its name, and are checked with it where one of version 28 or later is there.
func cmdRefuses(ts *testscript.TestScript, neg bool, args []string) {
	docker := len(args) == 2 && args[0] == "-docker"
	if neg || (len(args) != 1 && !docker) {
		ts.Fatalf("usage: refuses [-docker] FILE")
	}
	asDocker := docker && hasDocker28()
	for line := range strings.Lines(ts.ReadFile(args[len(args)-1])) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		part := strings.SplitN(strings.TrimSuffix(line, "\n"), " | ", 3)
		if len(part) != 3 {
			ts.Fatalf("not CODE | ARG... | TEXT: %q", line)
		}
		if asDocker {
			refuse(ts, "docker", part)
		}
		if docker {
			part[2] = strings.NewReplacer("docker:", "dx:", "'docker ", "'dx ", "docker ", "dx ").Replace(part[2])
		}
		refuse(ts, "dx", part)
	}
}

func refuse(ts *testscript.TestScript, program string, part []string) {
	code := scriptExec(ts, program, strings.Fields(part[1])...)
	got := fmt.Sprintf("%d | %s | %s", code, part[1], firstParagraph(ts.ReadFile("stderr")))
	if want := strings.Join(part, " | "); got != want || ts.ReadFile("stdout") != "" {
		ts.Fatalf("%s: got  %s\nwant %s\nand on stdout: %q", program, got, want, ts.ReadFile("stdout"))
	}
}

func firstParagraph(s string) string {
	s, _, _ = strings.Cut(s, "\n\n")
	return strings.TrimSpace(s)
}

// hasDocker28 reports whether a docker client is there whose texts are those of
// version 28: older ones have others.
func hasDocker28() bool {
	out, err := exec.Command("docker", "--version").Output()
	m := regexp.MustCompile(`version (\d+)\.`).FindSubmatch(out)
	if err != nil || m == nil {
		return false
	}
	major, err := strconv.Atoi(string(m[1]))
	return err == nil && major >= 28
}

// cmdProcess is: process [-own] NAME. It starts a process that waits, and sets $NAME to
// its PID. With -own it has namespaces of its own.
func cmdProcess(ts *testscript.TestScript, neg bool, args []string) {
	own := len(args) == 2 && args[0] == "-own"
	if neg || (len(args) != 1 && !own) {
		ts.Fatalf("usage: process [-own] NAME")
	}
	cmd := exec.Command("sleep", "100000")
	if own {
		cmd.SysProcAttr = ownNamespaces()
	}
	ts.Check(cmd.Start())
	ts.Defer(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	ts.Setenv(args[len(args)-1], strconv.Itoa(cmd.Process.Pid))
}

// ownNamespaces are all of which a process can be without a /proc of its own. Who is
// not root needs a user namespace for the others.
func ownNamespaces() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{
		Cloneflags:   unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
		Unshareflags: unix.CLONE_NEWNS, // Go makes its mounts private, so that others' do not come in
	}
	if os.Geteuid() != 0 {
		attr.Cloneflags |= unix.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	return attr
}

// mayUnshare reports whether this user may make namespaces here.
func mayUnshare() bool {
	cmd := exec.Command("true")
	cmd.SysProcAttr = ownNamespaces()
	return cmd.Run() == nil
}

// cmdColumns is: columns NAME... The first line of stdout has to be a header of these,
// in this order. A _ in a NAME stands for a space.
func cmdColumns(ts *testscript.TestScript, neg bool, args []string) {
	header, _, _ := strings.Cut(ts.ReadFile("stdout"), "\n")
	got := regexp.MustCompile(` {2,}`).Split(strings.TrimSpace(header), -1)
	want := slices.Clone(args)
	for i := range want {
		want[i] = strings.ReplaceAll(want[i], "_", " ")
	}
	if slices.Equal(got, want) == neg {
		ts.Fatalf("the columns are %q, want %q", got, want)
	}
}

// cmdJSONKeys is: jsonkeys KEY... Each line of stdout has to be one JSON object with
// these keys, in this order.
func cmdJSONKeys(ts *testscript.TestScript, neg bool, args []string) {
	text := strings.TrimSuffix(ts.ReadFile("stdout"), "\n")
	for i, line := range strings.Split(text, "\n") {
		keys, err := objectKeys(line)
		if err != nil {
			ts.Fatalf("line %d is no JSON object: %v: %s", i+1, err, line)
		}
		if slices.Equal(keys, args) == neg {
			ts.Fatalf("line %d has the keys %q, want %q", i+1, keys, args)
		}
	}
}

// objectKeys returns the keys of a JSON object in their order.
func objectKeys(s string) (keys []string, err error) {
	dec := json.NewDecoder(strings.NewReader(s))
	if tok, err := dec.Token(); err != nil || tok != json.Delim('{') {
		return nil, fmt.Errorf("it begins with %v (%w)", tok, err)
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, err
		}
		keys = append(keys, key.(string))
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, err
		}
	}
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	if dec.More() {
		return nil, errors.New("more follows it")
	}
	return keys, nil
}

// cmdManPage is: manpage FILE. The man page has to name each flag that stdout, a
// verb's --help, lists.
func cmdManPage(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: manpage FILE")
	}
	page := strings.ReplaceAll(ts.ReadFile(args[0]), `\-`, "-")
	flags := regexp.MustCompile(`(?m)^ +(-\w, )?(--[a-z-]+)`).FindAllStringSubmatch(ts.ReadFile("stdout"), -1)
	if len(flags) < 4 {
		ts.Fatalf("help lists %d flags only", len(flags))
	}
	for _, f := range flags {
		if !regexp.MustCompile(regexp.QuoteMeta(f[2]) + `\b`).MatchString(page) {
			ts.Fatalf("%s says nothing of %s", args[0], f[2])
		}
	}
}

// cmdLines is: lines N. Stdout has to have so many.
func cmdLines(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	if got := strings.Count(ts.ReadFile("stdout"), "\n"); (got == want) == neg {
		ts.Fatalf("%d lines, want %d", got, want)
	}
}
