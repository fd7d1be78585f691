package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dx/e2e/await"
	"dx/e2e/engine"
)

// dockerInDocker is a container with the rights and the programs that a dockerd needs, and
// a dockerd in it.
type dockerInDocker struct {
	box    engine.Container
	socket string // of the inner engine, as the host names it
	dir    string
	outer  *engine.Engine
}

func startDockerInDocker(t *testing.T, e *engine.Engine) *dockerInDocker {
	t.Helper()
	dir := filepath.Join(e.Dir, e.Name("inner"))
	for _, name := range []string{"data", "run"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	flags := []string{
		"--cap-add", "ALL", "--cap-drop", "SYS_RESOURCE", "--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined",
		"--cgroupns", "host", "-v", "/sys/fs/cgroup:/sys/fs/cgroup", "-v", dir + "/data:/var/lib/docker", "-v", dir + "/run:/run", "--tmpfs", "/tmp",
		"-v", e.DxPath(t) + ":/dx:ro",
	}
	for _, programs := range []string{"/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc"} {
		if _, err := os.Stat(programs); err == nil {
			flags = append(flags, "-v", programs+":"+programs+":ro")
		}
	}
	d := &dockerInDocker{box: e.Run(t, engine.Busybox, flags...), socket: "unix://" + dir + "/run/docker.sock", dir: dir, outer: e}
	parent := "/docker/" + d.box.ID + "/inner"
	if engine.HostIsCgroup2() {
		parent = "/inner" // where there are processes, v2 has no controllers for what is below
	}
	e.MustDocker(t, "exec", "-d", d.box.Name, "sh", "-c", "exec dockerd --data-root /var/lib/docker --exec-root /run/exec --pidfile /run/docker.pid"+
		" -H unix:///run/docker.sock --iptables=false --ip-forward=false --bridge=none --cgroup-parent "+parent+" >/run/log 2>&1")
	await.Until(t, "the inner dockerd answers", func() bool { return d.docker(t, "version").Code == 0 })
	r := e.Do(t, engine.Command{Args: []string{"sh", "-c", "docker save " + engine.Busybox + " | docker -H " + d.socket + " load"}})
	if r.Code != 0 {
		t.Fatalf("load an image: %v", r)
	}
	return d
}

func (d *dockerInDocker) docker(t *testing.T, args ...string) engine.Result {
	t.Helper()
	return d.outer.Do(t, engine.Command{Args: append([]string{"docker", "-H", d.socket}, args...)})
}

// TestDockerInDocker: a container has a dockerd of its own, with a container called like one
// of the outer engine's. From the host that name means the outer one, the inner one is no
// container of this host's, and its processes are the outer container's. From within, the
// inner engine is as any other.
func TestDockerInDocker(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	d := startDockerInDocker(t, e)
	name := e.Name("twin")
	outer := runNamed(t, e, name)
	r := d.docker(t, "run", "-d", "--name", name, "--network", "none", engine.Busybox, "sleep", "434343")
	if r.Code != 0 {
		log, _ := os.ReadFile(d.dir + "/run/log")
		t.Fatalf("a container in the container: %v\n%s", r, log)
	}
	inner := strings.TrimSpace(r.Stdout)
	pid := d.pidOf(t, "sleep 434343")

	for what, env := range map[string][]string{"the outer engine is named": nil, "nobody is named": nobodyNamed} {
		for _, from := range []string{"auto", "host"} {
			if in, r := entered(t, e, env, "--source", from, "exec", name); in != outer.ID[:12] {
				t.Errorf("%s, --source %s: the name of both entered %q (%v), want the outer one, %s", what, from, in, r, outer.ID[:12])
			}
			if in, r := entered(t, e, env, "--source", from, "exec", inner); in != "" || r.Code != 1 {
				t.Errorf("%s, --source %s: the inner one's ID entered %q (%v), want that there is none", what, from, in, r)
			}
		}
	}
	// Its word is a container's, wherever its socket lies.
	if in, r := entered(t, e, nil, "-H", d.socket, "exec", name); in != "" || r.Code != 125 {
		t.Errorf("by the inner engine's socket %q was entered (%v), want a refusal", in, r)
	}
	// By way of the outer one it is found all the same, and entered as the inner engine enters it.
	sameExec(t, e, d.box.Name+"//"+name, func(flags []string) engine.Result {
		return d.docker(t, slices.Concat([]string{"exec"}, flags, []string{name, "/bin/sh", "-c", whatExecGives})...)
	}, nil, []string{"-e", "X=1", "-w", "/etc"})
	for _, ref := range []string{d.box.Name + "//" + inner[:12], d.box.ID[:12] + "//" + name, "docker:" + d.box.Name + "//" + inner} {
		for _, from := range []string{"auto", "host"} {
			if in, r := entered(t, e, nil, "--source", from, "exec", ref); in != inner[:12] {
				t.Errorf("--source %s, %s: %v, want the inner one, %s", from, ref, r, inner[:12])
			}
		}
	}
	if r := e.Dx(t, "ns", "--format", "{{.Pid}}", d.box.Name+"//"+name); strings.TrimSpace(r.Stdout) != pid {
		t.Errorf("ns of the inner one: %v, want pid %s", r, pid)
	}
	for ref, reason := range map[string]string{
		d.box.Name + "//nosuch": "1 containers run in " + d.box.Name, outer.Name + "//" + name: "0 containers run in", name + "//" + outer.ID: "0 containers run in",
		e.Run(t, engine.Busybox, "--pid", "host").Name + "//" + name: "it has the host's PIDs",
	} {
		if in, r := entered(t, e, nil, "exec", ref); in != "" || r.Code == 0 || !strings.Contains(r.Stderr, reason) {
			t.Errorf("%s: entered %q (%v), want %q", ref, in, r, reason)
		}
	}
	for _, from := range []string{"engine", "host", "auto"} {
		if r := e.Dx(t, "--source", from, "ps", "-q", "--no-trunc"); strings.Contains(r.Stdout, inner) || !strings.Contains(r.Stdout, outer.ID) || !strings.Contains(r.Stdout, d.box.ID) {
			t.Errorf("ps --source %s: %v, want the outer ones alone", from, r)
		}
	}
	if r := e.Dx(t, "who", pid); r.Code != 0 || !strings.Contains(r.Stdout, d.box.Name) {
		t.Errorf("who a process of the inner container is: %v, want %s's", r, d.box.Name)
	}
	if r := e.Dx(t, "doctor"); strings.Contains(r.Stdout, inner[:12]) || strings.Contains(r.Stdout, pid) {
		t.Errorf("doctor speaks of the inner container: %v", r)
	}

	within := func(args ...string) engine.Result {
		return e.Docker(t, append([]string{"exec", d.box.Name, "/dx", "-H", "unix:///run/docker.sock", "--api-timeout", "20s"}, args...)...)
	}
	for _, from := range []string{"auto", "host"} {
		if r := within(append([]string{"--source", from, "exec", name}, hostname...)...); strings.TrimSpace(r.Stdout) != inner[:12] {
			t.Errorf("from within, --source %s: %v, want the inner one, %s", from, r, inner[:12])
		}
		if r := within("--source", from, "ps", "-q", "--no-trunc"); r.Stdout != inner+"\n" {
			t.Errorf("ps from within, --source %s: %v, want %s", from, r, inner)
		}
	}
}

// pidOf is a process of the outer container's, by its command, as the host numbers it.
func (d *dockerInDocker) pidOf(t *testing.T, command string) string {
	t.Helper()
	r := d.outer.MustDocker(t, "top", d.box.Name, "-eo", "pid,args")
	for line := range strings.Lines(r.Stdout) {
		if pid, args, ok := strings.Cut(strings.TrimSpace(line), " "); ok && strings.TrimSpace(args) == command {
			return pid
		}
	}
	t.Fatalf("no process %q: %v", command, r)
	return ""
}
