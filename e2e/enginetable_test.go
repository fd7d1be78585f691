package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"dx/e2e/engine"
)

// TestTableOfEngines walks one container of each engine that Debian 12 has through all that
// the table of docs/engines.md tells of. The Kubernetes engines are in TestCRI and TestCRIO.
func TestTableOfEngines(t *testing.T) {
	if os.Getenv(tableEnv) == "" {
		t.Skip("make e2e-engines makes the table")
	}
	for name, walk := range map[string]func(*testing.T){
		"Docker": walkDocker, "Podman": walkPodman, "ctr": walkCtr, "nerdctl": walkNerdctl,
		"runc": walkRunc, "crun": walkCrun, "LXC": walkLXC, "nspawn": walkNspawn,
	} {
		t.Run(name, walk)
	}
}

// script is a shell's line that an exec runs.
func script(args ...string) []string { return append(args, "/bin/sh", "-c", whatExecGives) }

func walkDocker(t *testing.T) {
	e := suite.Start(t, engine.Options{Args: []string{"--live-restore"}})
	c := e.Run(t, engine.Busybox, "-u", "app", "-e", "FOO=bar", "-w", "/etc", "--cap-add", "SYS_PTRACE", "--network", "none")
	containerd, err := e.ContainerdPID()
	if err != nil {
		t.Fatal(err)
	}
	r := row{
		engine: "dockerd", with: versionOf(t, e, "dockerd"), refs: []string{c.Name, "docker:" + c.Name}, id: c.ID, pid: c.PID,
		exec: func(flags []string) engine.Result {
			return e.Docker(t, script(slices.Concat([]string{"exec"}, flags, []string{c.Name})...)...)
		},
		sets: [][]string{nil, {"-u", "root"}, {"-e", "X=1", "-w", "/"}}, monitor: parentOf(t, c.PID), daemons: []int{e.PID, containerd},
		orphan: [][]string{nil, {"-u", "root"}},
	}
	t.Cleanup(func() { // before the container is removed
		_ = syscall.Kill(c.PID, syscall.SIGKILL)
		if err := e.Boot(); err != nil {
			t.Error(err)
		}
	})
	r.walk(t, e)
}

func walkPodman(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	p := podmanHere(t, e)
	name := e.Name("table")
	id, pid := p.run(t, name, "--user", "app", "-e", "FOO=bar", "-w", "/etc", "--cap-add", "SYS_PTRACE")
	r := row{
		engine: "Podman, root's", with: strings.Join([]string{versionOf(t, e, "podman"), versionOf(t, e, "conmon"), versionOf(t, e, "runc")}, ", "),
		refs: []string{"podman:" + name, name}, id: id, pid: pid,
		exec: func(flags []string) engine.Result {
			return p.do(t, script(slices.Concat([]string{"exec"}, flags, []string{name})...)...)
		},
		sets: [][]string{nil, {"-u", "root"}, {"-e", "X=1", "-w", "/"}}, monitor: parentOf(t, pid), orphan: [][]string{nil, {"-u", "root"}},
	}
	r.walk(t, e)
}

// plainContainerd is one of Debian's, without dockerd.
func plainContainerd(t *testing.T, e *engine.Engine) (dir string, daemon int) {
	t.Helper()
	dir = ownDirectory(t)
	writeFile(t, dir+"/config.toml", "disabled_plugins = ['io.containerd.grpc.v1.cri']\n"+strings.SplitN(containerdConfig(dir, 2), "[plugins", 2)[0], 0o644)
	daemon = e.Spawn(t, "containerd", "-c", dir+"/config.toml")
	t.Cleanup(func() { ended(t, daemon) })
	eventually(t, "containerd answers", func() bool {
		return e.Do(t, engine.Command{Args: []string{"ctr", "-a", dir + "/containerd.sock", "version"}}).Code == 0
	})
	return dir, daemon
}

func walkCtr(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	dir, daemon := plainContainerd(t, e)
	id := e.Name("table")
	pid := ctrAt(t, e, dir+"/containerd.sock", "default", id)
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
	theirs := own{e: e, args: []string{"ctr", "-a", dir + "/containerd.sock", "-n", "default", "task", "exec", "--exec-id", "x", id}}
	r := row{
		engine: "containerd, ctr", with: versionOf(t, e, "containerd") + ", " + versionOf(t, e, "runc"),
		refs: []string{"containerd:default/" + id, id}, id: id, pid: pid,
		exec: func([]string) engine.Result { return theirs.do(t, script()...) }, sets: [][]string{nil},
		monitor: parentOf(t, pid), daemons: []int{daemon}, orphan: [][]string{nil},
	}
	r.walk(t, e)
}

