package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dx/e2e/await"
	"dx/e2e/engine"
)

// bounded runs dx, which has to end by itself; one that does not has to end by
// SIGKILL. Neither holds for a process that sleeps in a request to a silent FUSE.
func bounded(t *testing.T, e *engine.Engine, args ...string) engine.Result {
	t.Helper()
	return boundedCommand(t, e.Command(context.Background(), slices.Concat(e.DxArgs(t), args)...))
}

func boundedCommand(t *testing.T, cmd *exec.Cmd) engine.Result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &stdout, &stderr, time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-ended:
		return engine.Result{Stdout: stdout.String(), Stderr: stderr.String(), Code: cmd.ProcessState.ExitCode()}
	case <-time.After(await.Patience):
	}
	_ = cmd.Process.Kill()
	select {
	case <-ended:
		t.Fatalf("%q hangs, and ends by SIGKILL", cmd.Args)
	case <-time.After(await.Patience):
		t.Fatalf("%q hangs, and SIGKILL has no effect", cmd.Args)
	}
	return engine.Result{}
}

// needFUSE skips where there is none.
func needFUSE(t *testing.T) {
	t.Helper()
	engine.Require(t, engine.Root, engine.Dockerd)
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no FUSE here: %v", err)
	}
	f.Close()
}

// silentContainer is a container that has mounted a silent FUSE file system on each
// of the paths, with nothing but what docker run gave it.
func silentContainer(t *testing.T, e *engine.Engine, answer string, paths ...string) engine.Container {
	t.Helper()
	c := e.Run(t, engine.Busybox, "--device", "/dev/fuse", "--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined")
	if r := e.Docker(t, "cp", suite.Build(t, "dx/e2e/attacker/silentfuse"), c.Name+":/silentfuse"); r.Code != 0 {
		t.Fatalf("docker cp: %s", r.Stderr)
	}
	// A network namespace that nobody is in is mounted below what will be silent.
	setUp := `mkdir -p /silent /etc; touch /etc/passwd /etc/group /silent/ns; unshare -n mount -o bind /proc/self/ns/net /silent/ns
exec /silentfuse -answer "$0" "$@"`
	startSilence(t, e.Command(context.Background(), slices.Concat([]string{"docker", "exec", c.Name, "sh", "-c", setUp, answer}, paths)...))
	return c
}

// startSilence starts silentfuse and waits until it has mounted.
func startSilence(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if lines := bufio.NewScanner(out); !lines.Scan() || lines.Text() != "ready" {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		t.Fatalf("silentfuse is not ready: %s", &stderr)
	}
}

// silence is a place where a container lets dx wait, and what of dx would wait there.
type silence struct {
	path, answer string
	refused      [][]string // these end with a message that names the path
	served       [][]string // these do without what lies there
}

// The word CONTAINER stands for its name.
var silences = map[string]silence{
	"passwd": {"/etc/passwd", "", [][]string{
		{"exec", "CONTAINER", "true"}, {"exec", "-u", "1", "CONTAINER", "true"}, {"exec", "-d", "CONTAINER", "true"},
		{"shell", "CONTAINER", "-c", "true"}, {"debug", "CONTAINER", "true"},
	}, [][]string{
		{"exec", "-e", "HOME=/", "CONTAINER", "true"}, {"top", "CONTAINER"}, {"ps"}, {"ns", "CONTAINER"}, {"inspect", "CONTAINER"},
	}},
	"passwd, which can be opened": {"/etc/passwd", "getattr,open,statfs", [][]string{{"exec", "CONTAINER", "true"}}, [][]string{{"top", "CONTAINER"}}},
	"group":                       {"/etc/group", "", nil, [][]string{{"exec", "-u", "root", "CONTAINER", "true"}}},
	"null":                        {"/dev/null", "", nil, [][]string{{"exec", "CONTAINER", "true"}, {"exec", "-d", "CONTAINER", "true"}}},
	"dev":                         {"/dev", "", [][]string{{"exec", "-t", "CONTAINER", "true"}}, [][]string{{"exec", "CONTAINER", "true"}}},
	"resolv.conf":                 {"/etc/resolv.conf", "", [][]string{{"exec", "--ns", "net", "CONTAINER", "true"}}, nil},
	"hosts":                       {"/etc/hosts", "", [][]string{{"exec", "--ns", "net", "CONTAINER", "true"}}, nil},
	"proc":                        {"/proc", "", nil, [][]string{{"debug", "--explain", "CONTAINER", "true"}}},
	"working directory":           {"/silent", "", [][]string{{"exec", "-w", "/silent/x", "CONTAINER", "true"}}, [][]string{{"exec", "CONTAINER", "true"}}},
	"PATH":                        {"/silent", "", [][]string{{"exec", "-e", "PATH=/silent", "CONTAINER", "true"}}, nil},
	"command":                     {"/silent", "getattr", [][]string{{"exec", "CONTAINER", "/silent/x"}}, nil},
}

