package e2e

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"dx/e2e/engine"
)

// TestPsIsDockerPs: the same containers, names and images, whatever their state.
func TestPsIsDockerPs(t *testing.T) {
	e := suite.Start(t, engine.Options{})
	up, paused, stopped := e.Run(t, engine.Busybox, "--label", "tier=front"), e.Run(t, engine.Busybox), e.Run(t, engine.Busybox)
	e.Create(t, engine.Busybox)
	e.MustDocker(t, "pause", paused.Name)
	e.KillContainer(t, stopped.Name)
	for _, flags := range [][]string{nil, {"-a"}, {"-a", "--filter", "status=exited"}, {"--filter", "status=paused"}, {"--filter", "label=tier=front"}, {"--filter", "label=tier=back"}, {"-a", "--filter", "name=" + up.Name}} {
		want := e.MustDocker(t, append([]string{"ps", "--no-trunc", "--format", "{{.ID}} {{.Names}} {{.Image}}"}, flags...)...)
		for _, source := range []string{"engine", "host"} {
			got := e.Dx(t, append([]string{"--source", source, "ps", "--no-trunc", "--format", "{{.ID}} {{.Name}} {{.Image}}"}, flags...)...)
			if g, w := ours(e, got.Stdout), ours(e, want.Stdout); !slices.Equal(g, w) || source == "engine" && len(lines(got.Stdout)) != len(w) {
				t.Errorf("ps %q of %s:\n%s\ndocker:\n%s", flags, source, strings.Join(g, "\n"), strings.Join(w, "\n"))
			}
		}
	}
}

// ours are the lines of this engine's containers, sorted: the host may run others.
func ours(e *engine.Engine, out string) []string {
	known := e.KnownIDs()
	list := slices.DeleteFunc(lines(out), func(l string) bool { return !slices.Contains(known, strings.Fields(l)[0]) })
	slices.Sort(list)
	return list
}

func lines(out string) []string {
	return slices.DeleteFunc(strings.Split(out, "\n"), func(l string) bool { return l == "" })
}

// TestPsTellsContradictions: Docker calls a container running whose process is
// gone, and does not know one that the kernel runs.
func TestPsTellsContradictions(t *testing.T) {
	e := suite.Start(t, engine.Options{})
	c := e.Run(t, engine.Busybox)
	containerd, err := e.ContainerdPID()
	if err != nil {
		t.Fatal(err)
	}
	status := func(flags ...string) string {
		r := timely(t, e, append(flags, "ps", "--format", "{{.Pid}} {{.Status}}", "--filter", "name="+c.Name)...)
		return strings.TrimSpace(r.Stdout)
	}
	other := suite.Engine(t, engine.Host)
	if got := status("-H", other.Host); !strings.HasPrefix(got, fmt.Sprint(c.PID, " Up")) || !strings.HasSuffix(got, "(unknown to the engine)") {
		t.Errorf("a container of another engine: %q", got)
	}
	stop(t, containerd)
	stop(t, e.PID)
	if err := syscall.Kill(c.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the container's process is gone", func() bool { return syscall.Kill(c.PID, 0) != nil })
	if got := status(); got != "0 Up (no such process)" {
		t.Errorf("a container whose process is gone: %q", got)
	}
}

// TestPsFindsOrphans: a container whose shim has died while nobody could clean up
// (moby#43491, containerd#8285). The kernel runs it on; dx sees it and gets in.
func TestPsFindsOrphans(t *testing.T) {
	e := suite.Start(t, engine.Options{})
	c := e.Run(t, engine.Busybox, "--security-opt", "seccomp=unconfined", "--label", "a=b")
	containerd, err := e.ContainerdPID()
	if err != nil {
		t.Fatal(err)
	}
	stop(t, containerd)
	stop(t, e.PID)
	if err := syscall.Kill(parentOf(t, c.PID), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	r := timely(t, e, "ps", "--no-trunc", "--format", "{{.ID}} {{.Pid}} {{.Status}}", "--filter", "name="+c.Name, "--filter", "label=a=b")
	got := strings.TrimSpace(r.Stdout)
	if !strings.HasPrefix(got, fmt.Sprintf("%s %d Up ", c.ID, c.PID)) || !strings.HasSuffix(got, "(its shim has died)") {
		t.Errorf("ps of an orphan: %v, want that it is up and its shim has died", r)
	}
	for _, ref := range []string{c.Name, c.ID[:12]} {
		r := timely(t, e, "exec", ref, "cat", "/proc/sys/kernel/hostname")
		if strings.TrimSpace(r.Stdout) != c.ID[:12] {
			t.Errorf("exec %s: %+v", ref, r)
		}
	}
}
