// Package testengine is a real engine under test: it serves tests only.
package testengine

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
	// The accounts of the image dx-test; dx-test-bare has none.
	Passwd = "root:x:0:0:root:/root:/bin/sh\nsecond:x:0:0::/elsewhere:/bin/sh\n" +
		"app:x:1000:1000:an app:/home/app:/bin/sh\nnohome:x:1001:1000:::/bin/sh\n"
	Group = "root:x:0:\nwheel:x:10:root,app\napp:x:1000:app\nstaff:x:50:app,nohome\n"
)

// Engine is a dockerd that tests may fill with containers.
type Engine struct {
	T    *testing.T
	Host string
}

// Default is what docker run takes for a container of no special kind.
var Default = []string{"dx-test", "/bin/busybox", "sleep", "1000"}

// Require skips the test if there is no engine.
func Require(t *testing.T) *Engine {
	t.Helper()
	host := os.Getenv(engineVariable)
	if host == "" {
		t.Skip(engineVariable + " does not name an engine (unix:///path/docker.sock)")
	}
	if _, err := os.Stat("/bin/busybox"); err != nil {
		t.Skip("images are made of /bin/busybox: ", err)
	}
	e := &Engine{t, host}
	e.importImage("dx-test", map[string]string{"etc/passwd": Passwd, "etc/group": Group, "etc/other": "root:x:0:0::/mounted:/bin/sh\n"})
	e.importImage("dx-test-bare", nil)
	return e
}

// importImage makes an image of busybox and some files.
func (e *Engine) importImage(name string, files map[string]string) {
	e.T.Helper()
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		e.T.Fatal(err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	add := func(name string, mode int64, data string) {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(data))}); err != nil {
			e.T.Fatal(err)
		}
		w.Write([]byte(data))
	}
	add("bin/busybox", 0o755, string(busybox))
	for name, data := range files {
		add(name, 0o644, data)
	}
	w.Close()
	cmd := e.Command("import", "-", name)
	cmd.Stdin = &b
	if out, err := cmd.CombinedOutput(); err != nil {
		e.T.Fatalf("docker import: %v: %s", err, out)
	}
}

// Command is docker with some arguments, for this engine.
func (e *Engine) Command(args ...string) *exec.Cmd {
	return exec.Command("docker", append([]string{"-H", e.Host}, args...)...)
}

// Docker returns what docker writes, to both its streams.
func (e *Engine) Docker(args ...string) (string, error) {
	out, err := e.Command(args...).CombinedOutput()
	return string(out), err
}

// Must is docker for a step of which the test needs that it succeeds.
func (e *Engine) Must(args ...string) string {
	e.T.Helper()
	out, err := e.Docker(args...)
	if err != nil {
		e.T.Fatalf("docker %q is part of this test, and failed: %v: %s", args, err, out)
	}
	return out
}

// Run starts a container and removes it at the end.
func (e *Engine) Run(args ...string) string {
	e.T.Helper()
	return e.RunNamed(fmt.Sprintf("dxtest-%d", time.Now().UnixNano()), args...)
}

// RunNamed is Run with a name of the test's choice.
func (e *Engine) RunNamed(name string, args ...string) string {
	e.T.Helper()
	out, err := e.Docker(append([]string{"run", "-d", "--name", name, "--network", "none"}, args...)...)
	e.T.Cleanup(func() { e.Docker("rm", "-f", name) })
	if err != nil && strings.Contains(out, "operation not permitted") {
		e.T.Skip("this host may not start such a container: ", out)
	}
	if err != nil {
		e.T.Fatalf("docker run %s: %v: %s", args, err, out)
	}
	return name
}

// Facts is what a process that docker exec started says of itself.
type Facts struct {
	Env     []string
	Cwd     string
	Status  proc.Status
	OOM     string
	Limits  []specs.POSIXRlimit
	Cgroups map[string]string     // by controllers, as in /proc/PID/cgroup
	NS      map[nsops.Type]string // the links
}

var factFiles = []string{"environ", "status", "limits", "cgroup", "oom_score_adj"}

// Facts runs two programs in the container as docker exec does, with no shell
// in between: the files in /proc that they show are of the processes in question.
func (e *Engine) Facts(flags []string, container string) (Facts, error) {
	e.T.Helper()
	args := []string{"tail", "-n", "999"}
	for _, name := range factFiles {
		args = append(args, "/proc/self/"+name)
	}
	files, err := e.Exec(flags, container, args...)
	if err != nil {
		return Facts{}, err
	}
	f, err := parseFacts(files)
	if err != nil {
		e.T.Fatalf("%v in %q", err, files)
	}
	links, err := e.Exec(flags, container, "ls", "-l", "/proc/self/cwd", "/proc/self/ns")
	if err != nil {
		e.T.Fatal(err)
	}
	f.links(links)
	return f, nil
}

// Exec returns what docker exec of a program of busybox writes.
func (e *Engine) Exec(flags []string, container string, args ...string) (string, error) {
	var stderr bytes.Buffer
	cmd := e.Command(append(append(append([]string{"exec"}, flags...), container, "/bin/busybox"), args...)...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s%s (%w)", out, stderr.String(), err)
	}
	return strings.ReplaceAll(string(out), "\r\n", "\n"), err
}

// parseFacts takes the output of tail apart.
func parseFacts(text string) (f Facts, err error) {
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
	f.Env = strings.Split(strings.TrimSuffix(file["environ"], "\x00"), "\x00")
	f.OOM = file["oom_score_adj"]
	f.Cgroups = map[string]string{}
	cgroups, err := proc.ParseCgroups([]byte(file["cgroup"]))
	for _, cg := range cgroups {
		f.Cgroups[strings.Join(cg.Controllers, ",")] = cg.Path
	}
	if err == nil {
		f.Limits, err = proc.ParseLimits(strings.NewReader(file["limits"]))
	}
	if err == nil {
		f.Status, err = proc.ParseStatus([]byte(file["status"]))
	}
	return f, err
}

// links reads the lines "… name -> target" of ls.
func (f *Facts) links(text string) {
	f.NS = map[nsops.Type]string{}
	for line := range strings.Lines(text) {
		left, target, ok := strings.Cut(strings.TrimRight(line, "\n"), " -> ")
		if !ok {
			continue
		}
		name := left[strings.LastIndexByte(left, ' ')+1:]
		if name == "/proc/self/cwd" {
			f.Cwd = target
		} else {
			f.NS[nsops.Type(name)] = target
		}
	}
}

// Inspect asks for one field.
func (e *Engine) Inspect(name, format string) string {
	e.T.Helper()
	return strings.TrimSpace(e.Must("inspect", "-f", format, name))
}