// TestAttackSilentContainer: a container that may mount lays a file system that never
// answers over what dx reads of it. No dx hangs, and what remains is one reader, which
// goes when the file system does.
func TestAttackSilentContainer(t *testing.T) {
	needFUSE(t)
	e := suite.Engine(t, engine.Host)
	for name, s := range silences {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := silentContainer(t, e, s.answer, s.path)
			for _, args := range s.refused {
				r := bounded(t, e, naming(c, args)...)
				if said := r.Stdout + r.Stderr; r.Code == 0 || !strings.Contains(said, s.path) || !strings.Contains(said, "does not answer") {
					t.Errorf("dx %q: exit %d, %q does not say that %s does not answer", args, r.Code, said, s.path)
				}
			}
			for _, args := range s.served {
				if r := bounded(t, e, naming(c, args)...); r.Code != 0 {
					t.Errorf("dx %q: exit %d: %s", args, r.Code, r.Stderr)
				}
			}
		})
	}
}

func naming(c engine.Container, args []string) []string {
	args = slices.Clone(args)
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "CONTAINER", c.Name)
	}
	return args
}

// TestAttackSilentSignal: ctrl-C and SIGTERM end a dx that waits for a silent file
// system, whether it reads there or the command's process does, at whatever step.
func TestAttackSilentSignal(t *testing.T) {
	needFUSE(t)
	e := suite.Engine(t, engine.Host)
	for name, s := range map[string]silence{
		"reading": {path: "/etc/passwd", refused: [][]string{{"exec", "CONTAINER", "true"}}},
		"starting": {path: "/silent", refused: [][]string{
			{"exec", "-w", "/silent/x", "CONTAINER", "true"}, {"exec", "-d", "-w", "/silent/x", "CONTAINER", "true"},
			{"exec", "-t", "-w", "/silent/x", "CONTAINER", "true"}, {"exec", "-e", "PATH=/silent", "CONTAINER", "true"},
			{"shell", "-w", "/silent/x", "CONTAINER", "-c", "true"}, {"debug", "-w", "/silent/x", "CONTAINER", "true"},
		}},
		"searching": {path: "/silent", answer: "getattr", refused: [][]string{
			{"exec", "CONTAINER", "/silent/x"}, {"exec", "-d", "CONTAINER", "/silent/x"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := silentContainer(t, e, s.answer, s.path)
			for _, args := range s.refused {
				for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
					endsBy(t, e, sig, naming(c, args))
				}
			}
		})
	}
}

// endsBy fails the test if a signal never ends dx.
func endsBy(t *testing.T, e *engine.Engine, sig syscall.Signal, args []string) {
	t.Helper()
	const tries = 20 // one that has given up by itself before the signal came is no witness
	for range tries {
		if interrupted(t, e, sig, args) {
			return
		}
	}
	t.Errorf("dx %q never ended by %v", args, sig)
}

