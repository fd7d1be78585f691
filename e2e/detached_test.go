package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"dx/e2e/engine"
)

// detachedSpec is a container of runc's with a thing of its own in whatever an exec takes
// from the bundle or from the runtime's state. What a version of runc does not know, it
// leaves out: LINUX32 before 1.2, memory policies before 1.4.
func detachedSpec(root string) *specs.Spec {
	own, score := []string{"CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"}, 300
	keep := []string{"CAP_KILL"}
	enosys := uint(38)
	return &specs.Spec{
		Version: "1.0.2", Root: &specs.Root{Path: root}, Hostname: "detached",
		Process: &specs.Process{
			Args: []string{"sleep", "1000000"}, Env: []string{"PATH=/bin", "A=1"}, Cwd: "/home",
			User:         specs.User{UID: 1000, GID: 1000, AdditionalGids: []uint32{1000, 63}},
			Capabilities: &specs.LinuxCapabilities{Bounding: own, Permitted: own, Effective: own, Inheritable: keep, Ambient: keep},
			Rlimits:      []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 600, Hard: 600}},
			OOMScoreAdj:  &score, NoNewPrivileges: true,
		},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc"},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs"},
			{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"newinstance", "ptmxmode=0666", "mode=0620"}},
		},
		Linux: &specs.Linux{
			Namespaces: []specs.LinuxNamespace{
				{Type: specs.MountNamespace}, {Type: specs.PIDNamespace}, {Type: specs.UTSNamespace}, {Type: specs.NetworkNamespace}, {Type: specs.IPCNamespace},
			},
			Personality:  &specs.LinuxPersonality{Domain: specs.PerLinux32},
			MemoryPolicy: &specs.LinuxMemoryPolicy{Mode: specs.MpolPreferred, Nodes: "0"},
			Seccomp: &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: []specs.Arch{specs.ArchX86_64, specs.ArchX32}, Syscalls: []specs.LinuxSyscall{
				{Names: []string{"chroot", "mknod"}, Action: specs.ActErrno, ErrnoRet: &enosys},
				{Names: []string{"personality"}, Action: specs.ActErrno, Args: []specs.LinuxSeccompArg{{Index: 0, Value: 9, Op: specs.OpEqualTo}}},
			}},
		},
	}
}

// detached is a container that `runc run -d` has started, with its state in runc's default
// directory.
type detached struct {
	name, bundle string
	pid          int
}

