package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"

	"dx/e2e/engine"
)

// socket is docker's own, so that commands need no -H. It lies in the world's /run.
const socket = "/run/docker.sock"

// withEngine stops a dockerd, which nobody else uses.
func (d *demo) withEngine() (err error) {
	for _, program := range []string{"dockerd", "docker"} {
		if _, err := exec.LookPath(program); err != nil {
			return &notHereError{err}
		}
	}
	say("An engine in namespaces of its own: it is removed at the end.")
	e, err := engine.Start(engine.Options{Args: []string{"-H", "unix://" + socket}})
	if err != nil {
		return &notHereError{fmt.Errorf("no engine can be started here: %w", err)}
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	if err := os.Symlink(socket, "/var/run/docker.sock"); err != nil && !errors.Is(err, os.ErrExist) {
		return &notHereError{err}
	}
	d.env = []string{"DOCKER_HOST=", "DOCKER_CONTEXT=", "DOCKER_CONFIG=" + e.Dir + "/config"}
	for _, name := range []string{"web", "db"} {
		if err := d.quiet("docker", "run", "-d", "--name", name, "--hostname", name, "--network", "none", engine.Busybox); err != nil {
			return &notHereError{err}
		}
	}
	if err := d.stopped(e.PID); err != nil {
		return err
	}
	return d.tour("web", "sh", "-c", "id; ps -o pid,args | head -3")
}

// stopped shows what dx does while dockerd does nothing.
func (d *demo) stopped(dockerd int) error {
	if err := d.show([]string{"docker", "ps"}); err != nil {
		return err
	}
	say(fmt.Sprintf("Now dockerd hangs: here it is stopped (kill -STOP %d). docker does not come back:", dockerd))
	if err := syscall.Kill(dockerd, syscall.SIGSTOP); err != nil {
		return err
	}
	defer func() { _ = syscall.Kill(dockerd, syscall.SIGCONT) }() // it may be gone
	const timedOut, hung = 124, 2
	if err := d.show([]string{"timeout", "3", "docker", "ps"}, timedOut); err != nil {
		return err
	}
	say("dx sees why, and goes on without it:")
	for _, args := range [][]string{{"dx", "ps"}, {"dx", "exec", "web", "hostname"}, {"dx", "ns"}} {
		if err := d.show(args); err != nil {
			return err
		}
	}
	say("Where it is stuck, and what to do:")
	if err := d.show([]string{"dx", "doctor"}, hung); err != nil {
		return err
	}
	say(fmt.Sprintf("It is woken up (kill -CONT %d), and nothing is lost:", dockerd))
	if err := syscall.Kill(dockerd, syscall.SIGCONT); err != nil {
		return err
	}
	return d.show([]string{"docker", "ps"})
}

// onEngine uses the engine that answers. It brings an image of its own: the
// engine may have none and no network.
func (d *demo) onEngine() (err error) {
	const image = "dx-demo:latest"
	say("On the docker engine that answers here. It is not stopped.")
	var archive bytes.Buffer
	if err := engine.Rootfs(&archive); err != nil {
		return &notHereError{err}
	}
	cmd := d.command(d.ctx, "docker", "import", "-c", `CMD ["sleep","1000000"]`, "-", image)
	cmd.Stdin = &archive
	if b, err := cmd.CombinedOutput(); err != nil {
		return &notHereError{fmt.Errorf("docker import: %w: %s", err, b)}
	}
	defer func() { err = errors.Join(err, d.afterwards("docker", "rmi", image)) }()
	name := fmt.Sprintf("dx-demo-%d", os.Getpid())
	if err := d.quiet("docker", "run", "-d", "--name", name, "--network", "none", image); err != nil {
		return &notHereError{err}
	}
	defer func() { err = errors.Join(err, d.afterwards("docker", "rm", "-f", name)) }()
	if err := d.show([]string{"dx", "ps"}); err != nil {
		return err
	}
	return d.tour(name, "sh", "-c", "id; hostname; ps -o pid,args | head -3")
}

// onProcess uses unshare(1) of util-linux, which every Linux host has. The process
// dies with the demo: the kernel sees to it (PR_SET_PDEATHSIG, which goes by the
// thread that forked), and unshare passes it on.
func (d *demo) onProcess() error {
	say("A process in fresh namespaces will do: no Docker is needed.")
	runtime.LockOSThread()
	cmd := d.command(d.ctx, "unshare", "--fork", "--kill-child", "--pid", "--mount-proc", "--uts", "--ipc", "--net", "--cgroup",
		"sh", "-c", "hostname dx-demo 2>/dev/null; echo ready; exec sleep 1000000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	if _, err := out.Read(make([]byte, 16)); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	pid, err := childOf(cmd.Process.Pid)
	if err != nil {
		return err
	}
	return d.tour("pid:"+pid, "sh", "-c", "id; hostname; ps -e | head -3")
}

// childOf is the process that unshare --fork has started: the init of the new
// PID namespace.
func childOf(pid int) (string, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return "", err
	}
	child, _, _ := strings.Cut(string(b), " ")
	if child == "" {
		return "", errors.New("unshare has no child")
	}
	return child, nil
}

// tour shows one container: its namespaces, a command in it, and how that was started.
func (d *demo) tour(ref string, command ...string) error {
	say("Which namespaces it has of its own:")
	if err := d.show([]string{"dx", "ns", ref}); err != nil {
		return err
	}
	say("Get in:")
	if err := d.show(append([]string{"dx", "exec", ref}, command...)); err != nil {
		return err
	}
	say("What that was, as system calls (some of them):")
	return d.show([]string{"sh", "-c", "dx exec --explain " + ref + " true | grep -e setns -e chroot -e 'close_range(3' -e 'execve('"})
}
