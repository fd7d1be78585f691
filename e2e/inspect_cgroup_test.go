package e2e

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"dx/e2e/engine"
)

// TestInspectInitInAPart: a container has divided its cgroup, as systemd does, and its init
// is in init.scope. What dx shows is the container's, and agrees with Docker.
func TestInspectInitInAPart(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine.Engine) {
		var flags []string
		if limits(t, e) {
			flags = []string{"-m", "64m", "--memory-swap", "96m", "--pids-limit", "20"}
		}
		c := e.Run(t, engine.Busybox, flags...)
		// v1's cpuset takes nobody before it has been given processors.
		run(t, e, "sh", "-c", `find /sys/fs/cgroup -type d -name "*$0*" | while read -r dir; do
	mkdir "$dir/init.scope" && echo "$1" >"$dir/init.scope/cgroup.procs" || rmdir "$dir/init.scope"
done 2>/dev/null`, c.ID, strconv.Itoa(c.PID))
		if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", c.PID)); err != nil || !strings.Contains(string(b), "/init.scope") {
			t.Fatalf("the init is in %s, %v, want in a part of its container's cgroup", b, err)
		}
		for _, source := range []string{"engine", "host"} {
			l := dxInspect(t, e, "--source", source, c.ID)
			l.cgroupIs(t, e, c)
			l.agrees(t, e, source)
			if limits(t, e) && *l.Cgroup.Memory.Usage == 0 {
				t.Errorf("by %s: the container uses no memory", source)
			}
		}
		if r := e.Dx(t, "inspect", c.Name); !strings.Contains(r.Stdout, "/init.scope") {
			t.Errorf("inspect does not say in which part the init is:\n%s", r.Stdout)
		}
	})
}
