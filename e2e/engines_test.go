package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"dx/e2e/engine"
	"dx/e2e/fakeengine"
)

// hostname is what tells containers apart from within: dockerd names them after their ID.
var hostname = []string{"cat", "/proc/sys/kernel/hostname"}

// entered returns where an exec of a name has run: the ID of a container, in short; empty
// if nothing was entered.
func entered(t *testing.T, e *engine.Engine, env []string, args ...string) (string, engine.Result) {
	t.Helper()
	r := e.Do(t, engine.Command{Args: append([]string{e.DxPath(t)}, append(args, hostname...)...), Env: env})
	return strings.TrimSpace(r.Stdout), r
}

// runNamed starts a container by that name, whoever else bears it.
func runNamed(t *testing.T, e *engine.Engine, name string, flags ...string) engine.Container {
	t.Helper()
	args := append([]string{"run", "-d", "--name", name}, append(flags, engine.Busybox, "sleep", "4242")...)
	r := e.MustDocker(t, args...)
	t.Cleanup(func() { e.Docker(t, "rm", "-f", name) })
	c := engine.Container{Name: name, ID: strings.TrimSpace(r.Stdout)}
	pid, err := strconv.Atoi(strings.TrimSpace(e.MustDocker(t, "inspect", "-f", "{{.State.Pid}}", name).Stdout))
	if err != nil || pid == 0 {
		t.Fatalf("pid of %s: %v", name, err)
	}
	c.PID = pid
	return c
}

// nobodyNamed is an environment that names no engine.
var nobodyNamed = []string{"DOCKER_HOST=", "DOCKER_CONTEXT=", "DOCKER_CONFIG=/nonexistent"}

// TestAttackOtherHost: an engine of another host or kernel is named, and a container of
// this host bears the name that it is asked for. Nothing runs here.
func TestAttackOtherHost(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox)
	id := strings.Repeat("ab", 32)
	answers := func(network, address string) string {
		serveSaying(t, network, address, id, c.Name)
		return network + "://" + address
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	for what, address := range map[string]string{
		"cannot be found":              "tcp://prod2.invalid:2376",
		"refuses":                      "tcp://127.0.0.1:1",
		"is silent, and no dockerd":    "tcp://" + silent.Addr().String(),
		"is reached by ssh":            "ssh://root@prod2.invalid",
		"of another kernel, by unix":   answers("unix", filepath.Join(t.TempDir(), "s")),
		"of another kernel, by tunnel": answers("tcp", "127.0.0.1:"+strconv.Itoa(freePort(t))),
	} {
		for form, named := range map[string][]string{"-H": {"-H", address}, "DOCKER_HOST": nil} {
			in, r := entered(t, e, []string{"DOCKER_HOST=" + address}, append(named, "exec", c.Name)...)
			if in != "" || r.Code != 125 || !strings.Contains(r.Stderr, "run there: ") || !strings.Contains(r.Stderr, address) {
				t.Errorf("an engine that %s, named by %s: entered %q, %v; want a refusal that names it and says what to run there", what, form, in, r)
			}
		}
	}
	dir := contextTo(t, "ssh://root@prod2.invalid")
	if in, r := entered(t, e, []string{"DOCKER_HOST=", "DOCKER_CONFIG=" + dir}, "exec", c.Name); in != "" || r.Code != 125 {
		t.Errorf("a context of ssh: entered %q, %v", in, r)
	}
	if in, r := entered(t, e, []string{"DOCKER_HOST=", "DOCKER_CONFIG=" + dir}, "--source", "host", "exec", c.ID); in != c.ID[:12] {
		t.Errorf("a context of ssh with --source host, where no engine is asked: entered %q, %v", in, r)
	}
}

// contextTo makes a directory of docker's configuration whose current context leads there.
func contextTo(t *testing.T, address string) string {
	t.Helper()
	dir := t.TempDir()
	e := suite.Engine(t, engine.Host)
	for _, args := range [][]string{{"context", "create", "made", "--docker", "host=" + address}, {"context", "use", "made"}} {
		r := e.Do(t, engine.Command{Args: append([]string{"docker"}, args...), Env: []string{"DOCKER_CONFIG=" + dir, "DOCKER_HOST="}})
		if r.Code != 0 {
			t.Fatalf("docker %q: %v", args, r)
		}
	}
	return dir
}

