package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"dx/e2e/engine"
)

// rootless starts a user's dockerd and Podman with two containers each, in PID and mount
// namespaces of their own, and then waits to be killed.
const rootless = `set -e
mount --make-rprivate /
mount --bind $DIR /mnt # rootlesskit makes links of what is in /run
DIR=/mnt
echo "rl:x:$ID:$ID::$DIR/home:/bin/sh" | cat /etc/passwd - >$DIR/passwd
echo "rl:x:$ID:" | cat /etc/group - >$DIR/group
echo "rl:300000:65536" | tee $DIR/subuid >$DIR/subgid
for f in passwd group subuid subgid; do mount --bind $DIR/$f /etc/$f; done
mkdir -p $DIR/home $DIR/run
chown $ID:$ID $DIR/home $DIR/run
chmod 755 $DIR
chmod 700 $DIR/run
cat >$DIR/containers.conf <<E
[containers]
pids_limit = 0
default_ulimits = ["nofile=1000:1000", "nproc=4000:4000"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
runtime = "runc"
E
cat >$DIR/as <<E
#!/bin/sh
cd $DIR/home
exec setpriv --reuid $ID --regid $ID --clear-groups env -u XDG_CONFIG_HOME -u DOCKER_CONFIG HOME=$DIR/home XDG_RUNTIME_DIR=$DIR/run DOCKER_HOST=unix://$DIR/run/docker.sock CONTAINERS_CONF=$DIR/containers.conf "\$@"
E
chmod 755 $DIR/as
export DOCKER_HOST=unix://$DIR/run/docker.sock
$DIR/as rootlesskit --state-dir=$DIR/run/kit --net=host --copy-up=/etc --copy-up=/run --propagation=rslave \
	sh -c 'rm -f /run/docker /run/containerd
		exec dockerd --rootless --data-root $HOME/data --exec-root $XDG_RUNTIME_DIR/exec --pidfile $XDG_RUNTIME_DIR/pid -H $DOCKER_HOST \
			--iptables=false --ip6tables=false --bridge=none --storage-driver vfs --exec-opt native.cgroupdriver=cgroupfs' >$DIR/log 2>&1 &
kit=$!
until docker version >/dev/null 2>&1; do kill -0 $kit || { tail -n 5 $DIR/log; exit 1; }; sleep 0.1; done
docker import -c 'CMD ["sleep","1000000"]' $DIR/rootfs.tar app >/dev/null
docker run -d --name rlroot --network none app >/dev/null
docker run -d --name rlapp --network none -u app -e FOO=bar -w /etc --cap-add SYS_PTRACE app >/dev/null
podman="$DIR/as podman --storage-driver vfs"
$podman import $DIR/rootfs.tar app:latest
$podman run -d --name rlpod --network none -u app -e FOO=bar app sleep 1000000
echo $$ >$DIR/ready
exec sleep 1000000`

// usersWorld are namespaces in which a user has engines of his own.
type usersWorld struct {
	e   *engine.Engine
	dir string
	pid int // of their init, here
}

const (
	usersID = "54321"
	usersDx = "/mnt/dx" // which the user may run, too
)

func rootlessHere(t *testing.T, e *engine.Engine) usersWorld {
	t.Helper()
	engine.Require(t, engine.Rootlesskit, engine.Podman)
	w := usersWorld{e: e}
	var err error
	if w.dir, err = os.MkdirTemp("", "dxl-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(w.dir); err != nil {
			t.Error(err)
		}
	})
	image := e.Do(t, engine.Command{Args: []string{"tar", "-C", imageRoot(t), "-cf", filepath.Join(w.dir, "rootfs.tar"), "."}})
	if image.Code != 0 {
		t.Fatal(image)
	}
	copyFile(t, e.DxPath(t), filepath.Join(w.dir, "dx"))
	if err := os.Chmod(filepath.Join(w.dir, "dx"), 0o755); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(w.dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := e.Command(t.Context(), "unshare", "-m", "-p", "-f", "--mount-proc", "--kill-child", "sh", "-c", rootless)
	cmd.Env = append(cmd.Environ(), "DIR="+w.dir, "ID="+usersID)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() { _ = syscall.Kill(cmd.Process.Pid, syscall.SIGKILL); <-ended })
	eventually(t, "a user's engines run", func() bool {
		select {
		case <-ended:
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("a user's engines have not started: %s", text)
		default:
		}
		_, err := os.Stat(filepath.Join(w.dir, "ready"))
		return err == nil
	})
	children, err := os.ReadFile("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/task/" + strconv.Itoa(cmd.Process.Pid) + "/children")
	if err != nil {
		t.Fatal(err)
	}
	if w.pid, err = strconv.Atoi(strings.TrimSpace(string(children))); err != nil {
		t.Fatalf("who is init in there: %v", err)
	}
	return w
}

// inside are the arguments by which root runs a command in there.
func (w usersWorld) inside(command ...string) []string {
	return append([]string{"nsenter", "-t", strconv.Itoa(w.pid), "-m", "-p", "env", "DOCKER_HOST=unix:///mnt/run/docker.sock", "DOCKER_CONFIG=/nonexistent"}, command...)
}

func (w usersWorld) root(t *testing.T, command ...string) engine.Result {
	t.Helper()
	return w.e.Do(t, engine.Command{Args: w.inside(command...)})
}

