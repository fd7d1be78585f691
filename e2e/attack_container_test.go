package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"dx/e2e/engine"
)

// playedShim is a container that plays a shim for a child of its own: a bundle called
// $NAME, and a runtime's state that puts the child into the cgroups above the
// container's, or into fewer of them.
const playedShim = `
d=/x/io.containerd.runtime.v2.task/moby/$NAME; s=/r/moby/$NAME; mkdir -p $d $s; cd $d
all='"CAP_SYS_ADMIN","CAP_MKNOD"'
echo '{"ociVersion":"1.0.2","root":{"path":"/"},"process":{"args":["x"],"env":["FORGED=1"],"cwd":"/","user":{"uid":0,"gid":0},
"capabilities":{"bounding":['$all'],"permitted":['$all'],"effective":['$all']}},"linux":{"namespaces":[]}}' >config.json
echo '{"root":"/r"}' >options.json
sleep 4242 &
read -r _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ start _ </proc/$!/stat
echo '{"id":"'$NAME'","init_process_pid":'$!',"init_process_start":'$start',"cgroup_paths":{'$PATHS'}}' >$s/state.json
echo $! >init.pid; wait`

// TestAttackPlayedShim: a container's root owns every directory that the container
// makes. What it says of a process of its own gets no command out of the container's
// cgroups, and gives it no right: what docker exec has is the measure.
func TestAttackPlayedShim(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine.Engine) {
		for _, seccomp := range []string{"unconfined", ""} {
			for _, name := range []string{"docker", strings.Repeat("f5", 32), "its own ID"} {
				t.Run(seccomp+" "+name, func(t *testing.T) { attackByPlayedShim(t, e, seccomp, name) })
			}
		}
	})
}

func attackByPlayedShim(t *testing.T, e *engine.Engine, seccomp, name string) {
	t.Helper()
	flags := []string{"--memory", "64m", "--pids-limit", "30", "--cgroupns", "host", "--label", "a=b"}
	if seccomp != "" {
		flags = append(flags, "--security-opt", "seccomp="+seccomp)
	}
	c := e.Run(t, engine.Busybox, flags...)
	look := []string{"sh", "-c", "cat /proc/self/cgroup; grep -E 'Cap|NoNew|Seccomp' /proc/self/status; for n in /proc/self/ns/*; do readlink $n; done; echo $FORGED"}
	want := e.Docker(t, append([]string{"exec", c.Name}, look...)...)
	if want.Code != 0 {
		t.Fatalf("docker exec: %+v", want)
	}
	paths := claimedPaths(want.Stdout)
	if name == "its own ID" {
		name = c.ID
	}
	if r := e.Docker(t, "exec", "-d", "-e", "NAME="+name, "-e", "PATHS="+paths, c.Name, "sh", "-c", inShim, "sh", playedShim); r.Code != 0 {
		t.Fatalf("docker exec -d: %+v", r)
	}
	child := findProcess(t, c.ID, "sleep\x004242\x00")
	eventually(t, "the bundle is whole", func() bool {
		return e.Docker(t, "exec", c.Name, "test", "-s", "/x/io.containerd.runtime.v2.task/moby/"+name+"/init.pid").Code == 0
	})
	got := e.Dx(t, append([]string{"exec", "pid:" + child}, look...)...)
	if got.Stdout != want.Stdout || got.Code != 0 {
		t.Errorf("beside a process for which its container plays a shim:\n%s%s\nwhere docker exec has\n%s", got.Stdout, got.Stderr, want.Stdout)
	}
	// "docker" is no ID of Docker's: that directory is not even looked like a bundle.
	if name != "docker" && !strings.Contains(got.Stderr, "claims to be the shim") {
		t.Errorf("no word about who plays a shim: %+v", got)
	}
	for _, ref := range []string{c.Name, c.ID} {
		if r := e.Dx(t, append([]string{"--source", "host", "exec", ref}, look...)...); r.Stdout != want.Stdout {
			t.Errorf("exec %s: %+v, want %q", ref, r, want.Stdout)
		}
	}
}

// claimedPaths are, in the terms of runc's state.json, the cgroups above those of a
// /proc/PID/cgroup, but for those of one controller.
func claimedPaths(text string) string {
	var out []string
	for _, line := range lines(text) {
		f := strings.SplitN(line, ":", 3)
		if len(f) != 3 || f[1] == "memory" {
			continue
		}
		controller, top := f[1], "/sys/fs/cgroup"
		if controller != "" {
			top += "/" + strings.TrimPrefix(controller, "name=")
		}
		out = append(out, fmt.Sprintf("%q:%q", controller, top+filepath.Dir(f[2])))
	}
	return strings.Join(out, ",")
}

// TestAttackContainerInContainer: what runs in namespaces of its own within a container,
// as a sandbox or a container's container does, has less than the outer one. A command
// beside it has no more than it has.
func TestAttackContainerInContainer(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox, "--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined")
	const sandbox = "unshare -m -p -f --mount-proc setpriv --nnp su app -c 'exec sleep 4243'"
	if r := e.Docker(t, "exec", "-d", c.Name, "sh", "-c", sandbox); r.Code != 0 {
		t.Fatalf("docker exec -d: %+v", r)
	}
	inner := findProcess(t, c.ID, "sleep\x004243\x00")
	look := []string{"grep", "-E", "^(Uid|Cap(Prm|Eff|Amb)|NoNewPrivs)"}
	want := e.Do(t, engine.Command{Args: append(look, "/proc/"+inner+"/status")})
	got := e.Dx(t, append([]string{"exec", "--ignore-caller-limits", "pid:" + inner}, append(look, "/proc/self/status")...)...)
	if got.Stdout != want.Stdout {
		t.Errorf("beside a sandbox:\n%s%s\nwhere the sandbox has\n%s", got.Stdout, got.Stderr, want.Stdout)
	}
}

// TestAttackContainerAsEngine: a container's root is uid 0 as well. An engine that
// listens in a container, on a socket that the host sees, decides nothing.
func TestAttackContainerAsEngine(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	dir := t.TempDir()
	copyFile(t, suite.Build(t, "dx/e2e/attacker/liar"), dir+"/liar")
	c := e.Run(t, engine.Busybox, "-v", dir+":/shared")
	if r := e.Docker(t, "exec", c.Name, "chmod", "755", "/shared/liar"); r.Code != 0 {
		t.Fatalf("%+v", r)
	}
	victim := e.Run(t, engine.Busybox)
	e.Docker(t, "exec", "-d", c.Name, "/shared/liar", "unix:/shared/s", victim.ID, fmt.Sprint(victim.PID), "/x")
	eventually(t, "the container's engine listens", func() bool {
		return e.Dx(t, "-H", "unix://"+dir+"/s", "--source", "engine", "ps").Code == 0
	})
	r := e.Dx(t, "-H", "unix://"+dir+"/s", "exec", "web", "true")
	if r.Code != 125 || !strings.Contains(r.Stderr, "is not believed") || !strings.Contains(r.Stderr, "another PID namespace") {
		t.Errorf("exec at the word of a container: %+v", r)
	}
}