// TestTwoEngines: two dockerds have a container of one name. Each is asked while the first
// is alive, stopped and dead; dx enters the container of the one that is meant, or none.
func TestTwoEngines(t *testing.T) {
	a := suite.Start(t, engine.Options{Args: []string{"--live-restore"}})
	b := suite.Start(t, engine.Options{})
	name := a.Name("twin")
	inA, inB := runNamed(t, a, name), runNamed(t, b, name)
	onlyB := b.Run(t, engine.Busybox)
	short := func(c engine.Container) string { return c.ID[:12] }
	check := func(state string) {
		t.Helper()
		for _, c := range []struct {
			what string
			env  []string
			args []string
			want string
		}{
			{"the first by DOCKER_HOST", nil, []string{"exec", name}, short(inA)},
			{"the second by -H", nil, []string{"-H", b.Host, "exec", name}, short(inB)},
			{"the second's, where the first was named", nil, []string{"exec", onlyB.Name}, ""},
			{"the second's ID, where the first was named", nil, []string{"exec", onlyB.ID}, ""},
			{"nobody named", nobodyNamed, []string{"exec", name}, ""},
			{"nobody named or asked", nobodyNamed, []string{"--source", "host", "exec", name}, ""},
			{"nobody named, one bears it", nobodyNamed, []string{"exec", onlyB.Name}, short(onlyB)},
			{"by ID", nobodyNamed, []string{"exec", inB.ID}, short(inB)},
			{"by a qualified ID", nobodyNamed, []string{"exec", "docker:" + short(inB)}, short(inB)},
			{"by a qualified ID, another named", nil, []string{"exec", "docker:" + short(inB)}, short(inB)},
		} {
			in, r := entered(t, a, c.env, c.args...)
			if in != c.want || (c.want == "") == (r.Code == 0) {
				t.Errorf("the first is %s; %s: entered %q, want %q; %v", state, c.what, in, c.want, r)
			}
			both := strings.Contains(r.Stderr, "is ambiguous") && strings.Contains(r.Stderr, short(inA)) && strings.Contains(r.Stderr, short(inB))
			if c.env != nil && c.args[len(c.args)-1] == name && !both {
				t.Errorf("the first is %s; %s: %v, want an error with both", state, c.what, r)
			}
		}
		r := a.Do(t, engine.Command{Args: []string{a.DxPath(t), "ps", "--filter", "name=" + name}, Env: nobodyNamed})
		if !strings.Contains(lines(r.Stdout)[0], "ENGINE") || !strings.Contains(r.Stdout, a.Dir) || !strings.Contains(r.Stdout, b.Dir) {
			t.Errorf("the first is %s: the list of two engines is\n%s", state, r.Stdout)
		}
	}
	check("alive")
	t.Run("stopped", func(t *testing.T) {
		stop(t, a.PID)
		check("stopped")
	})
	if err := a.Kill(); err != nil {
		t.Fatal(err)
	}
	check("dead")
	if err := a.Boot(); err != nil {
		t.Fatal(err)
	}
}

// ctr starts a container of containerd's own, below a dockerd's containerd.
func ctr(t *testing.T, e *engine.Engine, namespace, id string) int {
	t.Helper()
	address := e.Dir + "/exec/containerd/containerd.sock"
	run := func(args ...string) engine.Result {
		return e.Do(t, engine.Command{Args: append([]string{"ctr", "-a", address, "-n", namespace}, args...)})
	}
	t.Cleanup(func() {
		run("task", "kill", "-s", "KILL", id)
		eventually(t, "ctr deletes "+id, func() bool {
			run("task", "delete", "-f", id)
			return run("container", "delete", id).Code == 0
		})
	})
	return ctrAt(t, e, address, namespace, id)
}

