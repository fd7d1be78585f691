package tty

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// container is one of a real engine, named by DX_TEST_ENGINE.
type container struct {
	name string
	pid  string
}

func realContainer(t *testing.T) container {
	t.Helper()
	needRoot(t)
	if os.Getenv("DX_TEST_ENGINE") == "" {
		t.Skip("DX_TEST_ENGINE is not set: no docker engine to compare with")
	}
	image := fmt.Sprintf("dx-tty-test-%d", os.Getpid())
	c := container{name: fmt.Sprintf("dx-tty-%d", os.Getpid())}
	importBusybox(t, image)
	t.Cleanup(func() { docker(t, "rmi", image) })
	docker(t, "run", "-d", "--net=none", "--name", c.name, image, "sleep", "1000")
	t.Cleanup(func() { docker(t, "rm", "-f", c.name) })
	c.pid = strings.TrimSpace(docker(t, "inspect", "-f", "{{.State.Pid}}", c.name))
	return c
}

func importBusybox(t *testing.T, image string) {
	t.Helper()
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Skip("no static busybox to make an image of")
	}
	dir := t.TempDir()
	script := `mkdir -p "$1/bin" "$1/tmp" && cp "$2" "$1/bin/busybox" && cd "$1/bin" &&
		for a in sh cat echo sleep head yes tty stty stat readlink grep tr true; do ln -s busybox $a; done &&
		tar -C "$1" -c . | docker import - "$3"`
	cmd := exec.Command("sh", "-c", script, "sh", filepath.Join(dir, "rootfs"), busybox, image)
	cmd.Env = engineEnv()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("import: %v: %s", err, out)
	}
}

func engineEnv() []string { return append(os.Environ(), "DOCKER_HOST="+os.Getenv("DX_TEST_ENGINE")) }

func docker(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("docker", args...)
	cmd.Env = engineEnv()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("docker %q: %v: %s", args, err, out)
	}
	return string(out)
}

// answer is what a caller of exec sees.
type answer struct {
	stdout string
	code   int
}

func dockerExec(t *testing.T, c container, in *os.File, flags []string, script string) answer {
	t.Helper()
	args := append(append([]string{"exec"}, flags...), c.name, "sh", "-c", script)
	cmd := exec.CommandContext(limited(t), "docker", args...)
	cmd.Env = engineEnv()
	var out bytes.Buffer
	cmd.Stdin, cmd.Stdout = in, &out
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return answer{out.String(), cmd.ProcessState.ExitCode()}
}

// relayedExec is the same through this package, with nsenter for the launcher.
func (c container) relayedExec(t *testing.T, in *os.File, flags []string, script string) answer {
	t.Helper()
	s := c.stdio(t, flags)
	p := start(t, s, "nsenter", "-a", "-t", c.pid, "sh", "-c", script)
	if len(flags) == 0 {
		in = nil
	}
	r, w := localPipe(t)
	out := collect(r)
	if err := p.relay(t, Streams{In: in, Out: w, Err: w}); err != nil {
		t.Error(err)
	}
	w.Close()
	return answer{<-out, p.cmd.ProcessState.Sys().(syscall.WaitStatus).ExitStatus()}
}

func (c container) stdio(t *testing.T, flags []string) (s *Stdio) {
	t.Helper()
	root := openRoot(t, "/proc/"+c.pid+"/root")
	var err error
	if len(flags) > 0 && flags[0] == "-t" {
		s, err = NewPTY(root, Size{})
	} else {
		s, err = NewPipes(root, len(flags) > 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// inputs are the caller's standard inputs; each run takes a fresh one.
func inputs(t *testing.T, kind string) *os.File {
	r, w := localPipe(t)
	switch kind {
	case "abc":
		_, _ = w.WriteString("abc")
		w.Close()
	case "endless":
		r.Close()
		return start(t, pipes(t, false), "yes").out
	}
	return r
}

// outlive writes once the process that started it is gone: to a relay that has seen
// the exit, and that lingers.
const outlive = "echo hi; (while kill -0 $$ 2>/dev/null; do sleep 0.01; done; echo late) & exit 3"

// TestLikeDocker compares what a caller sees with docker exec. Neither waits for the
// grandchildren that sleep: they outlast every deadline.
func TestLikeDocker(t *testing.T) {
	c := realContainer(t)
	for _, test := range []struct {
		name, in string
		flags    []string
		script   string
	}{
		{"end of input", "abc", []string{"-i"}, "cat; echo end"},
		{"input not asked for", "abc", nil, "cat; echo end"},
		{"endless input", "endless", []string{"-i"}, "head -n1"},
		{"input closed", "endless", []string{"-i"}, "exec <&-; sleep 1; echo closed"},
		{"silent input", "silent", []string{"-i"}, "echo done; exit 4"},
		{"grandchild that writes", "", nil, outlive},
		{"grandchild that sleeps", "", nil, "echo hi; (sleep 1000; echo late) & exit 3"},
		{"terminal", "", []string{"-t"}, "echo out; tty | tr -d 0-9; stty -a; stat -L -c '%a %u %g %t' /proc/self/fd/0"},
		{"grandchild on a terminal", "", []string{"-t"}, "trap '' HUP; sleep 1000 & echo hi; exit 3"},
		{"streams", "silent", []string{"-i"}, "grep flags /proc/self/fdinfo/0 /proc/self/fdinfo/1 /proc/self/fdinfo/2"},
		{"no input", "", nil, "readlink /proc/self/fd/0; grep flags /proc/self/fdinfo/0; stat -L -c '%a %u %g %t %T' /proc/self/fd/0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := dockerExec(t, c, inputs(t, test.in), test.flags, test.script)
			got := c.relayedExec(t, inputs(t, test.in), test.flags, test.script)
			if got.stdout != w.stdout || got.code != w.code {
				t.Errorf("docker: %q, exit %d\nhere:   %q, exit %d", w.stdout, w.code, got.stdout, got.code)
			}
		})
	}
}

// TestUnlikeDocker is the deliberate differences.
func TestUnlikeDocker(t *testing.T) {
	c := realContainer(t)
	const script = "stat -L -c %d:%i /proc/self/fd/0; stat -c %d:%i /dev/null"
	if host := strings.Fields(dockerExec(t, c, inputs(t, ""), nil, script).stdout); host[0] == host[1] {
		t.Error("docker exec gives the container's /dev/null: then so should the documentation say")
	}
	if own := strings.Fields(c.relayedExec(t, inputs(t, ""), nil, script).stdout); own[0] != own[1] {
		t.Errorf("descriptor 0 is %s, the container's /dev/null %s", own[0], own[1])
	}
}
