package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"dx/e2e/engine"
	"dx/nsops/caps"
	"dx/nsops/proc"
)

// forgedSpec asks for all that root could give.
func forgedSpec() *specs.Spec {
	all := caps.Names(caps.Supported())
	score := -900
	return &specs.Spec{
		Version: "1.0.2", Root: &specs.Root{Path: "/"},
		Process: &specs.Process{
			Args: []string{"x"}, Cwd: "/", Env: []string{"PATH=/usr/bin:/bin:/usr/sbin:/sbin"}, OOMScoreAdj: &score,
			Capabilities: &specs.LinuxCapabilities{Bounding: all, Permitted: all, Effective: all, Inheritable: all, Ambient: all},
			Rlimits: []specs.POSIXRlimit{
				{Type: "RLIMIT_NOFILE", Soft: 900000, Hard: 900000}, {Type: "RLIMIT_MEMLOCK", Soft: 1 << 40, Hard: 1 << 40}, {Type: "RLIMIT_RTPRIO", Soft: 99, Hard: 99},
			},
		},
		Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: specs.MountNamespace}}},
	}
}

// TestAttackUsersContainer: a plain user makes a user namespace, and in it what looks like a
// conmon of his Podman with a container. Its files ask for everything. Root enters it by its
// name; the command is that user, whatever it asks for.
func TestAttackUsersContainer(t *testing.T) {
	const uid = 54322
	e := suite.Engine(t, engine.Host)
	dir, secret, id := t.TempDir(), secretDirectory(t)+"/secret", strings.Repeat("5c", 32)
	if err := os.Chmod(secret, 0o600); err != nil {
		t.Fatal(err)
	}
	bundle := filepath.Join(dir, "overlay-containers", id, "userdata")
	shell, err := os.ReadFile("/bin/sh")
	config, errJSON := json.Marshal(forgedSpec())
	err = errors.Join(err, errJSON, os.MkdirAll(bundle, 0o755), os.MkdirAll(dir+"/run/runc/"+id, 0o755),
		os.WriteFile(dir+"/conmon", shell, 0o755), os.WriteFile(bundle+"/config.json", config, 0o644),
		os.WriteFile(dir+"/script", []byte("ulimit -n 500; ulimit -l 64; sleep 434343 & echo $! >"+dir+"/pid; wait"), 0o644), os.Chmod(filepath.Dir(dir), 0o755))
	err = errors.Join(err, filepath.WalkDir(dir, func(name string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Chmod(name, 0o755), os.Chown(name, uid, uid))
	}))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("setpriv", "--reuid", strconv.Itoa(uid), "--regid", strconv.Itoa(uid), "--clear-groups", "env", "XDG_RUNTIME_DIR="+dir+"/run",
		"unshare", "-U", "-r", "-m", dir+"/conmon", dir+"/script", "-c", id, "-u", id, "-b", bundle, "-n", "db", "-r", "/usr/sbin/runc", "-p", dir+"/pid")
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); _ = cmd.Wait() })
	var init string
	eventually(t, "the user's process runs", func() bool {
		b, _ := os.ReadFile(dir + "/pid")
		init = strings.TrimSpace(string(b))
		return init != ""
	})
	pid, err := strconv.Atoi(init)
	if err != nil {
		t.Fatal(err)
	}
	p, err := proc.Open(pid)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	state := fmt.Sprintf(`{"id":%q,"init_process_pid":%d,"init_process_start":%d,"cgroup_paths":{"memory":"/sys/fs/cgroup/memory","pids":"/sys/fs/cgroup/pids","":"/sys/fs/cgroup"},"config":{"oom_score_adj":-900}}`, id, pid, p.StartTime)
	if err := os.WriteFile(dir+"/run/runc/"+id+"/state.json", []byte(state), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{"db", id, id[:12], "podman:db", "docker:db"} {
		if r := e.Dx(t, "--source", "host", "exec", ref, "true"); r.Code == 0 || !strings.Contains(r.Stderr, "No such container") {
			t.Errorf("the user's process answers root to %s: %v", ref, r)
		}
	}
	const script = `cat $SECRET; touch $DIR/made; ulimit -Hn; ulimit -Hl; cat /proc/self/oom_score_adj /proc/self/cgroup /proc/self/uid_map; kill -0 1 && echo killed; nsenter -t 1 -m true && echo entered; mount -t tmpfs none /sys/fs/cgroup && echo mounted >&2; true`
	r := e.Dx(t, "--source", "host", "exec", "-e", "SECRET="+secret, "-e", "DIR="+dir, "podman:54322/db", "sh", "-c", script)
	cgroups, err := os.ReadFile("/proc/" + init + "/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	want := "500\n64\n0\n" + string(cgroups) + "         0      54322          1\n"
	if score, err := os.ReadFile("/proc/" + init + "/oom_score_adj"); err != nil || string(score) != "0\n" {
		want = strings.Replace(want, "64\n0\n", "64\n"+string(score), 1)
	}
	if r.Code != 0 || r.Stdout != want {
		t.Errorf("what root's command has at a user's word: %v, want\n%s", r, want)
	}
	var made syscall.Stat_t
	if err := syscall.Stat(dir+"/made", &made); err != nil || made.Uid != uid || made.Gid != uid {
		t.Errorf("what it makes is uid %d's, gid %d (%v), want %d's", made.Uid, made.Gid, err, uid)
	}
	// Not even what only root may read is told through an error.
	if err := errors.Join(os.Remove(bundle+"/config.json"), os.Symlink(secret, bundle+"/config.json")); err != nil {
		t.Fatal(err)
	}
	if r := e.Dx(t, "--source", "host", "exec", "podman:54322/db", "true"); r.Code == 0 || strings.Contains(r.Stderr, hostSecret) {
		t.Errorf("a bundle that leads to root's file: %v", r)
	}
}
