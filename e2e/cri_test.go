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
	"syscall"
	"testing"

	"dx/e2e/engine"
)

// A Kubernetes node without a kubelet: containerd's CRI plugin, or CRI-O, and crictl, which
// asks as the kubelet does.

// cniPlugin gives a pod's network namespace nothing, and says that it has an address.
const cniPlugin = `#!/bin/sh
version=$(sed -n 's/.*"cniVersion":"\([^"]*\)".*/\1/p')
case $CNI_COMMAND in
ADD) echo '{"cniVersion":"'$version'","interfaces":[{"name":"'$CNI_IFNAME'","sandbox":"'$CNI_NETNS'"}],"ips":[{"version":"4","address":"10.99.0.2/32","interface":0}]}' ;;
VERSION) echo '{"cniVersion":"1.0.0","supportedVersions":["0.3.0","0.3.1","0.4.0","1.0.0"]}' ;;
esac
`

// node is a CRI that crictl asks.
type node struct {
	own
	dir    string
	daemon int
	infra  bool // a pod's sandbox has a process
}

// writeCNI writes the plugin under the names by which it is asked for.
func writeCNI(t *testing.T, dir string) {
	t.Helper()
	for name, text := range map[string]string{
		"cni/bin/none": cniPlugin, "cni/bin/loopback": cniPlugin,
		"cni/conf/10-none.conflist": `{"cniVersion":"1.0.0","name":"none","plugins":[{"type":"none"}]}`,
	} {
		writeFile(t, filepath.Join(dir, name), text, 0o755)
	}
}

func writeFile(t *testing.T, file, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// ownDirectory is a directory of an engine's, which goes with all that is mounted below.
func ownDirectory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "dxn-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		endBelow(t, dir)
		unmountBelow(t, dir)
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// endBelow ends the shims and monitors that stand in a directory.
func endBelow(t *testing.T, dir string) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range all {
		if at, err := os.Readlink(link); err == nil && strings.HasPrefix(at, dir+"/") {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(link))); err == nil {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	}
}

func unmountBelow(t *testing.T, dir string) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range slices.Backward(lines(string(b))) {
		if at := strings.Fields(l)[4]; strings.HasPrefix(at, dir+"/") {
			_ = syscall.Unmount(at, syscall.MNT_DETACH)
		}
	}
}

// archive is an image of accounts and busybox, called localhost/app and localhost/pause.
func archive(t *testing.T, e *engine.Engine, dir string) string {
	t.Helper()
	file, image := filepath.Join(dir, "image.tar"), filepath.Join(dir, "root.tar")
	if r := e.Do(t, engine.Command{Args: []string{"tar", "-C", imageRoot(t), "-cf", image, "."}}); r.Code != 0 {
		t.Fatal(r)
	}
	names := []string{"localhost/app:latest", "localhost/pause:latest"}
	for _, name := range names {
		e.MustDocker(t, "import", "-c", `CMD ["/bin/busybox","sleep","4242"]`, "-c", "ENV PATH=/bin", image, name)
	}
	t.Cleanup(func() { e.Docker(t, slices.Concat([]string{"rmi"}, names)...) })
	e.MustDocker(t, slices.Concat([]string{"save", "-o", file}, names)...)
	return file
}

// containerdConfig is one for containerd 1.6 (version 2 of its file) and 2 (version 3).
// Without CAP_SYS_RESOURCE no OOM score may be lowered.
func containerdConfig(dir string, version int) string {
	head := fmt.Sprintf("version = %d\nroot = '%s/root'\nstate = '%s/state'\n[grpc]\naddress = '%s/containerd.sock'\n", version, dir, dir, dir)
	if version == 2 {
		return head + fmt.Sprintf(`[plugins.'io.containerd.grpc.v1.cri']
restrict_oom_score_adj = true
sandbox_image = 'localhost/pause:latest'
[plugins.'io.containerd.grpc.v1.cri'.containerd]
snapshotter = 'native'
[plugins.'io.containerd.grpc.v1.cri'.cni]
bin_dir = '%s/cni/bin'
conf_dir = '%s/cni/conf'
`, dir, dir)
	}
	return head + fmt.Sprintf(`[plugins.'io.containerd.cri.v1.images']
snapshotter = 'native'
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = 'localhost/pause:latest'
[plugins.'io.containerd.cri.v1.runtime']
restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ['%s/cni/bin']
conf_dir = '%s/cni/conf'
`, dir, dir)
}

// containerdNode starts a containerd of its own, from the directory of its programs.
func containerdNode(t *testing.T, e *engine.Engine, programs string, version int) node {
	t.Helper()
	engine.Require(t, engine.Crictl)
	dir := ownDirectory(t)
	writeCNI(t, dir)
	writeFile(t, dir+"/config.toml", containerdConfig(dir, version), 0o644)
	n := node{dir: dir, infra: true, own: crictl(e, dir+"/containerd.sock")}
	n.daemon = e.Spawn(t, "env", "PATH="+programs+":"+os.Getenv("PATH"), filepath.Join(programs, "containerd"), "-c", dir+"/config.toml")
	t.Cleanup(func() { ended(t, n.daemon) })
	n.ready(t)
	load := []string{filepath.Join(programs, "ctr"), "-a", dir + "/containerd.sock", "-n", "k8s.io", "images", "import", "--snapshotter", "native"}
	if version > 2 {
		load = append(load, "--local") // the transfer service unpacks for the default snapshotter
	}
	if r := e.Do(t, engine.Command{Args: append(load, archive(t, e, dir))}); r.Code != 0 {
		t.Fatal(r)
	}
	return n
}