func runDetached(t *testing.T, e *engine.Engine, change func(*specs.Spec)) detached {
	t.Helper()
	root := busyboxRoot(t)
	copyFile(t, suite.Build(t, "dx/e2e/prober"), root+"/prober")
	if err := os.Chmod(root+"/prober", 0o755); err != nil {
		t.Fatal(err)
	}
	d := detached{name: e.Name("detached"), bundle: t.TempDir()}
	d.write(t, root, change)
	log, err := os.Create(filepath.Join(d.bundle, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	pidfile := filepath.Join(d.bundle, "pid")
	run := exec.Command("runc", "run", "-d", "--pid-file", pidfile, "-b", d.bundle, d.name)
	run.Stdout, run.Stderr = log, log
	t.Cleanup(func() {
		if out, err := exec.Command("runc", "delete", "-f", d.name).CombinedOutput(); err != nil {
			t.Errorf("runc delete: %v: %s", err, out)
		}
	})
	err = run.Run()
	said, _ := os.ReadFile(log.Name())
	if err != nil {
		t.Fatalf("runc run: %v: %s", err, said)
	}
	b, err := os.ReadFile(pidfile)
	if err == nil {
		d.pid, err = strconv.Atoi(strings.TrimSpace(string(b)))
	}
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// write writes the bundle's config.json.
func (d detached) write(t *testing.T, root string, change func(*specs.Spec)) {
	t.Helper()
	spec := detachedSpec(root)
	spec.Linux.CgroupsPath = "/" + d.name
	if change != nil {
		change(spec)
	}
	b, err := json.Marshal(spec)
	if err == nil {
		err = os.WriteFile(filepath.Join(d.bundle, "config.json"), b, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// mustEqualRunc compares what `runc exec` starts with what `dx exec pid:N` does. The
// streams are not compared: runc hands on its caller's.
func (d detached) mustEqualRunc(t *testing.T, e *engine.Engine, pid int) {
	t.Helper()
	for _, command := range [][]string{{"sh", "-c", probe}, {"/prober", "calls"}} {
		want := e.Do(t, engine.Command{Args: slices.Concat([]string{"runc", "exec", d.name}, command)})
		got := e.Dx(t, slices.Concat([]string{"exec", "pid:" + strconv.Itoa(pid)}, command)...)
		if want.Code != 0 || got.Code != 0 || got.Stderr != "" {
			t.Fatalf("runc exec: %v\ndx exec: %v", want, got)
		}
		for _, line := range differences(want.Stdout, got.Stdout) {
			if !strings.HasPrefix(line, "fd ") && !strings.HasPrefix(line, "owner ") {
				t.Errorf("of pid %d, runc for docker: %s", pid, line)
			}
		}
	}
}

// TestExecOfADetachedContainer: a container that runc has made and no shim serves has what
// the runtime's state and the bundle say, as for runc exec; also when config.json has
// changed since: the process is the bundle's of today, the rest what it was made with.
func TestExecOfADetachedContainer(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	d := runDetached(t, e, nil)
	d.mustEqualRunc(t, e, d.pid)
	d.write(t, "/nowhere", func(s *specs.Spec) {
		s.Process.Env, s.Process.User, s.Process.Cwd = []string{"PATH=/bin", "A=2", "HOME=/x"}, specs.User{}, "/"
		s.Process.Capabilities.Ambient, s.Process.NoNewPrivileges = nil, true
		s.Linux = &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: specs.MountNamespace}}}
	})
	d.mustEqualRunc(t, e, d.pid)
	// Another process of the container is in it as well.
	pidfile := filepath.Join(d.bundle, "beside")
	if err := exec.Command("runc", "exec", "-d", "--pid-file", pidfile, d.name, "sleep", "1000000").Run(); err != nil {
		t.Fatalf("runc exec -d: %v", err)
	}
	b, err := os.ReadFile(pidfile)
	if err != nil {
		t.Fatal(err)
	}
	beside, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	d.mustEqualRunc(t, e, beside)
}

// TestAttackDetachedBundle: a bundle that somebody else could exchange says nothing: the
// command has what the process has, and no more.
func TestAttackDetachedBundle(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	d := runDetached(t, e, nil)
	ref := fmt.Sprint("pid:", d.pid)
	for name, spoil := range map[string]func() (undo func() error, err error){
		"written by others": func() (func() error, error) {
			return func() error { return os.Chmod(d.bundle, 0o700) }, os.Chmod(d.bundle, 0o777)
		},
		"of another user's": func() (func() error, error) {
			return func() error { return os.Chown(d.bundle, 0, 0) }, os.Chown(d.bundle, 12345, 0)
		},
		"config.json of another user's": func() (func() error, error) {
			name := filepath.Join(d.bundle, "config.json")
			return func() error { return os.Chown(name, 0, 0) }, os.Chown(name, 12345, 0)
		},
		"below what is another user's": func() (func() error, error) {
			above := filepath.Dir(d.bundle)
			return func() error { return os.Chown(above, 0, 0) }, os.Chown(above, 12345, 0)
		},
	} {
		undo, err := spoil()
		if err != nil {
			t.Fatal(err)
		}
		r := e.Dx(t, "exec", ref, "env")
		if err := undo(); err != nil {
			t.Fatal(err)
		}
		if r.Code != 0 || strings.Contains(r.Stdout, "A=1") || !strings.Contains(r.Stderr, "not believed") {
			t.Errorf("%s: %v, want none of its environment, and a word", name, r)
		}
	}
	if r := e.Dx(t, "exec", ref, "env"); r.Code != 0 || !strings.Contains(r.Stdout, "A=1") || r.Stderr != "" {
		t.Errorf("as it was: %v", r)
	}
}

// TestAttackDetached: root of a detached container with a cgroup of its own calls a part of
// that after a container of Docker's, moves its init there, and shows Docker's files of its
// own making. What it can do within its cgroup is done here from outside.
func TestAttackDetached(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	id, name := strings.Repeat("ad", 32), e.Name("db")
	files := filepath.Join(t.TempDir(), "containers", id)
	if err := os.MkdirAll(files, 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(file, text string) {
		if err := os.WriteFile(filepath.Join(files, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("hostname", "db\n")
	write("hostconfig.json", "{}")
	d := runDetached(t, e, func(s *specs.Spec) {
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/etc/hostname", Type: "bind", Source: files + "/hostname", Options: []string{"bind"}})
	})
	write("config.v2.json", fmt.Sprintf(`{"ID":%q,"Name":%q,"State":{"Running":true,"Pid":%d},"Config":{"User":"0"}}`, id, "/"+name, d.pid))
	for _, dir := range detachedCgroups(t, d) {
		moveTo(t, filepath.Join(dir, id), d.pid) // runc delete removes them
	}
	for _, ref := range []string{name, id} {
		if r := e.Dx(t, "--source", "host", "exec", "--ignore-caller-limits", ref, "true"); !strings.Contains(r.Stderr, "No such container") {
			t.Errorf("the container answers to %s: %v", ref, r)
		}
	}
	if r := e.Dx(t, "--source", "host", "ps", "--no-trunc"); r.Code != 0 || strings.Contains(r.Stdout, id) {
		t.Errorf("it is listed: %v", r)
	}
}

// detachedCgroups are the directories that runc has made for a container.
func detachedCgroups(t *testing.T, d detached) (dirs []string) {
	t.Helper()
	var state struct {
		Paths map[string]string `json:"cgroup_paths"`
	}
	b, err := os.ReadFile("/run/runc/" + d.name + "/state.json")
	if err == nil {
		err = json.Unmarshal(b, &state)
	}
	if err != nil || len(state.Paths) == 0 {
		t.Fatalf("cgroups of %s: %v, %v", d.name, state.Paths, err)
	}
	for _, dir := range state.Paths {
		dirs = append(dirs, dir)
	}
	return dirs
}
