package e2e

import (
	"fmt"
	"testing"

	"dx/e2e/engine"
)

// TestAttackLyingFilter: an init with CAP_SYS_ADMIN makes itself filters that answer to
// setuid, capset and prctl that they succeeded. Whoever takes these filters over before
// he gives up his rights keeps them: all of the host's root, in a container whose files
// the attacker has chosen. docker exec never takes over a filter of init's.
func TestAttackLyingFilter(t *testing.T) {
	e := suite.Start(t, engine.Options{})
	look := []string{"grep", "-E", "^(Uid|Gid|Groups|Cap|NoNewPrivs)", "/proc/self/status"}
	var containers []engine.Container
	want := map[string]engine.Result{}
	users := []string{"0", "app"}
	for _, flags := range [][]string{nil, {"--security-opt", "seccomp=unconfined"}} {
		c := e.Run(t, engine.Busybox, faker(t, append(flags, "--cap-add", "SYS_ADMIN")...)...)
		awaitFilters(t, c.PID, 3-len(flags)/2)
		for _, user := range users {
			want[c.Name+user] = withDocker(t, e, c, []string{"-u", user}, look)
		}
		containers = append(containers, c)
	}
	for _, c := range containers {
		orphan(t, e, c)
	}
	for _, c := range containers {
		for _, user := range users {
			got := withDxAlone(t, e, c, []string{"-u", user}, look)
			if got != want[c.Name+user] {
				t.Errorf("-u %s: dx gives %+v\nwhere docker exec gave %+v", user, got, want[c.Name+user])
			}
		}
		r := withDxAlone(t, e, c, nil, []string{"grep", "^Seccomp", "/proc/self/status"})
		init := hostRun(t, "grep", "^Seccomp", fmt.Sprintf("/proc/%d/status", c.PID))
		if r != init {
			t.Errorf("the command has other filters than init, whose %q: %+v", init.Stdout, r)
		}
	}
}
