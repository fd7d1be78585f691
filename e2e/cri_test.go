package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"dx/e2e/engine"
)

// TestCRI: a pod of two containers and one of one, each by all that it is called.
func TestCRI(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	for name, c := range map[string]struct {
		programs string
		version  int
	}{"Debian's": {filepath.Dir(which(t, "containerd")), 2}, "2": {os.Getenv("DX_TEST_CONTAINERD2"), 3}} {
		t.Run(name, func(t *testing.T) {
			if c.programs == "" {
				t.Skip("DX_TEST_CONTAINERD2 names no directory: make e2e-engines builds one")
			}
			n := containerdNode(t, e, c.programs, c.version)
			n.walkPods(t, "Kubernetes, containerd's CRI", "containerd:k8s.io",
				versionOf(t, e, filepath.Join(c.programs, "containerd"))+", "+versionOf(t, e, "runc"))
		})
	}
}

func which(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatal(err)
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		t.Fatal(err)
	}
	return path
}

// walkPods is what holds for a node, whoever runs its pods.
func (n node) walkPods(t *testing.T, title, engineName, with string) {
	e := n.e
	mark := strings.ToLower(e.Name("x"))
	deployed, alone := "nginx-6d4cf56db6-"+mark, "db-"+mark
	sandbox, config := n.pod(t, "prod", deployed, ownPIDs)
	web, pid := n.container(t, sandbox, config, "web", asApp(), object{"working_dir": "/etc"})
	side, sidePID := n.container(t, sandbox, config, "side", asRoot(), nil)
	lone, loneConfig := n.pod(t, "prod", alone, ownPIDs)
	_, lonePID := n.container(t, lone, loneConfig, "db", asRoot(), nil)
	full := "k8s:prod/" + deployed + "/web"

	t.Run("names", func(t *testing.T) {
		wantPID(t, e, pid, full, "k8s:prod/nginx-6d4cf56db6/web", web, web[:12])
		wantPID(t, e, sidePID, "k8s:prod/"+deployed+"/side", side[:20])
		wantPID(t, e, lonePID, "k8s:prod/"+alone, "k8s:prod/db", "k8s:prod/"+alone+"/db", alone)
		both := e.Do(t, engine.Command{Args: []string{e.DxPath(t), "exec", "k8s:prod/" + deployed, "true"}, Env: nobodyNamed})
		if both.Code == 0 || !strings.Contains(both.Stderr, full) || !strings.Contains(both.Stderr, deployed+"/side") {
			t.Errorf("a pod of two containers: %v, want an error with both", both)
		}
		for _, ref := range []string{"k8s:test/" + alone, "k8s:prod/" + alone + "/web", "k8s:prod/nosuch"} {
			if r := e.Do(t, engine.Command{Args: []string{e.DxPath(t), "exec", ref, "true"}, Env: nobodyNamed}); r.Code != 1 || !strings.Contains(r.Stderr, "No such container") {
				t.Errorf("%s: %v, want none", ref, r)
			}
		}
	})
	t.Run("list", func(t *testing.T) { n.listsPods(t, engineName, sandbox, deployed, alone) })
	t.Run("map", func(t *testing.T) { drawsPods(t, e, deployed) })
	t.Run("exec of the others", func(t *testing.T) {
		sameExec(t, e, "k8s:prod/"+deployed+"/side", n.execOf(t, side), nil)
	})
	t.Run("from a pod", func(t *testing.T) { n.fromAPod(t, full, web, pid) })
	r := row{
		engine: title, with: with, refs: []string{full, "k8s:prod/nginx-6d4cf56db6/web"}, id: web, pid: pid,
		exec: n.execOf(t, web), sets: [][]string{nil}, monitor: parentOf(t, pid), daemons: []int{n.daemon}, orphan: [][]string{nil},
	}
	r.walk(t, e)
}

