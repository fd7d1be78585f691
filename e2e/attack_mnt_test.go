package e2e

import (
	"bufio"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

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
	if r.Code != 125 || !strings.Contains(r.Stderr, "user namespace of uid 65534's") {
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
