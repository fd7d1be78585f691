// Package engine starts private docker engines for tests, benchmarks and the
// demo: each with its own data root, exec root and socket in a fresh directory,
// on cgroup v1 or v2, with images made from the host's own busybox and bash.
// A janitor removes everything when the run ends (see dx/e2e/janitor).
//
// What is tested with an engine does not belong here.
package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"dx/e2e/janitor"
)

// Cgroup is the cgroup version that an engine's containers see.
type Cgroup int

// The versions; Host is whichever the host has.
const (
	Host Cgroup = iota
	V1
	V2
)

func (c Cgroup) String() string { return [...]string{"host's cgroups", "cgroup v1", "cgroup v2"}[c] }

// startTime bounds how long an engine may take until it answers.
var startTime = patience(2 * time.Minute)

// patienceEnv is a factor for all limits of time, for machines that are slow
// (emulated ones).
const patienceEnv = "DX_TEST_PATIENCE"

func patience(d time.Duration) time.Duration {
	if n, err := strconv.Atoi(os.Getenv(patienceEnv)); err == nil && n > 0 {
		return time.Duration(n) * d
	}
	return d
}

// Options say what kind of engine is wanted.
type Options struct {
	Cgroup Cgroup
	// UsernsRemap runs containers in a user namespace: root is uid 200000.
	UsernsRemap bool
	// Args are further flags of dockerd.
	Args []string
	// Under are a program and its arguments that becomes dockerd.
	Under []string
}

// Engine is a running dockerd and all that belongs to it.
type Engine struct {
	Options
	Dir  string // everything of it lies here
	Host string // unix://…
	PID  int    // of dockerd

	scope   *janitor.Scope
	private bool // its own mount namespace
	argv    []string
	dx      func(testing.TB) string // path of the dx under test; nil without a Suite
	names   atomic.Int64
}

// Start starts an engine and imports its images.
func Start(o Options) (*Engine, error) {
	dir, err := os.MkdirTemp("", "dxe-")
	if err != nil {
		return nil, err
	}
	// A remapped root must be able to pass.
	if err := os.Chmod(dir, 0o711); err != nil {
		return nil, err
	}
	e := &Engine{Options: o, Dir: dir, Host: "unix://" + dir + "/docker.sock"}
	if e.scope, err = e.openScope(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := e.boot(); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

func (e *Engine) openScope() (*janitor.Scope, error) {
	c := janitor.Config{Dir: e.Dir}
	c.Cgroup2 = e.Cgroup == V2 && !HostIsCgroup2()
	if e.UsernsRemap {
		binds, err := remapFiles(e.Dir)
		if err != nil {
			return nil, err
		}
		c.Binds = binds
	}
	c.PrivateMounts = c.Cgroup2 || c.Binds != nil
	e.private = c.PrivateMounts
	return janitor.Start(c)
}

func (e *Engine) boot() error {
	dockerd, err := exec.LookPath("dockerd")
	if err != nil {
		return err
	}
	e.argv = slices.Concat(e.Under, []string{dockerd,
		"--data-root", e.Dir + "/data", "--exec-root", e.Dir + "/exec",
		"--pidfile", e.Dir + "/docker.pid", "-H", e.Host,
		"--iptables=false", "--bridge=none"}, e.Args)
	if e.UsernsRemap {
		e.argv = append(e.argv, "--userns-remap", remapUser)
	}
	if err := e.Boot(); err != nil {
		return err
	}
	return e.importImages()
}

// Boot starts dockerd again after Kill; Start has done so for the first time.
func (e *Engine) Boot() (err error) {
	for range 4 {
		if e.PID, err = e.scope.Spawn(e.Dir+"/dockerd.log", os.Environ(), e.argv...); err != nil {
			return err
		}
		if err = e.waitUntilUp(); err == nil || !strings.Contains(err.Error(), slowContainerd) {
			return err
		}
	}
	return err
}

// slowContainerd is what dockerd says when its containerd takes more than the 15 seconds
// that it allows (moby, libcontainerd/supervisor), and ends: the machine is busy.
const slowContainerd = "timeout waiting for containerd to start"

// waitUntilUp pings until dockerd answers or is gone.
func (e *Engine) waitUntilUp() error {
	client := e.HTTP()
	defer client.CloseIdleConnections()
	for end := time.Now().Add(startTime); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		resp, err := client.Get("http://docker/_ping")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		if errors.Is(syscall.Kill(e.PID, 0), syscall.ESRCH) {
			return fmt.Errorf("dockerd exited at its start:\n%s", e.LogTail())
		}
	}
	return fmt.Errorf("dockerd does not answer within %v:\n%s", startTime, e.LogTail())
}

// HTTP is a client of the Engine API, for answers that the CLI does not give.
func (e *Engine) HTTP() *http.Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", strings.TrimPrefix(e.Host, "unix://"))
	}
	return &http.Client{Timeout: time.Second, Transport: &http.Transport{DialContext: dial}}
}

// LogTail is the end of what dockerd wrote.
func (e *Engine) LogTail() string { return tail(e.Dir + "/dockerd.log") }

// SpawnedTail is the end of what programs of Spawn's wrote.
func (e *Engine) SpawnedTail() string { return tail(e.Dir + "/spawned.log") }

func tail(file string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}

// ContainerdPID is the PID of the containerd that dockerd supervises.
func (e *Engine) ContainerdPID() (int, error) {
	b, err := os.ReadFile(filepath.Join(e.Dir, "exec/containerd/containerd.pid"))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(b)))
}

// Kill ends dockerd with SIGKILL and waits until it is gone. Containers live on;
// with --live-restore Boot finds them again.
func (e *Engine) Kill() error {
	if err := syscall.Kill(e.PID, syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill dockerd: %w", err)
	}
	for range 500 {
		if errors.Is(syscall.Kill(e.PID, 0), syscall.ESRCH) {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("dockerd (pid %d) survives SIGKILL", e.PID)
}

// Close removes the engine and everything that belongs to it.
func (e *Engine) Close() error { return e.scope.Close() }

// Janitor is the PID of the process that owns the engine; its mount namespace is
// the engine's.
func (e *Engine) Janitor() int { return e.scope.PID }

// Private reports whether the engine has a mount namespace of its own, which its
// clients must enter.
func (e *Engine) Private() bool { return e.private }

// Spawn starts a program that belongs to the engine, in its mount namespace: it
// is ended with the engine. Its output goes to a file in Dir.
func (e *Engine) Spawn(t testing.TB, argv ...string) int {
	t.Helper()
	path, err := exec.LookPath(argv[0])
	if err != nil {
		t.Fatal(err)
	}
	env := append(os.Environ(), "DOCKER_HOST="+e.Host, "DOCKER_CONFIG="+e.Dir+"/config")
	pid, err := e.scope.Spawn(e.Dir+"/spawned.log", env, append([]string{path}, argv[1:]...)...)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}