func crictl(e *engine.Engine, socket string) own {
	return own{e: e, args: []string{"crictl", "-r", "unix://" + socket, "-i", "unix://" + socket, "-t", "30s"}}
}

// ready waits until the CRI answers.
func (n node) ready(t *testing.T) {
	t.Helper()
	eventually(t, "the CRI answers", func() bool {
		if syscall.Kill(n.daemon, 0) != nil {
			t.Fatalf("it has ended: %s", n.e.SpawnedTail())
		}
		return n.do(t, "info").Code == 0
	})
}

// ended ends a daemon for good, whatever state it is in.
func ended(t *testing.T, pid int) {
	t.Helper()
	_ = syscall.Kill(pid, syscall.SIGCONT)
	_ = syscall.Kill(pid, syscall.SIGKILL)
	eventually(t, "the daemon is gone", func() bool { return syscall.Kill(pid, 0) != nil })
}

// object is a JSON object of the CRI's (k8s.io/cri-api).
type object map[string]any

// forgedAnnotations are as anybody who may make a pod can give it: they say that it is
// another's, by the words of each engine.
var forgedAnnotations = object{
	"io.kubernetes.cri.sandbox-name": "forged", "io.kubernetes.cri.sandbox-namespace": "forged", "io.kubernetes.cri.container-name": "forged",
	"io.kubernetes.cri.container-type": "container", "io.kubernetes.pod.name": "forged", "io.kubernetes.pod.namespace": "forged",
	"io.kubernetes.container.name": "forged", "io.kubernetes.cri-o.Name": "k8s_forged_forged_forged_0_0", "io.container.manager": "libpod", "nerdctl/name": "forged",
}

// Whose PIDs a container sees (k8s.io/cri-api, NamespaceMode).
const (
	ownPIDs  = 1
	hostPIDs = 2
)

// pod starts a sandbox, and returns its ID and its configuration.
func (n node) pod(t *testing.T, namespace, name string, pids int) (id, config string) {
	t.Helper()
	uid := "0b7c-" + name
	config = n.write(t, name+"-pod", object{
		"metadata": object{"name": name, "namespace": namespace, "uid": uid}, "hostname": name, "log_directory": n.dir + "/log", "annotations": forgedAnnotations,
		"linux": object{"cgroup_parent": "/kubepods/burstable/pod" + uid, "security_context": object{"namespace_options": object{"pid": pids}}},
	})
	id = n.must(t, "runp", config)
	if n.infra {
		pid, err := strconv.Atoi(n.must(t, "inspectp", "-o", "go-template", "--template", "{{.info.pid}}", id))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
	}
	return id, config
}

func (n node) write(t *testing.T, name string, o object) string {
	t.Helper()
	b, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(n.dir, name+".json")
	writeFile(t, file, string(b), 0o644)
	return file
}

// container starts one in a pod. What is given is laid over its configuration.
func (n node) container(t *testing.T, pod, podConfig, name string, security object, more object) (id string, pid int) {
	t.Helper()
	o := object{
		"metadata": object{"name": name}, "annotations": forgedAnnotations, "image": object{"image": "localhost/app:latest"}, "log_path": name + ".log",
		"envs":  []object{{"key": "FOO", "value": "bar"}},
		"linux": object{"security_context": security, "resources": object{"cpu_shares": 512, "memory_limit_in_bytes": 64 << 20, "oom_score_adj": 500}},
	}
	for k, v := range more {
		o[k] = v
	}
	if security["namespace_options"] == nil {
		security["namespace_options"] = object{"pid": ownPIDs}
	}
	id = n.must(t, "create", pod, n.write(t, name, o), podConfig)
	n.must(t, "start", id)
	pid, err := strconv.Atoi(n.must(t, "inspect", "-o", "go-template", "--template", "{{.info.pid}}", id))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
	return id, pid
}

// asApp is a user with groups, rights and a filter of his own.
func asApp() object {
	return object{
		"run_as_user": object{"value": 1000}, "run_as_group": object{"value": 1000}, "supplemental_groups": []int{5, 6}, "no_new_privs": true,
		"capabilities": object{"add_capabilities": []string{"SYS_PTRACE"}, "drop_capabilities": []string{"MKNOD"}},
		"seccomp":      object{"profile_type": 0},
	}
}

// asRoot is a container as most are.
func asRoot() object { return object{"seccomp": object{"profile_type": 0}} }

// execOf is crictl's own exec. With -s it is without a stream, as a probe of the kubelet's is.
func (n node) execOf(t *testing.T, id string) func([]string) engine.Result {
	return func([]string) engine.Result { return n.do(t, "exec", id, "/bin/sh", "-c", whatExecGives) }
}

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
	r := timely(t, n.e, "ps", "--no-trunc", "--filter", "engine=k8s", "--format", "{{.ID}} {{.Namespace}} {{.Pod}} {{.Engine}} {{.Image}}")
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
	table := timely(t, n.e, "ps")
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
	all := timely(t, n.e, "ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.Pid}} {{.Name}}")
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
	if r := timely(t, n.e, "ps", "-q", "--no-trunc"); slices.Contains(lines(r.Stdout), id) {
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
