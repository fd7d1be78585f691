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

	"dx/e2e/await"
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
		// What a monitor has started may still put files there.
		var err error
		removed := func() bool {
			unmountBelow(t, dir)
			err = os.RemoveAll(dir)
			return err == nil
		}
		if !await.Holds(removed) {
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
