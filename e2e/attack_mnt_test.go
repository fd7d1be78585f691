package e2e

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"dx/e2e/engine"
)

// hostile puts a program of a container's making where an administrator's command
// looks for ls and umount: it tells its rights.
func hostile(t *testing.T, e *engine.Engine, c engine.Container) {
	t.Helper()
	const plant = `for p in ls umount mount; do for d in /usr/local/sbin /sbin /bin /usr/bin; do
		mkdir -p $d; printf '#!/bin/busybox sh\necho HIJACKED; busybox grep -E ^CapEff /proc/self/status\n' >$d/.$p && busybox chmod 755 $d/.$p && busybox mv $d/.$p $d/$p || exit 1; done; done`
	if r := e.Docker(t, "exec", c.Name, "busybox", "sh", "-c", plant); r.Code != 0 {
		t.Fatalf("plant the container's programs: %+v", r)
	}
}

// TestAttackByTheContainersProgram: in a container's mount namespace a command is the
// container's program. With the caller's rights it would have the host.
func TestAttackByTheContainersProgram(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox)
	hostile(t, e, c)
	for _, kinds := range []string{"mnt", "mount,uts", "pid,mnt,net", "user,mnt,pid", "cgroup,ipc,mnt,net,pid,time,user,uts"} {
		r := e.Dx(t, "exec", "--ns", kinds, c.Name, "ls")
		if r.Code != 125 || strings.Contains(r.Stdout, "HIJACKED") || !strings.Contains(r.Stderr, "the container's own program") || !strings.Contains(r.Stderr, "--expose-host") {
			t.Errorf("--ns %s: %+v", kinds, r)
		}
	}
	if r := e.Dx(t, "exec", "--ns", "net,ipc,uts", c.Name, "ls", "/"); r.Code != 0 || strings.Contains(r.Stdout, "HIJACKED") {
		t.Errorf("without mnt: %+v", r)
	}
	if r := e.Dx(t, "exec", "--ns", "mnt", "--expose-host", c.Name, "ls"); !strings.Contains(r.Stdout, "HIJACKED") {
		t.Errorf("who insists gets it: %+v", r)
	}
}

// TestAttackByTheMakerOfAUserNamespace: he has all capabilities over whatever runs in
// it, and reads what root's command has of root's.
func TestAttackByTheMakerOfAUserNamespace(t *testing.T) {
	engine.Require(t, engine.Root, engine.Dockerd, engine.Lsns, engine.Capsh)
	const spy = `echo ready; until grep -sqa THE_SECRET_OF_ROOT /proc/[0-9]*/environ; do sleep 0.1; done; echo stolen`
	cmd := exec.Command(nobody[0], slices.Concat(nobody[1:], []string{"unshare", "-U", "-r", "-n", "sh", "-c", spy})...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	out := bufio.NewReader(pipe)
	if line, _ := out.ReadString('\n'); line != "ready\n" {
		t.Fatalf("the spy does not start: %q", line)
	}
	t.Setenv("SECRET", "THE_SECRET_OF_ROOT")
	ref := "pid:" + strconv.Itoa(cmd.Process.Pid)
	r := hostRun(t, suite.Dx(t), "exec", "--ns", "user,net", ref, "true")
	if r.Code != 125 || !strings.Contains(r.Stderr, "user namespace") {
		t.Errorf("not refused: %+v", r)
	}
	if r := hostRun(t, suite.Dx(t), "exec", "--ns", "net", ref, "true"); r.Code != 0 {
		t.Errorf("without user: %+v", r)
	}
	// The spy is able: who insists is robbed.
	dx := exec.Command(suite.Dx(t), "exec", "--expose-host", "--ns", "user,net", ref, "sleep", "50")
	if err := dx.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = dx.Process.Signal(syscall.SIGTERM); _ = dx.Wait() }()
	if line, _ := out.ReadString('\n'); line != "stolen\n" {
		t.Errorf("the spy says %q", line)
	}
}