// drawsPods: a pod is a frame with its containers, and the sandbox is that frame.
func drawsPods(t *testing.T, e *engine.Engine, pod string) {
	t.Helper()
	r := e.Do(t, engine.Command{Args: []string{e.DxPath(t), "map", "-o", "text"}, Env: nobodyNamed})
	list := lines(r.Stdout)
	at := slices.IndexFunc(list, func(l string) bool { return strings.Contains(l, "pod prod/"+pod) })
	if at < 0 || at+2 >= len(list) {
		t.Fatalf("the map has no frame of prod/%s: %v", pod, r)
	}
	if !strings.HasSuffix(list[at], ": ipc, net, uts") || !strings.Contains(list[at+1], "├─ side · ") || !strings.Contains(list[at+2], "└─ web · ") {
		t.Errorf("the frame of prod/%s: %q, want side and web in it", pod, list[at:at+3])
	}
	if n := strings.Count(r.Stdout, pod); n != 1 {
		t.Errorf("prod/%s is named %d times: %s", pod, n, r.Stdout)
	}
}

// fromAPod runs dx in pods with the rights of docs/kubernetes.md, as far as this machine has
// them: one as of its DaemonSet, and one as `kubectl debug node/NAME` makes.
func (n node) fromAPod(t *testing.T, ref, id string, pid int) {
	for name, c := range map[string]struct {
		mounts  []object
		command []string
	}{
		"DaemonSet": {[]object{
			{"container_path": "/dx", "host_path": n.e.DxPath(t), "readonly": true},
			{"container_path": "/sys/fs/cgroup", "host_path": "/sys/fs/cgroup"},
		}, []string{"/dx"}},
		"kubectl debug": {[]object{{"container_path": "/host", "host_path": "/"}}, []string{"chroot", "/host", n.e.DxPath(t)}},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "kubectl debug" && !n.infra {
				t.Skip("CRI-O takes no / whose mount is private, as it is in these tests")
			}
			lone, config := n.pod(t, "dx", strings.ToLower(n.e.Name("dx")), hostPIDs)
			box, _ := n.container(t, lone, config, "dx", object{
				"namespace_options": object{"pid": hostPIDs}, "capabilities": object{"add_capabilities": []string{"SYS_ADMIN", "SYS_PTRACE", "SYS_CHROOT"}},
				"seccomp": object{"profile_type": 1},
			}, object{"mounts": c.mounts})
			dx := func(args ...string) engine.Result {
				return n.do(t, slices.Concat([]string{"exec", box}, c.command, args)...)
			}
			if r := dx("ns", "--format", "{{.Pid}}", ref); strings.TrimSpace(r.Stdout) != strconv.Itoa(pid) {
				t.Errorf("ns in a pod: %v, want pid %d", r, pid)
			}
			if r := dx("ps", "--no-trunc", "--format", "{{.ID}} {{.Name}}"); !slices.Contains(lines(r.Stdout), id+" "+ref) {
				t.Errorf("ps in a pod: %v, want %s", r, ref)
			}
			want, got := n.execOf(t, id)(nil), dx("exec", ref, "/bin/sh", "-c", whatExecGives)
			if want.Code != 0 || got.Code != 0 || got.Stdout != want.Stdout {
				t.Errorf("exec from a pod: %s\n%v", differing(want.Stdout, got.Stdout), got)
			}
			n.must(t, "rm", "-f", box)
			n.must(t, "stopp", lone)
		})
	}
}

