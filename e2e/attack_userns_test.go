package e2e

import (
	"slices"
	"strings"
	"testing"

	"dx/e2e/engine"
)

// TestAttackUserNamespaceWithHostPIDs: the init of a container that has the host's PIDs
// has made a user namespace. Its maker is root, as is who runs dx exec --ns user; but so
// is the root of each container without a user namespace, who has all capabilities over
// what is in there (user_namespaces(7)) and goes through the command's root to the
// host's files, with no capability of his own that would let him.
func TestAttackUserNamespaceWithHostPIDs(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	const seconds = "313375"
	steal := "for i in $(seq 100); do for p in /proc/[0-9]*; do [ \"$(tr '\\0' ' ' <$p/cmdline)\" = 'sleep " + seconds + " ' ] && " +
		"cat $p/root" + secretDirectory(t) + "/secret && exit; done; sleep 0.1; done"
	left := []string{"--security-opt", "seccomp=unconfined"}
	leave := []string{"unshare", "-U", "-r", "sleep", "100000"}
	for _, test := range []struct {
		name    string
		target  []string // the flags of the container that has left for a user namespace
		another bool     // another container attacks
	}{
		{"its own", append([]string{"--pid", "host"}, left...), false},
		{"another container", left, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := runLeaver(t, e, test.target, leave)
			attacker := c
			if test.another {
				attacker = e.Run(t, engine.Busybox, "--pid", "host")
			}
			flags := []string{"exec", "--ns", "user"}
			r := e.Dx(t, slices.Concat(flags, []string{c.Name, "true"})...)
			if r.Code != 125 || !strings.Contains(r.Stderr, "--expose-host") {
				t.Errorf("not refused: %+v", r)
			}
			e.Spawn(t, slices.Concat(e.DxArgs(t), flags, []string{c.Name, "sleep", seconds})...)
			if r := e.Docker(t, "exec", attacker.Name, "sh", "-c", steal); strings.Contains(r.Stdout, hostSecret) {
				t.Errorf("the container reads the host's files: %+v", r)
			}
		})
	}
}

// runLeaver runs a container whose init leaves for a user namespace of its own.
func runLeaver(t *testing.T, e *engine.Engine, flags, command []string) engine.Container {
	t.Helper()
	c := engine.Container{Name: e.Name("c")}
	e.MustDocker(t, slices.Concat([]string{"run", "-d", "--name", c.Name, "--network", "none"}, flags, []string{engine.Busybox}, command)...)
	t.Cleanup(func() { e.MustDocker(t, "rm", "-f", c.Name) })
	eventually(t, "init has left", func() bool {
		return strings.Contains(e.Docker(t, "exec", c.Name, "sh", "-c", "cat /proc/[0-9]*/setgroups").Stdout, "deny")
	})
	return c
}