// TestAttackByAdvice: what dx doctor says to do about a container's dead mount runs
// no program of the container's, and takes the mount away.
func TestAttackByAdvice(t *testing.T) {
	e := suite.Start(t, engine.Options{})
	showConnections(t)
	c := e.Run(t, engine.Busybox)
	mountSilent(t, e, c)
	hostile(t, e, c)
	mounted := func() bool {
		b, err := os.ReadFile("/proc/" + strconv.Itoa(c.PID) + "/mountinfo")
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(string(b), " /tmp/silent ")
	}
	r, _ := examine(t, e, patient...)
	if r.Verdict.Cause == nil || r.Verdict.Cause.Kind != "mount-silent" {
		t.Fatalf("the verdict is %+v", r.Verdict)
	}
	path := filepath.Dir(suite.Dx(t)) + ":" + os.Getenv("PATH")
	followed := 0
	for _, s := range r.Verdict.Next {
		if s.Command == "" || !s.Changes {
			continue
		}
		followed++
		follow := func(command string) engine.Result {
			return e.Do(t, engine.Command{Args: []string{"sh", "-c", command}, Env: []string{"PATH=" + path}})
		}
		r := follow(s.Command)
		if strings.Contains(r.Stderr, "or the machine is busy (wait longer: --timeout 1m)") {
			r = follow(s.Command + " --timeout 1m")
		}
		if r.Code != 0 || strings.Contains(r.Stdout+r.Stderr, "HIJACKED") {
			t.Errorf("%s\n%s: %+v", s.Why, s.Command, r)
		}
	}
	// To bring its server back, to end the connection to it, to unmount it.
	if followed < 2 || mounted() {
		t.Errorf("%d steps, and it is mounted: %v\n%+v", followed, mounted(), r.Verdict.Next)
	}
}

// showConnections has the kernel show its connections to FUSE servers, where no system
// manager has done so.
func showConnections(t *testing.T) {
	t.Helper()
	const dir, fusectlMagic = "/sys/fs/fuse/connections", 0x65735543 // linux/magic.h
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err == nil && st.Type == fusectlMagic {
		return
	}
	if err := unix.Mount("fusectl", dir, "fusectl", 0, ""); err != nil {
		t.Fatalf("mount fusectl: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// TestDoctorUnmount: nothing but a dead mount, and only the one that is meant.
func TestDoctorUnmount(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine.Engine) {
		c := e.Run(t, engine.Busybox, "--tmpfs", "/t", "--tmpfs", "/tmp")
		mountSilent(t, e, c)
		for _, test := range []struct{ mount, want string }{
			{c.Name + ":/t", "the tmpfs mount at /t stays"}, {c.Name + ":/proc", "the proc mount at /proc stays"}, {c.Name + ":/no", "no mount is at /no there"},
			{c.Name + ":/", "mount at / stays"}, {c.Name, "is named CONTAINER:/PATH"}, {"nosuch:/t", "No such container"},
		} {
			if r := e.Dx(t, "doctor", "--unmount", test.mount); r.Code == 0 || !strings.Contains(r.Stderr, test.want) {
				t.Errorf("%s: %+v, want %q", test.mount, r, test.want)
			}
		}
		// The container bends the way: to another mount, and to a place of the host's.
		for _, bend := range []string{"ln -s /t /sub/silent", "ln -s /proc/1/root/t /sub/silent", "mkdir /sub/silent"} {
			if r := e.Docker(t, "exec", c.Name, "sh", "-c", "rm -rf /sub; mkdir /sub; "+bend); r.Code != 0 {
				t.Fatal(r)
			}
			if r := e.Dx(t, "doctor", "--unmount", c.Name+":/sub/silent"); r.Code != 125 || !strings.Contains(r.Stderr, "no mount is at") {
				t.Errorf("%s: %+v", bend, r)
			}
		}
		if r := e.Dx(t, "doctor", "--timeout", "1m", "--unmount", c.Name+":/tmp/silent"); r.Code != 0 || !strings.Contains(r.Stdout, "the fuse mount at /tmp/silent in "+c.Name) {
			t.Errorf("the dead one: %+v", r)
		}
		mounts := e.Docker(t, "exec", c.Name, "cat", "/proc/self/mountinfo").Stdout
		if strings.Contains(mounts, "/tmp/silent") || !strings.Contains(mounts, " /t ") || !strings.Contains(mounts, " /tmp ") {
			t.Errorf("the container has %s", mounts)
		}
	})
}
