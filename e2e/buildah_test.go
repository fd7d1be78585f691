package e2e

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"dx/e2e/engine"
)

// TestBuildah: what a RUN of podman build has started is a container of buildah's, which has no
// name; it is listed by the ID that its runtime's state has, and entered by that.
func TestBuildah(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	p := podmanHere(t, e)
	dir, seconds := t.TempDir(), "4243"
	if err := os.WriteFile(dir+"/Containerfile", []byte("FROM app\nRUN sleep "+seconds+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	build := e.Spawn(t, slices.Concat([]string{"env"}, p.env, p.args, []string{"build", "--isolation", "oci", "--ulimit", "nofile=1000:1000", "--ulimit", "nproc=4000:4000", "--network", "none", dir})...)
	var row []string
	eventually(t, "the RUN is listed", func() bool {
		if syscall.Kill(build, 0) != nil {
			t.Fatal("podman build has ended")
		}
		r := e.Dx(t, "--source", "host", "ps", "--no-trunc", "--filter", "engine=buildah", "--format", "{{.Pid}} {{.Name}}")
		row = strings.Fields(r.Stdout)
		return len(row) == 2
	})
	t.Cleanup(func() { _ = syscall.Kill(build, syscall.SIGKILL) })
	pid, err := strconv.Atoi(row[0])
	if err != nil {
		t.Fatal(err)
	}
	line := "sleep\x00" + seconds + "\x00" // which /bin/sh -c has become
	eventually(t, "it is the RUN", func() bool {
		now, err := os.ReadFile("/proc/" + row[0] + "/cmdline")
		return err == nil && string(now) == line
	})
	if r := e.Dx(t, "--source", "host", "exec", row[1], "sh", "-c", "cat /proc/1/cmdline"); r.Code != 0 || r.Stdout != line {
		t.Errorf("exec %s: %v, want that init 1 is %q", row[1], r, line)
	}
	kill(t, pid)
}
