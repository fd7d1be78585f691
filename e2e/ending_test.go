package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"dx/e2e/await"
	"dx/e2e/engine"
)

// ending kills a container's init, which the kernel then lets wait for another process of its
// PID namespace that nobody reaps: it has left its namespaces and is no zombie.
func ending(t *testing.T, e *engine.Engine) engine.Container {
	t.Helper()
	c := e.Run(t, engine.Busybox)
	s := seconds()
	cmd := exec.Command("nsenter", "-t", strconv.Itoa(c.PID), "-p", "sleep", s)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	inside(t, "sleep "+s)
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }) // then the other's new parent reaps it
	await.Stop(t, cmd.Process.Pid)
	if err := syscall.Kill(c.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	await.Until(t, "the init has left its namespaces", func() bool {
		_, err := os.Stat(fmt.Sprintf("/proc/%d/ns/mnt", c.PID))
		return os.IsNotExist(err)
	})
	return c
}

// TestBesideOneThatIsEnding: a container that ends while dx looks hides no other, and makes
// no answer about another an error.
func TestBesideOneThatIsEnding(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	gone, c := ending(t, e), e.Run(t, engine.Busybox)
	for _, args := range []string{
		"ps", "ns", "ns NAME", "ns --procs", "ns --tree --all", "ns NET", "who PID", "who NET", "who cgroup:CGROUP/below", "who /proc/PID/cwd",
		"top --format {{.Pid}}NAME NAME", "inspect NAME", "diff NAME host", "map", "exec NAME echo NAME",
	} {
		filled := strings.NewReplacer("NAME", c.Name, "PID", strconv.Itoa(c.PID), "NET", fmt.Sprintf("net:[%d]", kernelInode(t, c.PID, "net")),
			"CGROUP", "/docker/"+c.ID).Replace(args)
		for _, source := range []string{"auto", "host"} {
			r := e.Dx(t, append([]string{"--source", source}, strings.Fields(filled)...)...)
			if r.Code != 0 && args != "diff NAME host" || !strings.Contains(r.Stdout, c.Name) || r.Stderr != "" {
				t.Errorf("dx --source %s %s beside %s, which is ending: %v, want %s and no word on stderr", source, filled, gone.Name, r, c.Name)
			}
		}
	}
}
