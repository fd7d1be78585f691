package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"dx/e2e/engine"
)

// The engines beside Docker. What dx does is held against each engine's own exec.

// accounts are those of the image: app is a member of two groups that are not his own.
var accounts = map[string]string{
	"etc/passwd": "root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n",
	"etc/group":  "root:x:0:\napp:x:1000:\nextra:x:63:app\nmore:x:2000:app\n",
}

// whatExecGives is a script that prints what an exec has given its command.
const whatExecGives = `b=/bin/busybox; $b id; $b env | $b sort; pwd; $b grep -E "Cap|Umask|Groups|NoNew|Seccomp" /proc/self/status; $b cat /proc/self/cgroup /proc/self/oom_score_adj /proc/self/limits; [ -t 0 ]; echo $?`

// imageRoot is a root file system with busybox and accounts.
func imageRoot(t *testing.T) string {
	t.Helper()
	root := busyboxRoot(t)
	for name, text := range accounts {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// own is another engine's command line.
type own struct {
	e    *engine.Engine
	args []string
	env  []string
}

func (o own) do(t *testing.T, args ...string) engine.Result {
	t.Helper()
	return o.e.Do(t, engine.Command{Args: slices.Concat(o.args, args), Env: o.env})
}

func (o own) must(t *testing.T, args ...string) string {
	t.Helper()
	r := o.do(t, args...)
	if r.Code != 0 {
		t.Fatalf("%s %q: %v", o.args[0], args, r)
	}
	return strings.TrimSpace(r.Stdout)
}

// podmanHere is a Podman with a storage of its own. Without CAP_SYS_RESOURCE it can give no
// limits that are higher than the test's.
func podmanHere(t *testing.T, e *engine.Engine) own {
	t.Helper()
	engine.Require(t, engine.Podman)
	dir := ownDirectory(t) // Podman takes no path of more than 50 characters
	conf := "[containers]\npids_limit = 0\ndefault_ulimits = [\"nofile=1000:1000\", \"nproc=4000:4000\"]\n" +
		"[engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"none\"\nruntime = \"runc\"\n"
	if err := os.WriteFile(dir+"/containers.conf", []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	p := own{e, []string{"podman", "--storage-driver", "vfs", "--root", dir + "/root", "--runroot", dir + "/run", "--tmpdir", dir + "/tmp"}, []string{"CONTAINERS_CONF=" + dir + "/containers.conf", "DOCKER_CONFIG=", "DOCKER_HOST="}}
	t.Cleanup(func() {
		p.do(t, "pod", "rm", "-f", "-a", "-t", "0")
		if r := p.do(t, "rm", "-f", "-a", "-t", "0"); r.Code != 0 {
			t.Errorf("podman rm: %v", r)
		}
	})
	image := e.Do(t, engine.Command{Args: []string{"tar", "-C", imageRoot(t), "-cf", dir + "/image.tar", "."}})
	if image.Code != 0 {
		t.Fatal(image)
	}
	p.must(t, "import", dir+"/image.tar", "app:latest")
	return p
}

func (o own) run(t *testing.T, name string, flags ...string) (id string, pid int) {
	t.Helper()
	id = o.must(t, slices.Concat([]string{"run", "-d", "--name", name, "--network", "none"}, flags, []string{"app", "sleep", "4242"})...)
	pid, err := strconv.Atoi(o.must(t, "inspect", "-f", "{{.State.Pid}}", name))
	if err != nil {
		t.Fatal(err)
	}
	return id, pid
}

// sameExec compares an exec of dx's with another engine's own, for each set of flags.
func sameExec(t *testing.T, e *engine.Engine, ref string, theirs func(flags []string) engine.Result, sets ...[]string) {
	t.Helper()
	for _, flags := range sets {
		want := theirs(flags)
		got := e.Dx(t, slices.Concat([]string{"exec"}, flags, []string{ref, "/bin/sh", "-c", whatExecGives})...)
		if want.Code != 0 || got.Code != 0 || got.Stdout != want.Stdout {
			d := differing(want.Stdout, got.Stdout)
			t.Errorf("exec %q %s: %s", flags, ref, d)
			if got.Code != 0 || want.Code != 0 || d == "" {
				t.Errorf("its own exec: %v\ndx: %v", want, got)
			}
		}
	}
}

// differing are the lines of two texts that are not in the other.
func differing(want, got string) string {
	var out strings.Builder
	for _, l := range lines(want) {
		if !slices.Contains(lines(got), l) {
			out.WriteString("\n- " + l)
		}
	}
	for _, l := range lines(got) {
		if !slices.Contains(lines(want), l) {
			out.WriteString("\n+ " + l)
		}
	}
	return out.String()
}

// pidOf is which process dx takes for a container.
func pidOf(t *testing.T, e *engine.Engine, ref string) (string, engine.Result) {
	t.Helper()
	r := e.Do(t, engine.Command{Args: []string{e.DxPath(t), "ns", "--format", "{{.Pid}}", ref}, Env: nobodyNamed})
	return strings.TrimSpace(r.Stdout), r
}

func wantPID(t *testing.T, e *engine.Engine, pid int, refs ...string) {
	t.Helper()
	for _, ref := range refs {
		if got, r := pidOf(t, e, ref); got != strconv.Itoa(pid) {
			t.Errorf("%s is %v, want pid %d", ref, r, pid)
		}
	}
}

// TestPodman: a container of another user than root, one with a host name, two of a pod;
// by all that they are called, with conmon at work, stopped and dead.
func TestPodman(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	p := podmanHere(t, e)
	name := e.Name("pod")
	id, pid := p.run(t, name, "--user", "app", "-e", "FOO=bar", "-w", "/etc")
	named, _ := p.run(t, name+"-named", "--hostname", "hh", "--cap-add", "SYS_PTRACE")
	p.must(t, "pod", "create", "--infra=false", "--name", name+"-p")
	_, one := p.run(t, name+"-1", "--pod", name+"-p")
	_, two := p.run(t, name+"-2", "--pod", name+"-p")
	wantPID(t, e, pid, name, "podman:"+name, id, id[:20], "podman:"+id[:12])
	wantPID(t, e, one, "podman:"+name+"-1")
	wantPID(t, e, two, "podman:"+name+"-2")
	exec := func(name string) func([]string) engine.Result {
		return func(flags []string) engine.Result {
			return p.do(t, slices.Concat([]string{"exec"}, flags, []string{name, "/bin/sh", "-c", whatExecGives})...)
		}
	}
	sets := [][]string{nil, {"-u", "root"}, {"-u", "app"}, {"-u", "63"}, {"-u", "app:63"}, {"-e", "X=1", "-e", "FOO=baz", "-w", "/"}, {"--privileged"}}
	check := func(conmon string) {
		sameExec(t, e, "podman:"+name, exec(name), sets...)
		sameExec(t, e, "podman:"+named[:12], exec(name+"-named"), nil, []string{"-u", "app"})
		if t.Failed() {
			t.Fatalf("conmon is %s", conmon)
		}
	}
	check("at work")
	p.must(t, "rename", name, name+"-new")
	wantPID(t, e, pid, "podman:"+name+"-new")
	p.must(t, "rename", name+"-new", name)

	stoppedPodman(t, e, p, name)
	conmon := parentOf(t, pid)
	stop(t, conmon)
	sameExec(t, e, "podman:"+name, exec(name), nil)
	kill(t, conmon)
	wantPID(t, e, pid, "podman:"+name, id)
	sameExec(t, e, "podman:"+name, exec(name), nil, []string{"-u", "root"})
	r := e.Dx(t, "ps", "--format", "{{.Pid}} {{.Engine}}")
	for _, want := range []int{pid, one, two} {
		if n := strings.Count("\n"+r.Stdout, "\n"+strconv.Itoa(want)+" podman:"); n != 1 {
			t.Errorf("ps lists pid %d %d times: %v", want, n, r)
		}
	}
}

// stoppedPodman: containers that do not run, as podman ps -a has them, but for how they ended.
func stoppedPodman(t *testing.T, e *engine.Engine, p own, name string) {
	t.Helper()
	p.must(t, "create", "--name", name+"-made", "--network", "none", "app", "true")
	p.do(t, "run", "--name", name+"-ended", "--network", "none", "app", "false")
	theirs := lines(p.must(t, "ps", "-a", "--filter", "status=created", "--filter", "status=exited", "--format", "podman:{{.Names}} {{.State}} {{.Image}}"))
	ours := lines(e.Dx(t, "ps", "-a", "--filter", "engine=podman", "--filter", "status=created", "--filter", "status=exited", "--format", "{{.Name}} {{lower .State}} {{.Image}}").Stdout)
	for _, want := range theirs {
		want = strings.Replace(strings.Replace(want, " Created ", " created ", 1), " Exited ", " exited ", 1)
		if f := strings.Fields(want); len(f) > 3 { // "Exited (1) 1 second ago"
			want = strings.Join([]string{f[0], f[1], f[len(f)-1]}, " ")
		}
		if strings.HasPrefix(want, "podman:"+name) && !slices.Contains(ours, want) {
			t.Errorf("ps -a has %q, podman %q", ours, want)
		}
	}
	if len(theirs) < 2 {
		t.Errorf("podman has %q", theirs)
	}
	if r := e.Dx(t, "exec", "podman:"+name+"-ended", "true"); r.Code != 1 || !strings.Contains(r.Stderr, "is not running") {
		t.Errorf("one that has ended: %v", r)
	}
}

// runcSpec is a container with a user, groups, an environment and rights of its own.
func runcSpec(t *testing.T, name string) *specs.Spec {
	t.Helper()
	caps := []string{"CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE"}
	return &specs.Spec{
		Version: "1.0.2", Root: &specs.Root{Path: imageRoot(t)}, Hostname: name,
		Process: &specs.Process{
			Args: []string{"sleep", "4242"}, Env: []string{"PATH=/bin", "X=1"}, Cwd: "/etc", NoNewPrivileges: true,
			User:         specs.User{UID: 1000, GID: 1000, AdditionalGids: []uint32{5, 6}},
			Capabilities: &specs.LinuxCapabilities{Bounding: caps, Permitted: caps, Effective: caps, Inheritable: caps[:1], Ambient: caps[:1]},
			Rlimits:      []specs.POSIXRlimit{{Type: "RLIMIT_CORE", Hard: 0, Soft: 0}},
		},
		Mounts: []specs.Mount{{Destination: "/proc", Type: "proc", Source: "proc"}, {Destination: "/dev", Type: "tmpfs", Source: "tmpfs"}, {
			Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"newinstance", "ptmxmode=0666", "mode=0620"},
		}},
		Linux: &specs.Linux{CgroupsPath: "/" + name, Namespaces: []specs.LinuxNamespace{
			{Type: specs.MountNamespace}, {Type: specs.PIDNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace}, {Type: specs.NetworkNamespace},
		}},
	}
}

// TestPlainRunc: what `runc run -d` has started, whose name has a hyphen, and nobody keeps.
func TestPlainRunc(t *testing.T) {
	engine.Require(t, engine.Dockerd)
	e := suite.Engine(t, engine.Host)
	name := e.Name("plain")
	pid := runPlain(t, e, name)
	wantPID(t, e, pid, name, "runc:"+name)
	runc := own{e: e, args: []string{"runc"}}
	sameExec(t, e, "runc:"+name, func(flags []string) engine.Result {
		return runc.do(t, slices.Concat([]string{"exec"}, flags, []string{name, "/bin/sh", "-c", whatExecGives})...)
	}, nil, []string{"-e", "X=2"})
}

func runPlain(t *testing.T, e *engine.Engine, name string) int {
	t.Helper()
	config, err := json.Marshal(runcSpec(t, name))
	if err != nil {
		t.Fatal(err)
	}
	bundle := t.TempDir()
	if err := os.WriteFile(bundle+"/config.json", config, 0o644); err != nil {
		t.Fatal(err)
	}
	pidfile := filepath.Join(t.TempDir(), "pid")
	t.Cleanup(func() {
		eventually(t, "runc deletes "+name, func() bool {
			return e.Do(t, engine.Command{Args: []string{"runc", "delete", "-f", name}}).Code == 0
		})
	})
	// The streams are not the test's, which would wait for their end.
	if r := e.Do(t, engine.Command{Args: []string{"sh", "-c", `runc run -d -b "$0" --pid-file "$1" "$2" >"$0/log" 2>&1 </dev/null || { cat "$0/log"; false; }`, bundle, pidfile, name}}); r.Code != 0 {
		t.Fatalf("runc run: %v", r)
	}
	b, err := os.ReadFile(pidfile)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// TestCtr: ctr adds nothing to what the bundle says, and no group for -u.
func TestCtr(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	id := e.Name("ctr")
	ctr(t, e, "default", id)
	theirs := own{e: e, args: []string{"ctr", "-a", e.Dir + "/exec/containerd/containerd.sock", "-n", "default", "task", "exec"}}
	sameExec(t, e, "containerd:default/"+id, func(flags []string) engine.Result {
		return theirs.do(t, slices.Concat([]string{"--exec-id", "x" + strconv.Itoa(len(flags))}, flags, []string{id, "/bin/sh", "-c", whatExecGives})...)
	}, nil)
}

// lxcHere starts a container of LXC's.
func lxcHere(t *testing.T, e *engine.Engine, name string) (own, int) {
	t.Helper()
	engine.Require(t, engine.LXC)
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
		t.Fatal(err)
	}
	config := "lxc.rootfs.path = dir:" + imageRoot(t) + "\nlxc.uts.name = " + name + "\nlxc.net.0.type = empty\nlxc.init.cmd = /bin/sleep 4242\n" +
		"lxc.mount.auto = proc:mixed\nlxc.pty.max = 64\nlxc.seccomp.profile = /usr/share/lxc/config/common.seccomp\n"
	if err := os.WriteFile(filepath.Join(dir, name, "config"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	r := e.Do(t, engine.Command{Args: []string{"sh", "-c", `lxc-start -P "$0" -n "$1" -d -l INFO -o "$0/log" >"$0/out" 2>&1 </dev/null || { cat "$0/out" "$0/log"; false; }`, dir, name}})
	if r.Code != 0 {
		t.Fatalf("lxc-start: %v", r)
	}
	t.Cleanup(func() {
		r := e.Do(t, engine.Command{Args: []string{"lxc-stop", "-k", "-P", dir, "-n", name}})
		if r.Code != 0 && !strings.Contains(r.Stderr, "is not running") { // as for LXC it is, without its monitor
			t.Errorf("lxc-stop: %v", r)
		}
	})
	info := e.Do(t, engine.Command{Args: []string{"lxc-info", "-P", dir, "-n", name, "-p", "-H"}})
	pid, err := strconv.Atoi(strings.TrimSpace(info.Stdout))
	if err != nil {
		t.Fatalf("lxc-info: %v", info)
	}
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
	return own{e: e, args: []string{"lxc-attach", "-P", dir, "-n", name, "--clear-env", "--"}}, pid
}

// TestLXC: the cgroup of its own that lxc-attach makes on v2 is not made.
func TestLXC(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	name := e.Name("lx")
	attach, pid := lxcHere(t, e, name)
	wantPID(t, e, pid, name, "lxc:"+name)
	sameExec(t, e, "lxc:"+name, func([]string) engine.Result {
		r := attach.do(t, "/bin/sh", "-c", whatExecGives)
		r.Stdout = strings.ReplaceAll(r.Stdout, "/.lxc\n", "/\n")
		return r
	}, nil)
}

// TestFiveEngines: the containers of five engines are each listed once, with the engine, and
// every verb takes the name that the list has.
func TestFiveEngines(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	p := podmanHere(t, e)
	name := e.Name("five")
	c := e.Run(t, engine.Busybox)
	_, inPodman := p.run(t, name)
	_, inLXC := lxcHere(t, e, name)
	want := map[int]string{c.PID: "unix:", ctr(t, e, "default", name): "containerd:default", inPodman: "podman:", runPlain(t, e, name): "runc", inLXC: "lxc:"}
	r := e.Dx(t, "ps", "--no-trunc", "--format", "{{.Pid}} {{.Name}} {{.Engine}}")
	for pid, engine := range want {
		var rows [][]string
		for _, l := range lines(r.Stdout) {
			if f := strings.Fields(l); f[0] == strconv.Itoa(pid) {
				rows = append(rows, f)
			}
		}
		if len(rows) != 1 || !strings.HasPrefix(rows[0][2], engine) {
			t.Errorf("pid %d is listed as %q, want once, of %s: %v", pid, rows, engine, r)
			continue
		}
		ns := e.Dx(t, "ns", "--format", "{{.Pid}}", rows[0][1])
		who := e.Dx(t, "who", "--format", "{{.Name}} {{.Engine}}", strconv.Itoa(pid))
		if strings.TrimSpace(ns.Stdout) != strconv.Itoa(pid) || strings.TrimSpace(who.Stdout) != rows[0][1]+" "+rows[0][2] {
			t.Errorf("%s: ns says %v, who says %v", rows[0], ns, who)
		}
	}
	for filter, pid := range map[string]int{"podman": inPodman, "lxc": inLXC, "docker": c.PID} {
		r := e.Dx(t, "ps", "--filter", "engine="+filter, "--format", "{{.Pid}}", "--filter", "name="+name, "--filter", "name="+c.Name)
		if strings.TrimSpace(r.Stdout) != strconv.Itoa(pid) {
			t.Errorf("those of %s: %v, want pid %d", filter, r, pid)
		}
	}
	both := e.Do(t, engine.Command{Args: []string{e.DxPath(t), "exec", name, "true"}, Env: nobodyNamed})
	for _, candidate := range []string{"podman:" + name, "runc:" + name, "lxc:" + name, "containerd:default/" + name} {
		if both.Code == 0 || !strings.Contains(both.Stderr, candidate) {
			t.Errorf("a name that four engines know: %v, want an error that has %s", both, candidate)
		}
	}
}
