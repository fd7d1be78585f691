package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"dx/e2e/engine"
)

// TestToolbox: dx in a container with the host's PIDs, Docker's socket and some of root's
// rights. It goes as far as these go, and says which one is missing.
func TestToolbox(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine.Engine) {
		c := e.Run(t, engine.Busybox)
		inside := strings.Split(e.MustDocker(t, "exec", c.Name, "stat", "-L", "-c", "%i", "/proc/self/ns/mnt", "/proc/self/ns/pid", "/proc/self/ns/net").Stdout, "\n")
		box := func(t *testing.T, flags ...string) func(args ...string) engine.Result {
			b := e.Run(t, engine.Busybox, slices.Concat([]string{
				"--pid", "host", "-v", e.DxPath(t) + ":/dx:ro", "-v", strings.TrimPrefix(e.Host, "unix://") + ":/docker.sock",
				"--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined",
			}, flags)...)
			return func(args ...string) engine.Result {
				return e.Docker(t, slices.Concat([]string{"exec", b.Name, "/dx", "-H", "unix:///docker.sock", "--api-timeout", "20s"}, args)...)
			}
		}
		enters := func(t *testing.T, r engine.Result) {
			t.Helper()
			if got := strings.Split(r.Stdout, "\n"); r.Code != 0 || r.Stderr != "" || !slices.Equal(got, inside) {
				t.Errorf("%v, want the namespaces that docker exec is in: %q", r, inside)
			}
		}
		refuses := func(t *testing.T, r engine.Result, code int, why string) {
			t.Helper()
			if r.Code != code || r.Stdout != "" || !strings.Contains(r.Stderr, why) {
				t.Errorf("%v, want exit code %d and %q", r, code, why)
			}
		}
		where := []string{c.Name, "stat", "-L", "-c", "%i", "/proc/self/ns/mnt", "/proc/self/ns/pid", "/proc/self/ns/net"}
		exec := func(flags ...string) []string { return slices.Concat([]string{"exec"}, flags, where) }
		running := func(t *testing.T, dx func(...string) engine.Result) {
			t.Helper()
			for _, source := range []string{"engine", "host"} {
				r := dx("--source", source, "ps", "--filter", "name="+c.Name, "--format", "{{.Pid}} {{.Status}}")
				if want := fmt.Sprint(c.PID, " Up "); r.Code != 0 || !strings.HasPrefix(r.Stdout, want) || strings.Contains(r.Stdout, "(") {
					t.Errorf("ps by %s: %v, want %q…", source, r, want)
				}
			}
		}
		t.Run("no cgroups", func(t *testing.T) {
			dx := box(t, "--cap-add", "SYS_ADMIN", "--cap-add", "SYS_PTRACE")
			running(t, dx)
			enters(t, dx(exec("--no-cgroup")...))
			if r := dx(exec("--no-cgroup", "--debug")...); !strings.Contains(r.Stderr, "timer slack, which takes CAP_SYS_NICE") {
				t.Errorf("--debug without CAP_SYS_NICE: %v, want a word on the timer slack", r)
			}
			refuses(t, dx(exec()...), 125, "--no-cgroup")
		})
		t.Run("cgroups", func(t *testing.T) {
			// Where the hierarchies are mounted as on the host.
			dx := box(t, "--cap-add", "SYS_ADMIN", "--cap-add", "SYS_PTRACE", "--cgroupns", "host", "-v", "/sys/fs/cgroup:/sys/fs/cgroup")
			enters(t, dx(exec()...))
			r := dx("exec", c.Name, "cat", "/proc/self/cgroup")
			if want := e.MustDocker(t, "exec", c.Name, "cat", "/proc/self/cgroup").Stdout; r.Stdout != want {
				t.Errorf("cgroups of dx exec: %v, of docker exec: %q", r, want)
			}
		})
		t.Run("no CAP_SYS_ADMIN", func(t *testing.T) {
			dx := box(t, "--cap-add", "SYS_PTRACE")
			running(t, dx)
			refuses(t, dx(exec("--no-cgroup")...), 125, "CAP_SYS_ADMIN is missing")
		})
		t.Run("a capability of the container's less", func(t *testing.T) {
			dx := box(t, "--cap-add", "SYS_ADMIN", "--cap-add", "SYS_PTRACE", "--cap-drop", "NET_RAW")
			refuses(t, dx(exec("--no-cgroup")...), 1, "lacks CAP_NET_RAW")
			enters(t, dx(exec("--no-cgroup", "--ignore-caller-limits")...))
		})
		t.Run("no CAP_SYS_PTRACE", func(t *testing.T) {
			dx := box(t)
			r := dx("ps", "--filter", "name="+c.Name, "--format", "{{.Status}}")
			if !strings.Contains(r.Stdout, "(unverified)") || !strings.Contains(r.Stderr, "CAP_SYS_PTRACE") {
				t.Errorf("ps: %v, want what the engine says, marked unverified, and the capability that is missing", r)
			}
			r = dx("--source", "host", "ps", "-q")
			if r.Code == 0 || r.Stdout != "" || !strings.Contains(r.Stderr, "without CAP_SYS_PTRACE") || strings.Contains(r.Stderr, "sudo") {
				t.Errorf("ps --source host: %v, want no success, and the capability that is missing", r)
			}
			refuses(t, dx(exec("--no-cgroup")...), 125, "without CAP_SYS_PTRACE")
		})
	})
}
