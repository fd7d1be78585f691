// Command demo shows dx ns and dx exec on a throw-away container: of an engine
// that answers, else of one that it starts in a world of its own, else, on a host
// without Docker, on a process in fresh namespaces. It removes what it made.
//
//	go run ./e2e/demo bin/dx
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"dx/e2e/engine"
	"dx/e2e/world"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: demo DX")
		os.Exit(2)
	}
	if exec.Command("timeout", "10", "docker", "info").Run() == nil {
		os.Exit(show((*demo).onEngine))
	}
	os.Exit(world.Enter(func() int { return show((*demo).withEngine, (*demo).onProcess) }))
}

// show tries the ways in turn and returns the exit code.
func show(ways ...way) int {
	// ctrl-C and a closed pipe end the demo by the context, so that what it made
	// is removed.
	ctx, stop := signal.NotifyContext(context.Background(),
		os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	defer stop()
	d := demo{ctx: ctx, dx: os.Args[1]}
	if err := d.run(ways); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		return 1
	}
	return 0
}

// way is one of showing dx.
type way func(*demo) error

type demo struct {
	ctx context.Context
	dx  string
	env []string
}

func (d *demo) run(ways []way) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("entering another process's namespaces takes root: sudo make demo")
	}
	if d.dx, err = filepath.Abs(d.dx); err != nil {
		return err
	}
	for _, show := range ways {
		err = show(d)
		var no *notHereError
		if !errors.As(err, &no) {
			return err
		}
		fmt.Printf("# (%v)\n", err)
	}
	return err
}

// notHereError: this host cannot show it in this way; another may do.
type notHereError struct{ err error }

func (e *notHereError) Error() string { return e.err.Error() }
func (e *notHereError) Unwrap() error { return e.err }

func say(text string) { fmt.Printf("\n# %s\n", text) }

func (d *demo) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(d.ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), d.env...)
	return cmd
}

// show prints a command line and what it prints.
func (d *demo) show(args ...string) error {
	line := append([]string{}, args...)
	line[0] = filepath.Base(line[0])
	for i, a := range line {
		if strings.ContainsAny(a, " $;|") {
			line[i] = "'" + a + "'"
		}
	}
	fmt.Printf("\n$ %s\n", strings.Join(line, " "))
	cmd := d.command(args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(line, " "), err)
	}
	return nil
}

// quiet runs a command whose output matters only when it fails.
func (d *demo) quiet(args ...string) error {
	ctx, cancel := context.WithTimeout(d.ctx, 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), d.env...)
	if b, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%q: %w: %s", args, err, b)
	}
	return nil
}

// onEngine uses the engine that answers. It brings an image of its own: the
// engine may have none and no network.
func (d *demo) onEngine() (err error) {
	const image = "dx-demo:latest"
	say("On the docker engine that answers here.")
	var archive bytes.Buffer
	if err := engine.Rootfs(&archive); err != nil {
		return &notHereError{err}
	}
	cmd := d.command("docker", "import", "-c", `CMD ["sleep","1000000"]`, "-", image)
	cmd.Stdin = &archive
	if b, err := cmd.CombinedOutput(); err != nil {
		return &notHereError{fmt.Errorf("docker import: %w: %s", err, b)}
	}
	defer func() { err = errors.Join(err, d.afterwards("docker", "rmi", image)) }()
	return d.onContainer(image)
}

func (d *demo) withEngine() (err error) {
	say("No docker engine answers here: on a private one.")
	e, err := engine.Start(engine.Options{})
	if err != nil {
		return &notHereError{err}
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	d.env = []string{"DOCKER_HOST=" + e.Host, "DOCKER_CONFIG=" + e.Dir + "/config"}
	return d.onContainer(engine.Busybox)
}

// afterwards runs also when the demo was interrupted.
func (d *demo) afterwards(args ...string) error {
	clean := demo{ctx: context.WithoutCancel(d.ctx), env: d.env}
	return clean.quiet(args...)
}

func (d *demo) onContainer(image string) (err error) {
	name := fmt.Sprintf("dx-demo-%d", os.Getpid())
	if err := d.quiet("docker", "run", "-d", "--name", name, "--network", "none", image); err != nil {
		return &notHereError{err}
	}
	defer func() { err = errors.Join(err, d.afterwards("docker", "rm", "-f", name)) }()
	return d.tour(name, "sh", "-c", "id; hostname; ps -o pid,args | head -3; cat /proc/self/cgroup | tail -1")
}

// onProcess uses unshare(1) of util-linux, which every Linux host has. The process
// dies with the demo: the kernel sees to it (PR_SET_PDEATHSIG, which goes by the
// thread that forked), and unshare passes it on.
func (d *demo) onProcess() error {
	say("A process in fresh namespaces will do: no Docker is needed.")
	runtime.LockOSThread()
	cmd := d.command("unshare", "--fork", "--kill-child", "--pid", "--mount-proc", "--uts", "--ipc", "--net", "--cgroup",
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

func (d *demo) tour(ref string, command ...string) error {
	say("Which namespaces has it of its own?")
	if err := d.show(d.dx, "ns", ref); err != nil {
		return err
	}
	if !strings.HasPrefix(ref, "pid:") {
		say("Every running container, the host first:")
		if err := d.show(d.dx, "ns"); err != nil {
			return err
		}
	}
	say("Get in:")
	if err := d.show(append([]string{d.dx, "exec", ref}, command...)...); err != nil {
		return err
	}
	say("What that was, as system calls (the first ones):")
	return d.show("sh", "-c", d.dx+" exec --explain "+ref+" true | head -20")
}
