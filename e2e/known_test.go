package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"dx/e2e/engine"
)

// TestWhoKnowsWhatPsLists: of each container that ps lists with a process, who says that the
// process is that container's, of that engine: also of other engines', of one in containerd
// alone, of those whose shim has died, and where the engine does not answer.
func TestWhoKnowsWhatPsLists(t *testing.T) {
	e, other := suite.Start(t, engine.Options{}), suite.Engine(t, engine.V2)
	name := e.Name("twin")
	want := map[string]int{"containerd": ctr(t, e, "default", name)}
	for what, c := range map[string]engine.Container{
		"twin": runNamed(t, e, name), "other engine's": runNamed(t, other, name),
		"plain": e.Run(t, engine.Busybox), "with the host's PIDs": e.Run(t, engine.Busybox, "--pid", "host"),
	} {
		want[what] = c.PID
	}
	paused := e.Run(t, engine.Busybox)
	e.MustDocker(t, "pause", paused.Name)
	t.Cleanup(func() { e.MustDocker(t, "unpause", paused.Name) })
	want["paused"] = paused.PID
	whoKnows(t, e, "with an engine that answers", want)

	orphan, hostOrphan := e.Run(t, engine.Busybox), e.Run(t, engine.Busybox, "--pid", "host")
	want["orphan"], want["orphan with the host's PIDs"] = orphan.PID, hostOrphan.PID
	containerd, err := e.ContainerdPID()
	if err != nil {
		t.Fatal(err)
	}
	stop(t, containerd)
	kill(t, parentOf(t, orphan.PID))
	kill(t, parentOf(t, hostOrphan.PID))
	whoKnows(t, e, "where shims have died", want)
	stop(t, e.PID)
	whoKnows(t, e, "with an engine that does not answer", want, "--api-timeout", "1s")
}

// whoKnows compares who with ps, and ps with what has to be in it.
func whoKnows(t *testing.T, e *engine.Engine, when string, want map[string]int, flags ...string) {
	t.Helper()
	for _, source := range []string{"auto", "host"} {
		type row struct {
			Engine, ID, Name string
			Pid              int
		}
		global := append([]string{"--source", source}, flags...)
		r := e.Dx(t, append(global, "ps", "--format", "json")...)
		rows := map[string]row{}
		args := slices.Clone(global)
		for _, line := range lines(r.Stdout) {
			var p row
			if err := json.Unmarshal([]byte(line), &p); err != nil {
				t.Fatalf("%v in %s", err, line)
			}
			if p.Pid != 0 {
				arg := fmt.Sprintf("pid:%d", p.Pid)
				rows[arg] = p
				args = append(args, arg)
			}
		}
		for what, pid := range want {
			if _, ok := rows[fmt.Sprintf("pid:%d", pid)]; !ok {
				t.Errorf("%s, source %s: ps lacks %s (pid %d)\n%s%s", when, source, what, pid, r.Stdout, r.Stderr)
			}
		}
		got, who := dxWho(t, e, args...)
		answers := map[string][]whoLine{}
		for _, l := range got {
			answers[l.Arg] = append(answers[l.Arg], l)
		}
		for arg, p := range rows {
			a := answers[arg]
			if len(a) != 1 || a[0].ID != p.ID || a[0].Engine != p.Engine || a[0].Name != p.Name || !strings.HasPrefix(a[0].How, "its init") {
				t.Errorf("%s, source %s: of %s ps says %+v, who %+v\n%s", when, source, arg, p, a, who.Stderr)
			}
		}
	}
}