func walkNerdctl(t *testing.T) {
	engine.Require(t, engine.Nerdctl)
	e := suite.Engine(t, engine.Host)
	dir, daemon := plainContainerd(t, e)
	n := own{e: e, args: []string{
		"nerdctl", "-a", dir + "/containerd.sock", "--data-root", dir + "/nerdctl", "--snapshotter", "native", "--cgroup-manager", "cgroupfs",
		"--cni-path", dir, "--cni-netconfpath", dir + "/net",
	}}
	if r := e.Do(t, engine.Command{Args: []string{"ctr", "-a", dir + "/containerd.sock", "images", "import", "--snapshotter", "native", archive(t, e, dir)}}); r.Code != 0 {
		t.Fatal(r)
	}
	name := e.Name("table")
	id := n.must(t, "run", "-d", "--pull", "never", "--name", name, "--network", "none", "--user", "app", "-e", "FOO=bar", "-w", "/etc", "--cap-add", "SYS_PTRACE", "localhost/app:latest", "sleep", "4242")
	pid, err := strconv.Atoi(n.must(t, "inspect", "-f", "{{.State.Pid}}", name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
	r := row{
		engine: "nerdctl", with: versionOf(t, e, "nerdctl") + ", " + versionOf(t, e, "containerd") + ", " + versionOf(t, e, "runc"),
		refs: []string{"containerd:default/" + name, name}, id: id, pid: pid,
		exec: func(flags []string) engine.Result {
			return n.do(t, script(slices.Concat([]string{"exec"}, flags, []string{name})...)...)
		},
		sets: [][]string{nil, {"-u", "root"}, {"-e", "X=1", "-w", "/"}}, monitor: parentOf(t, pid), daemons: []int{daemon}, orphan: [][]string{nil},
	}
	r.walk(t, e)
}

func walkRunc(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	name := e.Name("table")
	pid := runPlain(t, e, name)
	runc := own{e: e, args: []string{"runc"}}
	r := row{
		engine: "runc alone", with: versionOf(t, e, "runc"), refs: []string{"runc:" + name, name}, id: name, pid: pid,
		exec: func(flags []string) engine.Result {
			return runc.do(t, script(slices.Concat([]string{"exec"}, flags, []string{name})...)...)
		},
		sets: [][]string{nil, {"-e", "X=2"}},
	}
	r.walk(t, e)
}

// withoutUnified is how crun runs here: it takes either version of cgroups and not both, and
// gives the null device that it was started with to the command's user.
var withoutUnified = []string{"unshare", "--mount", "--propagation", "private", "sh", "-ec", `
	umount /sys/fs/cgroup/unified 2>/dev/null || true
	mount -t tmpfs tmpfs /mnt; mknod -m 666 /mnt/null c 1 3; mount --bind /mnt/null /dev/null
	exec "$@"`, "sh"}

func walkCrun(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	name := e.Name("table")
	config, err := json.Marshal(runcSpec(t, name))
	if err != nil {
		t.Fatal(err)
	}
	bundle := t.TempDir()
	writeFile(t, bundle+"/config.json", string(config), 0o644)
	crun := own{e: e, args: append(slices.Clone(withoutUnified), "crun", "--cgroup-manager=cgroupfs")}
	t.Cleanup(func() { crun.do(t, "delete", "-f", name) })
	started := own{e: e, args: append(slices.Clone(withoutUnified), "sh", "-c", `crun --cgroup-manager=cgroupfs run -d -b "$0" --pid-file "$0/pid" "$1" >"$0/log" 2>&1 </dev/null || { cat "$0/log"; false; }`)}
	if r := started.do(t, bundle, name); r.Code != 0 {
		t.Fatal(r)
	}
	b, err := os.ReadFile(filepath.Join(bundle, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	// Without a process it starts one of root's in /, whatever the container is: see parity.md.
	process := runcSpec(t, name).Process
	process.Args = script()
	text, err := json.Marshal(process)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, bundle+"/process.json", string(text), 0o644)
	r := row{
		engine: "crun alone", with: versionOf(t, e, "crun"), refs: []string{"runc:" + name, name}, id: name, pid: pid,
		exec: func([]string) engine.Result { return crun.do(t, "exec", "-p", bundle+"/process.json", name) }, sets: [][]string{nil},
	}
	r.walk(t, e)
}

func walkLXC(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	name := e.Name("table")
	attach, pid := lxcHere(t, e, name)
	r := row{
		engine: "LXC", with: "lxc " + strings.TrimSpace(e.Do(t, engine.Command{Args: []string{"lxc-info", "--version"}}).Stdout),
		refs: []string{"lxc:" + name, name}, id: name, pid: pid,
		exec: func([]string) engine.Result {
			r := attach.do(t, script()...)
			r.Stdout = strings.ReplaceAll(r.Stdout, "/.lxc\n", "/\n")
			return r
		},
		sets: [][]string{nil}, monitor: parentOf(t, pid),
	}
	r.walk(t, e)
}

// walkNspawn is a guest that is registered nowhere, as there is no systemd-machined here. Who
// has none has no exec either.
func walkNspawn(t *testing.T) {
	engine.Require(t, engine.Nspawn)
	e := suite.Engine(t, engine.Host)
	name := strings.ToLower(e.Name("table"))
	root := imageRoot(t)
	writeFile(t, root+"/usr/lib/os-release", "ID=test\n", 0o644)
	monitor := e.Spawn(t, "env", "-C", "/", "systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--console=pipe", "-D", root, "-M", name, "/bin/sleep", "4242")
	t.Cleanup(func() { ended(t, monitor) })
	pid := 0
	eventually(t, "the guest runs", func() bool {
		if syscall.Kill(monitor, 0) != nil {
			t.Skipf("systemd-nspawn does not start here: %s", e.SpawnedTail())
		}
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", monitor))
		for _, p := range strings.Fields(string(b)) {
			if b, err := os.ReadFile("/proc/" + p + "/comm"); err == nil && strings.TrimSpace(string(b)) == "sleep" {
				pid, _ = strconv.Atoi(p)
			}
		}
		return pid != 0
	})
	r := row{
		engine: "systemd-nspawn", with: versionOf(t, e, "systemd-nspawn"), refs: []string{"machine:" + name, name}, id: name, pid: pid,
		monitor: monitor, forgotten: true,
	}
	r.walk(t, e)
}
