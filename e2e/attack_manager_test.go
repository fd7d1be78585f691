package e2e

import (
	"encoding/json"
	"fmt"
	"net"
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

// Attacks by containers of which nothing bears a 64-digit ID: those of runc alone, ctr,
// LXC, systemd-nspawn. Their cgroups have names, and dx knows no manager of theirs.

// nameless is a running container of runc's.
type nameless struct {
	root string // its root file system, from outside
}

// runNameless runs a shell script in a container of runc's that has the host's PID and
// network namespaces, a mount namespace of its own, and the capabilities that Docker gives
// by default.
func runNameless(t *testing.T, e *engine.Engine, script string, env ...string) nameless {
	t.Helper()
	c := nameless{root: busyboxRoot(t)}
	caps := []string{"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE"}
	name := e.Name("nameless")
	spec := specs.Spec{
		Version: "1.0.2", Root: &specs.Root{Path: c.root},
		Process: &specs.Process{
			Args: []string{"sh", "-ec", script}, Env: append(env, "PATH=/bin"), Cwd: "/",
			Capabilities: &specs.LinuxCapabilities{Bounding: caps, Permitted: caps, Effective: caps},
		},
		Mounts: []specs.Mount{{Destination: "/proc", Type: "proc", Source: "proc"}},
		Linux:  &specs.Linux{CgroupsPath: "/" + name, Namespaces: []specs.LinuxNamespace{{Type: specs.MountNamespace}}},
	}
	bundle, state := t.TempDir(), t.TempDir()
	config, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(bundle+"/config.json", config, 0o644); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(bundle, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	run := exec.Command("runc", "--root", state, "run", "-d", "-b", bundle, name)
	run.Stdout, run.Stderr = log, log
	t.Cleanup(func() {
		_ = exec.Command("runc", "--root", state, "kill", "-a", name, "KILL").Run() // it may have ended
		if out, err := exec.Command("runc", "--root", state, "delete", "-f", name).CombinedOutput(); err != nil {
			t.Errorf("runc delete: %v: %s", err, out)
		}
		if b, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("the container said:\n%s", b)
		}
	})
	if err := run.Run(); err != nil {
		t.Fatalf("runc run: %v", err)
	}
	return c
}

// wait waits until the container has written a file, and returns its text.
func (c nameless) wait(t *testing.T, name string) string {
	t.Helper()
	var text string
	eventually(t, "the container is ready ("+name+")", func() bool {
		b, err := os.ReadFile(filepath.Join(c.root, name))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		text = strings.TrimSpace(string(b))
		return text != ""
	})
	return text
}

// shimOfItsOwn is what such a container does to look like a shim of root's, with Docker's
// files of a container that does not run.
const shimOfItsOwn = `
d=/io.containerd.runtime.v2.task/moby/$ID; mkdir -p $d /x/containers/$ID; cd $d
cp /bin/busybox /bin/busybox-containerd-shim
echo '{"ociVersion":"1.0.2","root":{"path":"/"},"process":{"args":["x"],"cwd":"/","user":{"uid":0,"gid":0}},
"mounts":[{"destination":"/etc/hostname","type":"bind","source":"/x/containers/'$ID'/hostname"}],
"linux":{"namespaces":[{"type":"mount"}]}}' >config.json
exec /bin/busybox-containerd-shim sh -ec 'sleep 4242 & pid=$!; echo $pid >init.pid
	echo "{\"ID\":\"$ID\",\"Name\":\"/$NAME\",\"State\":{\"Running\":true,\"Pid\":$pid},\"Config\":{\"User\":\"0\"}}" >/x/containers/$ID/config.v2.json
	echo "{}" >/x/containers/$ID/hostconfig.json
	echo $pid >/ready; wait'`

// TestAttackNamelessShim: a container with the host's PIDs, whose cgroup bears no ID by
// which one could tell that it is one, dresses up as a shim, and answers to a name and an
// ID of its choice.
func TestAttackNamelessShim(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	id, name := strings.Repeat("a8", 32), e.Name("db")
	c := runNameless(t, e, shimOfItsOwn, "ID="+id, "NAME="+name)
	c.wait(t, "ready")
	for _, ref := range []string{name, id, id[:12]} {
		if r := e.Dx(t, "--source", "host", "exec", ref, "true"); !strings.Contains(r.Stderr, "No such container") {
			t.Errorf("the container answers to %s: %+v", ref, r)
		}
	}
	if r := e.Dx(t, "--source", "host", "ps", "--no-trunc"); r.Code != 0 || strings.Contains(r.Stdout, id) {
		t.Errorf("it is listed: %+v", r)
	}
}

// TestAttackNamelessEngine: the same container listens where root asks, and says what is
// called web, and as whom and with which environment commands run there.
func TestAttackNamelessEngine(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	port, victim := strconv.Itoa(freePort(t)), e.Run(t, engine.Busybox)
	liar := suite.Build(t, "dx/e2e/attacker/liar")
	c := runNameless(t, e, "until [ -x /bin/liar ]; do sleep 0.1; done; exec /bin/liar tcp:127.0.0.1:"+port+" $ID $PID /bin", "ID="+victim.ID, fmt.Sprint("PID=", victim.PID))
	copyFile(t, liar, filepath.Join(c.root, "liar"))
	if err := os.Chmod(filepath.Join(c.root, "liar"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(c.root, "liar"), filepath.Join(c.root, "bin/liar")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the container's engine listens", func() bool {
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	r := e.Dx(t, "-H", "tcp://127.0.0.1:"+port, "--api-timeout", "20s", "exec", "--ignore-caller-limits", "web", "true")
	if r.Code != 125 || !strings.Contains(r.Stderr, "is not believed") {
		t.Errorf("exec at the word of a container's engine: %+v, want a refusal", r)
	}
}

// TestAttackNamelessWithHostPIDs is TestAttackUserNamespaceWithHostPIDs for it.
func TestAttackNamelessWithHostPIDs(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	target := runLeaver(t, e, []string{"--security-opt", "seccomp=unconfined"}, []string{"unshare", "-U", "-r", "sleep", "100000"})
	const seconds = "313376"
	secret := secretDirectory(t) + "/secret"
	c := runNameless(t, e, `while :; do for p in /proc/[0-9]*; do
		if [ "$(tr '\0' ' ' <$p/cmdline)" = "sleep `+seconds+` " ]; then cat $p/root$SECRET >/stolen && exit; fi
	done; sleep 0.1; done 2>/dev/null`, "SECRET="+secret)
	flags := []string{"exec", "--ns", "user", target.Name}
	if r := e.Dx(t, append(flags, "true")...); r.Code == 125 && strings.Contains(r.Stderr, "--expose-host") {
		return
	}
	e.Spawn(t, slices.Concat(e.DxArgs(t), flags, []string{"sleep", seconds})...)
	t.Errorf("not refused, and the container reads of the host: %q", c.wait(t, "stolen"))
}

// guest is what root of a guest of systemd-nspawn's or LXC's does, whose manager gives it a
// cgroup of its own: it calls a part of that after a container of Docker's, moves its init
// there, and shows Docker's files of its own making.
const guest = `
mkdir $CGROUP/$ID x x/containers x/containers/$ID
echo "{\"ID\":\"$ID\",\"Name\":\"/$NAME\",\"State\":{\"Running\":true,\"Pid\":$PID},\"Config\":{\"User\":\"0\"}}" >x/containers/$ID/config.v2.json
echo '{}' | tee x/containers/$ID/hostconfig.json >x/containers/$ID/hostname
mount --bind x/containers/$ID/hostname /etc/passwd
echo 0 >$CGROUP/$ID/cgroup.procs
echo ready >ready; exec sleep 4242`

// TestAttackGuest: the guest answers to no name of a container's, whose shim would have died.
func TestAttackGuest(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	id, name, dir := strings.Repeat("aa", 32), e.Name("db"), t.TempDir()
	cgroup := filepath.Join(cgroupTop(), "machine-"+e.Name("guest")+".scope")
	if err := os.Mkdir(cgroup, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeCgroups(t, cgroup) })
	cmd := exec.Command("unshare", "--pid", "--mount", "--fork", "--kill-child", "sh", "-ec", "read PID <&3; export PID; "+guest)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	cmd.Dir, cmd.ExtraFiles, cmd.Stderr = dir, []*os.File{r}, os.Stderr
	cmd.Env = append(os.Environ(), "CGROUP="+cgroup, "ID="+id, "NAME="+name)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.Close()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	var init string
	eventually(t, "the guest has an init", func() bool {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", cmd.Process.Pid, cmd.Process.Pid))
		init = strings.TrimSpace(string(b))
		return init != ""
	})
	if _, err := fmt.Fprintln(w, init); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the guest is ready", func() bool {
		_, err := os.Stat(dir + "/ready")
		return err == nil
	})
	for _, ref := range []string{name, id} {
		if r := e.Dx(t, "--source", "host", "exec", "--ignore-caller-limits", ref, "true"); !strings.Contains(r.Stderr, "No such container") {
			t.Errorf("the guest answers to %s: %+v", ref, r)
		}
	}
	if r := e.Dx(t, "--source", "host", "ps", "--no-trunc"); r.Code != 0 || strings.Contains(r.Stdout, id) {
		t.Errorf("it is listed: %+v", r)
	}
}