// interrupted sends dx a signal once a process that it has started waits, and
// reports whether dx ended by it.
func interrupted(t *testing.T, e *engine.Engine, sig syscall.Signal, args []string) bool {
	t.Helper()
	cmd := e.Command(context.Background(), slices.Concat(e.DxArgs(t), args)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	gone := false
	await.Until(t, "dx waits for the file system or has ended", func() bool {
		select {
		case <-ended:
			gone = true
		default:
		}
		return gone || descendantWaits(cmd.Process.Pid)
	})
	if gone {
		return false
	}
	_ = cmd.Process.Signal(sig)
	select {
	case <-ended:
	case <-time.After(await.Patience):
		_ = cmd.Process.Kill()
		t.Fatalf("dx %q does not end by %v", args, sig)
	}
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	return status.Signaled() && status.Signal() == sig || status.ExitStatus() == 128+int(sig)
}

// descendantWaits reports whether a process that another one has started, or a child of
// that one's, sleeps in a request to a FUSE server. A command's first process is a
// keeper's child.
func descendantWaits(pid int) bool {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid)) // whichever thread started it
	for _, task := range tasks {
		children, _ := os.ReadFile(task)
		for _, text := range strings.Fields(string(children)) {
			child, _ := strconv.Atoi(text)
			if inExecve(text) || behindAnother(text) || descendantWaits(child) {
				return true
			}
		}
	}
	return false
}

// behindAnother reports whether a process waits for one that looks up the same name
// (fs/dcache.c, d_alloc_parallel), and has had no answer either.
func behindAnother(pid string) bool {
	b, _ := os.ReadFile("/proc/" + pid + "/stack")
	return strings.Contains(string(b), "d_alloc_parallel")
}

// TestAttackSilentLeftovers: the reader that dx had to leave behind does not keep the
// container from stopping, and is gone once it has.
func TestAttackSilentLeftovers(t *testing.T) {
	needFUSE(t)
	e := suite.Engine(t, engine.Host)
	c := silentContainer(t, e, "", "/etc/passwd")
	before := waiting(t)
	if r := bounded(t, e, "exec", c.Name, "true"); r.Code == 0 {
		t.Error("exec succeeds although /etc/passwd cannot be read")
	}
	left := map[string]bool{}
	for id := range waiting(t) {
		left[id] = !before[id]
	}
	if len(left) == len(before) {
		t.Error("nobody waits for the file system: the attack is none")
	}
	e.KillContainer(t, c.Name)
	await.Until(t, "what dx left behind is gone with the container", func() bool {
		still := waiting(t)
		for id, ours := range left {
			if !ours || !still[id] {
				delete(left, id)
			}
		}
		return len(left) == 0
	})
}

// waiting are the processes that sleep in a request to a FUSE server.
func waiting(t *testing.T) map[string]bool {
	t.Helper()
	names, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	for _, name := range names {
		if inExecve(filepath.Base(name)) {
			out[filepath.Base(name)] = true
		}
	}
	return out
}

func inExecve(pid string) bool {
	b, _ := os.ReadFile("/proc/" + pid + "/stack")
	return strings.Contains(string(b), "request_wait_answer")
}

// userUID is a plain user's.
const userUID = "54321"