// ctrAt starts one below any containerd.
func ctrAt(t *testing.T, e *engine.Engine, address, namespace, id string) int {
	t.Helper()
	root := filepath.Join(t.TempDir(), "root")
	if err := os.MkdirAll(root+"/bin", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"proc", "dev", "sys", "run"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	copyFile(t, "/bin/busybox", root+"/bin/busybox")
	if err := os.Chmod(root+"/bin/busybox", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"cat", "true", "sh", "sleep"} {
		if err := os.Symlink("busybox", filepath.Join(root, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) engine.Result {
		return e.Do(t, engine.Command{Args: append([]string{"ctr", "-a", address, "-n", namespace}, args...)})
	}
	if r := run("run", "-d", "--rootfs", root, id, "/bin/busybox", "sleep", "4242"); r.Code != 0 {
		t.Fatalf("ctr run %s/%s: %v", namespace, id, r)
	}
	for _, line := range lines(run("task", "ls").Stdout) {
		if f := strings.Fields(line); f[0] == id {
			pid, err := strconv.Atoi(f[1])
			if err != nil {
				t.Fatal(err)
			}
			return pid
		}
	}
	t.Fatalf("ctr lists no task %s", id)
	return 0
}

// TestDockerAndContainerd: Docker and a namespace of containerd's have containers of one
// name, and one ID is in two namespaces. dockerd is alive, stopped and dead.
func TestDockerAndContainerd(t *testing.T) {
	e := suite.Start(t, engine.Options{Args: []string{"--live-restore"}})
	name := e.Name("both")
	c := runNamed(t, e, name)
	pid := ctr(t, e, "default", name)
	twin := ctr(t, e, "other", c.ID)
	is := func(what string, env []string, ref string, want int, flags ...string) {
		t.Helper()
		args := append([]string{e.DxPath(t)}, append(flags, "ns", "--format", "{{.Pid}}", ref)...)
		r := e.Do(t, engine.Command{Args: args, Env: env})
		got := strings.TrimSpace(r.Stdout)
		if want == 0 && (got != "" || r.Code == 0 || !strings.Contains(r.Stderr, "is ambiguous") || !strings.Contains(r.Stderr, "containerd:")) {
			t.Errorf("%s: %s is %v, want an error that lists both", what, ref, r)
		}
		if want != 0 && got != strconv.Itoa(want) {
			t.Errorf("%s: %s is %v, want pid %d", what, ref, r, want)
		}
	}
	check := func(state string) {
		t.Helper()
		is(state+", named", nil, name, c.PID)
		is(state+", named", nil, c.ID, c.PID)
		is(state, nobodyNamed, name, 0, "--source", "host")
		is(state, nobodyNamed, c.ID, 0, "--source", "host")
		for _, env := range [][]string{nil, nobodyNamed} {
			is(state, env, "containerd:default/"+name, pid)
			is(state, env, "containerd:other/"+c.ID, twin)
			is(state, env, "docker:"+name, c.PID)
		}
		// What ps lists, every verb takes, and who knows whose it is.
		r := e.Dx(t, "ps", "--no-trunc", "--format", "{{.Pid}} {{.Name}} {{.Engine}}")
		for _, want := range []int{c.PID, pid, twin} {
			i := slices.IndexFunc(lines(r.Stdout), func(l string) bool { return strings.HasPrefix(l, fmt.Sprint(want, " ")) })
			if i < 0 {
				t.Errorf("%s: ps does not list pid %d: %v", state, want, r)
				continue
			}
			f := strings.Fields(lines(r.Stdout)[i])
			is(state+", as ps lists it", nil, f[1], want)
			if who := e.Dx(t, "who", "--format", "{{.Name}} {{.Engine}}", strconv.Itoa(want)); strings.TrimSpace(who.Stdout) != f[1]+" "+f[2] {
				t.Errorf("%s: who %d is %v, ps says %s", state, want, who, f[1:])
			}
		}
		for _, args := range [][]string{{"ns"}, {"ns", c.Name, "containerd:default/" + name}, {"who", strconv.Itoa(c.PID), strconv.Itoa(pid)}} {
			if r := e.Dx(t, args...); !strings.Contains(strings.ToUpper(r.Stdout), "ENGINE") || !strings.Contains(r.Stdout, "containerd:default") {
				t.Errorf("%s: %q is %v, want a column of engines", state, args, r)
			}
		}
		if r := e.Dx(t, "top", "--format", "{{.Engine}}", "containerd:default/"+name); strings.TrimSpace(r.Stdout) != "containerd:default" {
			t.Errorf("%s: top says %v of the engine", state, r)
		}
	}
	check("alive")
	t.Run("stopped", func(t *testing.T) {
		stop(t, e.PID)
		check("stopped")
	})
	if err := e.Kill(); err != nil {
		t.Fatal(err)
	}
	check("dead")
	if err := e.Boot(); err != nil {
		t.Fatal(err)
	}
}

// TestContainerCalledHost: "host" alone may mean either, whatever the engine does.
func TestContainerCalledHost(t *testing.T) {
	e := suite.Start(t, engine.Options{})
	c := runNamed(t, e, "host")
	check := func(state string) {
		t.Helper()
		if in, r := entered(t, e, nil, "exec", "host"); in != "" || r.Code == 0 || !strings.Contains(r.Stderr, "host:") || !strings.Contains(r.Stderr, "docker:host") {
			t.Errorf("%s: exec host enters %q, %v", state, in, r)
		}
		if in, r := entered(t, e, nil, "exec", "docker:host"); in != c.ID[:12] {
			t.Errorf("%s: exec docker:host enters %q, %v", state, in, r)
		}
		if r := e.Dx(t, "ns", "host:", "--format", "{{.Name}}"); strings.TrimSpace(r.Stdout) != "host" {
			t.Errorf("%s: ns host: is %v", state, r)
		}
	}
	check("alive")
	stop(t, e.PID)
	check("stopped")
}

// TestStaleInit: of those who name the init the one that verifies counts. The bundle's
// init.pid is stale, or not there at all.
func TestStaleInit(t *testing.T) {
	e := suite.Start(t, engine.Options{})
	for what, spoil := range map[string]func(string) error{
		"stale":   func(file string) error { return os.WriteFile(file, []byte("4194303"), 0o644) },
		"missing": os.Remove,
	} {
		c := e.Run(t, engine.Busybox)
		file := e.Dir + "/exec/containerd/daemon/io.containerd.runtime.v2.task/moby/" + c.ID + "/init.pid"
		if err := spoil(file); err != nil {
			t.Fatal(err)
		}
		for _, flags := range [][]string{nil, {"--source", "host"}} {
			if in, r := entered(t, e, nil, append(flags, "exec", c.Name)...); in != c.ID[:12] {
				t.Errorf("init.pid is %s, %q: entered %q, %v", what, flags, in, r)
			}
		}
	}
}

// TestHostPIDOrphan: the shim of a container with the host's PID namespace has died.
func TestHostPIDOrphan(t *testing.T) {
	e := suite.Start(t, engine.Options{})
	c := e.Run(t, engine.Busybox, "--pid", "host", "--security-opt", "seccomp=unconfined")
	containerd, err := e.ContainerdPID()
	if err != nil {
		t.Fatal(err)
	}
	stop(t, containerd)
	stop(t, e.PID)
	kill(t, parentOf(t, c.PID))
	if in, r := entered(t, e, nil, "exec", c.Name); in != c.ID[:12] {
		t.Errorf("a container with --pid host whose shim has died: entered %q, %v", in, r)
	}
	if r := e.Dx(t, "ps", "--format", "{{.Pid}}", "--filter", "name="+c.Name); strings.TrimSpace(r.Stdout) != strconv.Itoa(c.PID) {
		t.Errorf("ps: %v, want pid %d", r, c.PID)
	}
}

// TestPlainUser: what a user without root is shown is the engine's word, and called so; who
// may not even ask is told that there may be more.
func TestPlainUser(t *testing.T) {
	e := suite.Start(t, engine.Options{})
	c := e.Run(t, engine.Busybox)
	socket := strings.TrimPrefix(e.Host, "unix://")
	asUser := func(args ...string) engine.Result {
		return e.Do(t, engine.Command{Args: append([]string{"setpriv", "--reuid=54321", "--regid=54321", "--clear-groups", e.DxPath(t), "--api-timeout", "20s"}, args...)})
	}
	if err := os.Chmod(socket, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := asUser("ps"); r.Code == 0 || !strings.Contains(r.Stderr, "without root") {
		t.Errorf("ps without access to the socket: %v, want that other containers may run, and no success", r)
	}
	if r := asUser("exec", c.Name, "true"); r.Code == 0 || strings.Contains(r.Stderr, "from daemon") || !strings.Contains(r.Stderr, "without root") {
		t.Errorf("exec without access to the socket: %v, want what could not be seen, and no daemon's word", r)
	}
	if err := os.Chmod(socket, 0o666); err != nil {
		t.Fatal(err)
	}
	r := asUser("ps", "--format", "{{.Name}} {{.Status}}", "--filter", "name="+c.Name)
	if r.Code != 0 || !strings.Contains(r.Stdout, c.Name+" Up") || !strings.HasSuffix(strings.TrimSpace(r.Stdout), "(unverified)") || !strings.Contains(r.Stderr, "sudo") {
		t.Errorf("ps with access to the socket: %v, want the engine's word, unverified", r)
	}
}

// serveSaying is an engine that knows one container, which is not on this host.
func serveSaying(t *testing.T, network, address, id, name string) {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fakeengine.ServeOn(l, &fakeengine.Engine{Containers: []fakeengine.Container{fakeengine.Running(id, name, fakeengine.NoPID)}}))
}

func kill(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, fmt.Sprintf("pid %d is gone", pid), func() bool { return syscall.Kill(pid, 0) != nil })
}
