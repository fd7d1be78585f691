package dockerx

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"dx/nsops"
	"dx/nsops/proc"
)

// The engine under test. It must be on this host, and may be thrown away.
const engineVariable = "DX_TEST_ENGINE"

const (
	passwd = "root:x:0:0:root:/root:/bin/sh\nsecond:x:0:0::/elsewhere:/bin/sh\n" +
		"app:x:1000:1000:an app:/home/app:/bin/sh\nnohome:x:1001:1000:::/bin/sh\n"
	group = "root:x:0:\nwheel:x:10:root,app\napp:x:1000:app\nstaff:x:50:app,nohome\n"
)

type testEngine struct {
	t    *testing.T
	host string
}

func requireEngine(t *testing.T) *testEngine {
	t.Helper()
	host := os.Getenv(engineVariable)
	if host == "" {
		t.Skip(engineVariable + " does not name an engine (unix:///path/docker.sock)")
	}
	if _, err := os.Stat("/bin/busybox"); err != nil {
		t.Skip("images are made of /bin/busybox: ", err)
	}
	e := &testEngine{t, host}
	e.importImage("dx-test", map[string]string{"etc/passwd": passwd, "etc/group": group, "etc/other": "root:x:0:0::/mounted:/bin/sh\n"})
	e.importImage("dx-test-bare", nil)
	return e
}

// importImage makes an image of busybox and some files.
func (e *testEngine) importImage(name string, files map[string]string) {
	e.t.Helper()
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		e.t.Fatal(err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	add := func(name string, mode int64, data string) {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(data))}); err != nil {
			e.t.Fatal(err)
		}
		w.Write([]byte(data))
	}
	add("bin/busybox", 0o755, string(busybox))
	for name, data := range files {
		add(name, 0o644, data)
	}
	w.Close()
	cmd := e.command("import", "-", name)
	cmd.Stdin = &b
	if out, err := cmd.CombinedOutput(); err != nil {
		e.t.Fatalf("docker import: %v: %s", err, out)
	}
}

func (e *testEngine) command(args ...string) *exec.Cmd {
	return exec.Command("docker", append([]string{"-H", e.host}, args...)...)
}

func (e *testEngine) docker(args ...string) (string, error) {
	out, err := e.command(args...).CombinedOutput()
	return string(out), err
}

// must is docker for a step of which the test needs that it succeeds.
func (e *testEngine) must(args ...string) string {
	e.t.Helper()
	out, err := e.docker(args...)
	if err != nil {
		e.t.Fatalf("docker %q is part of this test, and failed: %v: %s", args, err, out)
	}
	return out
}

// run starts a container and removes it at the end.
func (e *testEngine) run(args ...string) string {
	e.t.Helper()
	return e.runNamed(fmt.Sprintf("dxtest-%d", time.Now().UnixNano()), args...)
}

func (e *testEngine) runNamed(name string, args ...string) string {
	e.t.Helper()
	out, err := e.docker(append([]string{"run", "-d", "--name", name, "--network", "none"}, args...)...)
	e.t.Cleanup(func() { e.docker("rm", "-f", name) })
	if err != nil && strings.Contains(out, "operation not permitted") {
		e.t.Skip("this host may not start such a container: ", out)
	}
	if err != nil {
		e.t.Fatalf("docker run %s: %v: %s", args, err, out)
	}
	return name
}

// facts is what a process that docker exec started says of itself.
type facts struct {
	env     []string
	cwd     string
	status  proc.Status
	oom     string
	limits  []specs.POSIXRlimit
	cgroups map[string]string     // by controllers, as in /proc/PID/cgroup
	ns      map[nsops.Type]string // the links
}

var factFiles = []string{"environ", "status", "limits", "cgroup", "oom_score_adj"}

// facts runs two programs in the container as docker exec does, with no shell
// in between: the files in /proc that they show are of the processes in question.
func (e *testEngine) facts(flags []string, container string) (facts, error) {
	e.t.Helper()
	args := []string{"tail", "-n", "999"}
	for _, name := range factFiles {
		args = append(args, "/proc/self/"+name)
	}
	files, err := e.exec(flags, container, args...)
	if err != nil {
		return facts{}, err
	}
	f, err := parseFacts(files)
	if err != nil {
		e.t.Fatalf("%v in %q", err, files)
	}
	links, err := e.exec(flags, container, "ls", "-l", "/proc/self/cwd", "/proc/self/ns")
	if err != nil {
		e.t.Fatal(err)
	}
	f.links(links)
	return f, nil
}

func (e *testEngine) exec(flags []string, container string, args ...string) (string, error) {
	var stderr bytes.Buffer
	cmd := e.command(append(append(append([]string{"exec"}, flags...), container, "/bin/busybox"), args...)...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s%s (%w)", out, stderr.String(), err)
	}
	return strings.ReplaceAll(string(out), "\r\n", "\n"), err
}

// parseFacts takes the output of tail apart.
func parseFacts(text string) (f facts, err error) {
	file := map[string]string{}
	for i, name := range factFiles {
		_, rest, ok := strings.Cut(text, "==> /proc/self/"+name+" <==\n")
		if !ok {
			return f, fmt.Errorf("no %s", name)
		}
		if i+1 < len(factFiles) {
			rest, _, _ = strings.Cut(rest, "\n==> /proc/self/"+factFiles[i+1])
		}
		file[name] = strings.TrimSpace(rest)
	}
	f.env = strings.Split(strings.TrimSuffix(file["environ"], "\x00"), "\x00")
	f.oom = file["oom_score_adj"]
	f.cgroups = map[string]string{}
	cgroups, err := proc.ParseCgroups([]byte(file["cgroup"]))
	for _, cg := range cgroups {
		f.cgroups[strings.Join(cg.Controllers, ",")] = cg.Path
	}
	if err == nil {
		f.limits, err = proc.ParseLimits(strings.NewReader(file["limits"]))
	}
	if err == nil {
		f.status, err = proc.ParseStatus([]byte(file["status"]))
	}
	return f, err
}

// links reads the lines "… name -> target" of ls.
func (f *facts) links(text string) {
	f.ns = map[nsops.Type]string{}
	for line := range strings.Lines(text) {
		left, target, ok := strings.Cut(strings.TrimRight(line, "\n"), " -> ")
		if !ok {
			continue
		}
		name := left[strings.LastIndexByte(left, ' ')+1:]
		if name == "/proc/self/cwd" {
			f.cwd = target
		} else {
			f.ns[nsops.Type(name)] = target
		}
	}
}

// inspect asks for one field.
func (e *testEngine) inspect(name, format string) string {
	e.t.Helper()
	return strings.TrimSpace(e.must("inspect", "-f", format, name))
}

func (e *testEngine) resolver() *Resolver {
	e.t.Helper()
	r, err := NewResolver(Options{Host: e.host, From: SourceEngine, APITimeout: 10 * time.Second, Warn: func(s string) { e.t.Error("warning: ", s) }})
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { r.Close() })
	return r
}