// listsPods holds dx ps against crictl's lists.
func (n node) listsPods(t *testing.T, engineName, sandbox, deployed, alone string) {
	want := map[string]bool{}
	for _, id := range lines(n.must(t, "ps", "-q", "--no-trunc")) {
		want[id] = true
	}
	r := n.e.Dx(t, "ps", "--no-trunc", "--filter", "engine=k8s", "--format", "{{.ID}} {{.Namespace}} {{.Pod}} {{.Engine}} {{.Image}}")
	got := map[string]bool{}
	for _, l := range lines(r.Stdout) {
		f := strings.Fields(l)
		got[f[0]] = true
		if f[1] != "prod" || f[2] != deployed && f[2] != alone || f[3] != engineName {
			t.Errorf("ps has %q", l)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("ps lists %v, crictl %v", got, want)
	}
	table := n.e.Dx(t, "ps")
	t.Logf("a node's containers:\n%s", table.Stdout)
	if head := lines(table.Stdout)[0]; !strings.Contains(head, "NAMESPACE") || !strings.Contains(head, "POD") {
		t.Errorf("the table of a node has the head %s", head)
	}
	if n.infra {
		n.listsSandbox(t, sandbox)
	}
}

// listsSandbox wants a sandbox with -a, by a name that means it and not what runs in the pod.
func (n node) listsSandbox(t *testing.T, id string) {
	t.Helper()
	all := n.e.Dx(t, "ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.Pid}} {{.Name}}")
	i := slices.IndexFunc(lines(all.Stdout), func(l string) bool { return strings.HasPrefix(l, id+" ") })
	if i < 0 {
		t.Fatalf("ps -a does not list the sandbox %s: %v", id, all)
	}
	f := strings.Fields(lines(all.Stdout)[i])
	pid, err := strconv.Atoi(f[1])
	if err != nil {
		t.Fatal(err)
	}
	wantPID(t, n.e, pid, f[2], id)
	if r := n.e.Dx(t, "ps", "-q", "--no-trunc"); slices.Contains(lines(r.Stdout), id) {
		t.Errorf("ps lists the sandbox without -a: %v", r)
	}
}

// crioConfig is one whose state lies in a directory, on cgroups without systemd.
const crioConfig = `[crio]
root = "DIR/root"
runroot = "DIR/run"
storage_driver = "vfs"
log_dir = "DIR/log"
version_file = "DIR/version"
version_file_persist = "DIR/persist"
clean_shutdown_file = "DIR/clean"
internal_wipe = false
[crio.api]
listen = "DIR/crio.sock"
stream_address = "127.0.0.1"
stream_port = "0"
[crio.runtime]
pinns_path = "PINNS"
default_runtime = "runc"
cgroup_manager = "cgroupfs"
conmon_cgroup = "pod"
namespaces_dir = "DIR/ns"
container_exits_dir = "DIR/exits"
container_attach_socket_dir = "DIR/attach"
hooks_dir = ["DIR/hooks"]
default_ulimits = ["nofile=1000:1000"]
enable_criu_support = false
[crio.runtime.runtimes.runc]
runtime_path = "RUNC"
runtime_type = "oci"
runtime_root = "/run/runc-crio"
monitor_path = "CONMON"
monitor_cgroup = "pod"
[crio.image]
pause_image = "localhost/pause:latest"
signature_policy = "DIR/policy.json"
signature_policy_dir = "DIR/policies"
[crio.network]
network_dir = "DIR/cni/conf"
plugin_dirs = ["DIR/cni/bin"]
`

// TestCRIO: the same pods by CRI-O, whose containers conmon keeps.
func TestCRIO(t *testing.T) {
	engine.Require(t, engine.CRIO)
	e := suite.Engine(t, engine.Host)
	dir := ownDirectory(t)
	writeCNI(t, dir)
	config := strings.NewReplacer("DIR", dir, "PINNS", which(t, "pinns"), "RUNC", which(t, "runc"), "CONMON", which(t, "conmon")).Replace(crioConfig)
	writeFile(t, dir+"/crio.conf", config, 0o644)
	writeFile(t, dir+"/policy.json", `{"default":[{"type":"insecureAcceptAnything"}]}`, 0o644)
	for _, made := range []string{"hooks", "policies", "log", "conf.d"} {
		if err := os.Mkdir(filepath.Join(dir, made), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	podman := own{e: e, args: []string{"podman", "--storage-driver", "vfs", "--root", dir + "/root", "--runroot", dir + "/run"}}
	image := filepath.Join(dir, "root.tar")
	if r := e.Do(t, engine.Command{Args: []string{"tar", "-C", imageRoot(t), "-cf", image, "."}}); r.Code != 0 {
		t.Fatal(r)
	}
	for _, name := range []string{"app", "pause"} {
		podman.must(t, "import", "-c", `CMD ["/bin/busybox","sleep","4242"]`, "-c", "ENV PATH=/bin", image, "localhost/"+name+":latest")
	}
	n := node{dir: dir, own: crictl(e, dir+"/crio.sock")}
	n.daemon = e.Spawn(t, "crio", "--config", dir+"/crio.conf", "--config-dir", dir+"/conf.d")
	t.Cleanup(func() { ended(t, n.daemon) })
	n.ready(t)
	n.walkPods(t, "CRI-O", "cri-o", versionOf(t, e, "crio")+", "+versionOf(t, e, "conmon")+", "+versionOf(t, e, "runc"))
}
