package execspec

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"dx/dockerx"
	"dx/dockerx/docker"
	"dx/nsops"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// filteredVariable makes this test binary a process under a seccomp filter.
const filteredVariable = "DX_TEST_FILTERED"

func TestMain(m *testing.M) {
	if os.Getenv(filteredVariable) != "" {
		runFiltered()
	}
	os.Exit(m.Run())
}

var allowAll = unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW}

// runFiltered installs a filter that allows all, on every thread, and waits.
func runFiltered() {
	allow := allowAll
	prog := unix.SockFprog{Len: 1, Filter: &allow}
	err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	if err == nil {
		_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
		if errno != 0 {
			err = errno
		}
	}
	fmt.Println(err)
	bufio.NewReader(os.Stdin).ReadByte()
	os.Exit(0)
}

// started starts a program, whose first line of output must be want, and
// resolves it as pid:N.
func started(t *testing.T, cmd *exec.Cmd, want string) *dockerx.Container {
	t.Helper()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stdin.Close(); cmd.Wait() })
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil || strings.TrimSpace(line) != want {
		t.Fatalf("%s: %q, %v", cmd, line, err)
	}
	r, err := dockerx.NewResolver(dockerx.Options{Host: "unix:///nonexistent"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	c, err := r.Resolve(context.Background(), fmt.Sprintf("pid:%d", cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// elsewhere makes a command one in a mount namespace of its own.
func elsewhere(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("unshare needs root")
	}
	return exec.Command("unshare", append([]string{"--mount"}, args...)...)
}

func shell(t *testing.T) *exec.Cmd {
	cmd := elsewhere(t, "/bin/sh", "-c", "umask 027; ulimit -Sn 77; echo 500 >/proc/self/oom_score_adj; echo ready; exec cat")
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	cmd.Dir, cmd.Env = dir, []string{"A=1", "PATH=/usr/bin:/bin", "A=2", "HOME=/h"}
	return cmd
}

func TestBareProcess(t *testing.T) {
	cmd := shell(t)
	c := started(t, cmd, "ready")
	spec, err := Of(context.Background(), c, Options{Args: []string{"true"}, Env: []string{"B=3"}})
	if err != nil {
		t.Fatal(err)
	}
	p := spec.Process
	// Nothing of its environment.
	if want := []string{defaultPath, "B=3"}; !slices.Equal(p.Env[:2], want) || len(p.Env) != 3 || !strings.HasPrefix(p.Env[2], "HOME=") {
		t.Errorf("environment %q, want %q and a HOME", p.Env, want)
	}
	if p.Cwd != cmd.Dir || p.User.UID != 0 || *p.User.Umask != 0o27 || *p.OOMScoreAdj != 500 || p.NoNewPrivileges {
		t.Errorf("cwd %s uid %d umask %o oom_score_adj %d", p.Cwd, p.User.UID, *p.User.Umask, *p.OOMScoreAdj)
	}
	st, err := c.Process.Status()
	if err != nil {
		t.Fatal(err)
	}
	if got := capMask(p.Capabilities.Bounding); got != st.CapPrm {
		t.Errorf("capabilities %x, want those that it has: %x", got, st.CapPrm)
	}
	i := slices.IndexFunc(p.Rlimits, func(l specs.POSIXRlimit) bool { return l.Type == "RLIMIT_NOFILE" })
	if i < 0 || p.Rlimits[i].Soft != 77 {
		t.Errorf("rlimits %+v, want 77 open files", p.Rlimits)
	}
	if fmt.Sprint(spec.Namespaces) != "[mnt]" || spec.Keyring != "" || spec.Seccomp != nil {
		t.Errorf("the spec is %+v, want the mount namespace only, no keyring and no filter", spec)
	}
	if len(spec.Cgroups) == 0 {
		t.Error("no cgroups")
	}
}

func TestProcessInNamespaces(t *testing.T) {
	c := started(t, elsewhere(t, "--uts", "--ipc", "sh", "-c", "echo ready; exec cat"), "ready")
	spec, err := Of(context.Background(), c, Options{Args: []string{"true"}, WorkingDir: "/tmp"})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(spec.Namespaces); got != "[ipc mnt uts]" || spec.Process.Cwd != "/tmp" {
		t.Errorf("namespaces %s, cwd %s", got, spec.Process.Cwd)
	}
}

// Where no bundle describes a filter, the kernel has it, for root.
func TestFilterOfBareProcess(t *testing.T) {
	c := filteredProcess(t)
	spec, err := Of(context.Background(), c, Options{Args: []string{"true"}})
	if err != nil {
		t.Fatal(err)
	}
	if len(spec.Filters) != 1 || !slices.Equal(spec.Filters[0].Program, []unix.SockFilter{allowAll}) || !spec.Process.NoNewPrivileges {
		t.Errorf("%+v, no_new_privs %v, want the filter of pid %d", spec.Filters, spec.Process.NoNewPrivileges, c.Process.PID)
	}
}

// Nor has the kernel, of a process that is traced.
func TestUnknownFilter(t *testing.T) {
	c := filteredProcess(t)
	traced(t, c.Process.PID)
	_, err := Of(context.Background(), c, Options{Args: []string{"true"}})
	var unknown *UnknownFilterError
	if !errors.As(err, &unknown) || unknown.PID != c.Process.PID {
		t.Errorf("%v, want an error about the filter of pid %d", err, c.Process.PID)
	}
	spec, err := Of(context.Background(), c, Options{Args: []string{"true"}, IgnoreUnknownFilter: true})
	if err != nil || !spec.Process.NoNewPrivileges {
		t.Errorf("with the error ignored: %v; no_new_privs must be the process's", err)
	}
}

// traced traces a process, whose filters nobody else can read then.
func traced(t *testing.T, pid int) {
	t.Helper()
	tracing, end, ended := make(chan error), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		_ = nsops.OnOwnThread(func() error { // the tracer is this thread, and ends with it
			tracing <- unix.PtraceSeize(pid)
			<-end
			return nil
		})
	}()
	if err := <-tracing; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { close(end); <-ended })
}

func filteredProcess(t *testing.T) *dockerx.Container {
	t.Helper()
	cmd := elsewhere(t, os.Args[0])
	cmd.Env = []string{filteredVariable + "=1", "PATH=" + os.Getenv("PATH")}
	return started(t, cmd, "<nil>")
}

// A container whose shim has died: Docker's configuration, init's own posture.
func TestOrphan(t *testing.T) {
	c := started(t, shell(t), "ready")
	c.Source, c.ID = dockerx.SourceEngine, strings.Repeat("ab", 32)
	c.Docker = &docker.Container{Origin: "inspect"}
	c.Docker.Config.Hostname, c.Docker.Config.User, c.Docker.Config.WorkingDir = "box", "7:8", "/w"
	c.Docker.Config.Env = []string{"E=1"}
	spec, err := Of(context.Background(), c, Options{Args: []string{"true"}})
	if err != nil {
		t.Fatal(err)
	}
	p := spec.Process
	if got := fmt.Sprint(p.Env[:3]); got != "["+defaultPath+" HOSTNAME=box E=1]" {
		t.Errorf("the environment begins %s, want the default PATH, the hostname and docker's own", got)
	}
	if p.User.UID != 7 || p.User.GID != 8 || p.Cwd != "/w" || *p.OOMScoreAdj != 500 || spec.Keyring != "_ses."+c.ID {
		t.Errorf("the process is %+v with keyring %s, want what docker configured, and init's own oom_score_adj", p, spec.Keyring)
	}
}

func TestRelativeWorkingDir(t *testing.T) {
	c := started(t, shell(t), "ready")
	if _, err := Of(context.Background(), c, Options{WorkingDir: "tmp"}); !errors.Is(err, ErrRelativeCwd) {
		t.Error(err)
	}
}

// A process in dx's own mount namespace is no container, and --privileged is more
// than any other has.
func TestBareProcessRefused(t *testing.T) {
	c := started(t, exec.Command("sh", "-c", "echo ready; exec cat"), "ready")
	var shared *SharedMountError
	if _, err := Of(context.Background(), c, Options{Args: []string{"true"}, User: "0"}); !errors.As(err, &shared) || len(shared.Kinds) != 0 {
		t.Errorf("%v, want a refusal", err)
	}
	c = started(t, shell(t), "ready")
	var privileged *BarePrivilegedError
	if _, err := Of(context.Background(), c, Options{Args: []string{"true"}, Privileged: true}); !errors.As(err, &privileged) {
		t.Errorf("%v, want a refusal", err)
	}
}