// user runs a command as the user.
func (w usersWorld) user(t *testing.T, command ...string) engine.Result {
	t.Helper()
	return w.root(t, append([]string{"/mnt/as"}, command...)...)
}

// TestRootlessDocker: root, and the user from wherever, enter the containers of a user's
// dockerd as that one's own exec does, by its word and by the host's. Root gets no advice
// that ends anything of the user's.
func TestRootlessDocker(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	w := rootlessHere(t, e)
	dx := []string{usersDx, "--api-timeout", "20s"}
	onHost := append(slices.Clone(dx), "--source", "host")
	compare := func(container string, flags []string, theirs engine.Result) {
		t.Helper()
		what := func(ref string) []string {
			return slices.Concat([]string{"exec"}, flags, []string{ref, "/bin/sh", "-c", whatExecGives})
		}
		for who, got := range map[string]engine.Result{
			"root, by the engine":     w.root(t, append(dx, what(container)...)...),
			"root, by the host":       w.root(t, append(onHost, what("docker:rl/"+container)...)...),
			"the user, by the engine": w.user(t, append(dx, what(container)...)...),
			"the user, by the host":   w.user(t, append(onHost, what(container)...)...),
		} {
			if theirs.Code != 0 || got.Code != 0 || got.Stdout != theirs.Stdout {
				t.Errorf("%s, exec %q %s: %s\n%v\n%v", who, flags, container, differing(theirs.Stdout, got.Stdout), theirs, got)
			}
		}
	}
	for container, sets := range map[string][][]string{"rlroot": {nil}, "rlapp": {nil, {"-u", "root"}}} {
		for _, flags := range sets {
			compare(container, flags, w.user(t, slices.Concat([]string{"docker", "exec"}, flags, []string{container, "/bin/sh", "-c", whatExecGives})...))
		}
	}
	nobodyAsked := append([]string{"env", "-u", "DOCKER_HOST"}, onHost...)
	if r := w.root(t, append(nobodyAsked, "exec", "rlroot", "true")...); r.Code == 0 || !strings.Contains(r.Stderr, "docker:rl/rlroot") {
		t.Errorf("a user's container answers to its bare name: %v", r)
	}
	for who, r := range map[string]engine.Result{"root": w.root(t, append(nobodyAsked, "ps", "--format", "{{.Name}}")...), "the user": w.user(t, append(onHost, "ps", "--format", "{{.Name}}")...)} {
		prefix := map[string]string{"root": "docker:rl/", "the user": ""}[who]
		for _, name := range []string{"rlroot", "rlapp"} {
			if n := strings.Count("\n"+r.Stdout, "\n"+prefix+name+"\n"); n != 1 {
				t.Errorf("%s's ps has %s%s %d times: %v", who, prefix, name, n, r)
			}
		}
	}
	if r := w.root(t, append(dx, "ps", "--format", "{{.Name}} {{.Status}}")...); strings.Count(r.Stdout, "rlroot Up") != 1 || strings.Contains(r.Stdout, "unverified") || strings.Contains(r.Stdout, "docker:rl/") {
		t.Errorf("ps by the engine: %v", r)
	}
	rep, code := reportOf(t, e, w.inside(usersDx, "doctor", "--timeout", "20s", "--format", "json")...)
	judgesNothing(t, rep, code)
	if rep.Engine.Running != 2 || !strings.Contains(rep.Engine.Doubt, usersID) {
		t.Errorf("want 2 containers by the word of an engine of uid %s: %+v", usersID, rep.Engine)
	}
	comparePodman(t, w)
	if r := w.root(t, "sh", "-c", "kill -STOP $(cat /mnt/run/pid)"); r.Code != 0 {
		t.Fatal(r)
	}
	for who, r := range map[string]engine.Result{"root": w.root(t, usersDx, "exec", "rlapp", "id", "-u"), "the user": w.user(t, usersDx, "exec", "rlapp", "id", "-u")} {
		if r.Stdout != "1000\n" {
			t.Errorf("%s, with the user's dockerd stopped: %v", who, r)
		}
	}
}

// comparePodman: the same of a user's Podman, from podman unshare as well.
func comparePodman(t *testing.T, w usersWorld) {
	t.Helper()
	podman := []string{"podman", "--storage-driver", "vfs"}
	dx := []string{usersDx, "--source", "host", "exec"}
	for _, flags := range [][]string{nil, {"-u", "root"}, {"-u", "63"}} {
		what := func(ref string) []string {
			return slices.Concat(flags, []string{ref, "/bin/sh", "-c", whatExecGives})
		}
		want := w.user(t, slices.Concat(podman, []string{"exec"}, what("rlpod"))...)
		for who, got := range map[string]engine.Result{
			"root":              w.root(t, append(dx, what("podman:rl/rlpod")...)...),
			"root, by number":   w.root(t, append(dx, what("podman:"+usersID+"/rlpod")...)...),
			"the user":          w.user(t, append(dx, what("rlpod")...)...),
			"in podman unshare": w.user(t, slices.Concat(podman, []string{"unshare"}, dx, what("podman:rlpod"))...),
		} {
			if want.Code != 0 || got.Code != 0 || got.Stdout != want.Stdout {
				t.Errorf("%s, exec %q: %s\n%v\n%v", who, flags, differing(want.Stdout, got.Stdout), want, got)
			}
		}
	}
}