// TestAttackSilentCwd: a plain user's process has a working directory in a FUSE of
// his that looks like a bundle. It is no reason for any list to wait.
//
// The attacker and dx have a PID namespace of their own, so that no other dx on the
// machine meets him.
func TestAttackSilentCwd(t *testing.T) {
	needFUSE(t)
	e := suite.Engine(t, engine.Host)
	silent, dx := suite.Build(t, "dx/e2e/attacker/silentfuse"), e.DxPath(t)
	for _, uid := range []string{userUID, "0"} { // 0: root's own shell went there
		for _, args := range []string{"--source host ps", "ps", "ns --procs", "--source host ns", "who pid:1", "doctor", "exec pid:1 true", "inspect pid:$SERVER", "exec -u 1 pid:$SERVER true"} {
			t.Run("uid "+uid+", "+args, func(t *testing.T) {
				t.Parallel()
				dir := filepath.Join(t.TempDir(), "io.containerd.runtime.v2.task", "moby")
				if err := os.MkdirAll(dir, 0o755); err != nil {
					t.Fatal(err)
				}
				script := `mkfifo "$1/fifo"; "$2" -uid "$3" -answer lookup -enter "$4" "$1/moby" >"$1/fifo" & SERVER=$!
read ready <"$1/fifo"; shift 4; ` + dx + " " + args + ` & DX=$!; wait $DX; echo "dx ended with $?"; kill -9 $SERVER`
				cmd := e.Command(context.Background(), "unshare", "-pmf", "--mount-proc", "--kill-child", "sh", "-c", script, "sh", filepath.Dir(dir), silent, uid, strings.Repeat("ab", 32))
				var out bytes.Buffer
				cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &out, &out, time.Second
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				ended := make(chan error, 1)
				go func() { ended <- cmd.Wait() }()
				select {
				case <-ended:
					if !strings.Contains(out.String(), "dx ended with") {
						t.Errorf("the script failed: %s", &out)
					}
				case <-time.After(await.Patience):
					_ = cmd.Process.Kill()
					t.Errorf("dx %s hangs", args)
				}
				// Whatever still waits is freed with the server, by --kill-child.
				_ = unix.Unmount(dir, unix.MNT_DETACH)
			})
		}
	}
}

// TestAttackPipes: a FIFO that nobody writes to, in the place of a file that dx's
// caller names, is an error; what a shell hands over as one is read.
func TestAttackPipes(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox)
	dir := t.TempDir()
	for _, name := range []string{"config.json", "env", "ca.pem"} {
		if err := unix.Mkfifo(filepath.Join(dir, name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, args := range map[string][]string{
		"config.json": {"exec", c.Name, "true"},
		"env":         {"exec", "--env-file", dir + "/env", c.Name, "true"},
		"ca.pem":      {"-H", "tcp://127.0.0.1:1", "--source", "engine", "ps"},
	} {
		cmd := e.Command(context.Background(), slices.Concat(e.DxArgs(t), args)...)
		if name != "env" {
			cmd.Env = append(cmd.Env, "DOCKER_CONFIG="+dir, "DOCKER_TLS_VERIFY=1")
		}
		// An exec without a terminal has no use for docker's config file.
		if r := boundedCommand(t, cmd); name != "config.json" && (r.Code == 0 || !strings.Contains(r.Stderr, filepath.Join(dir, name))) {
			t.Errorf("a FIFO as %s: exit %d, %q does not name it", name, r.Code, r.Stderr)
		}
	}
	dx := strings.Join(e.DxArgs(t), " ")
	for _, from := range []string{"<(sleep 0.1; echo A=b)", "/dev/stdin"} {
		cmd := e.Command(context.Background(), "bash", "-c", "echo A=b | "+dx+" exec --env-file "+from+" "+c.Name+" env")
		if r := boundedCommand(t, cmd); r.Code != 0 || !strings.Contains(r.Stdout, "\nA=b\n") {
			t.Errorf("--env-file %s: exit %d, %q %q lack A=b", from, r.Code, r.Stdout, r.Stderr)
		}
	}
}

// TestAttackSilentNamespace: the place where a namespace is mounted lies behind a
// silent file system. A list goes on without it.
func TestAttackSilentNamespace(t *testing.T) {
	needFUSE(t)
	e := suite.Engine(t, engine.Host)
	c := silentContainer(t, e, "", "/silent")
	for _, args := range [][]string{{"ns", "-a", "--tree"}, {"ns", "-a", "--procs"}, {"doctor"}, {"inspect", c.Name}, {"who", fmt.Sprintf("pid:%d", c.PID)}} {
		if r := bounded(t, e, args...); !strings.Contains(r.Stdout, c.Name) {
			t.Errorf("dx %q: exit %d, %q does not show %s: %s", args, r.Code, r.Stdout, c.Name, r.Stderr)
		}
	}
}
