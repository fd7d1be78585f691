package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"dx/e2e/engine"
)

// owned is a process, and whose it is by the way in which it was started.
type owned struct {
	how   string
	pid   int
	owner engine.Container // zero: nobody's
	// joins says that it has the container's posture, and not one of its own: an exec into
	// pid:N has its environment.
	joins bool
}

// TestWhoseIsAgreed: who, top, ns, exec of pid:N and doctor say the same of whose a process
// is, and what docker and the way in which it was started say.
func TestWhoseIsAgreed(t *testing.T) {
	e := suite.Start(t, engine.Options{}) // doctor's part stops it
	containers, list := population(t, e)
	whoAgrees(t, e, list)
	topAgrees(t, e, containers, list)
	nsAgrees(t, e, list)
	execAgrees(t, e, list)
	doctorAgrees(t, e, list)
}

// named runs a container that says its own name.
func named(t *testing.T, e *engine.Engine, flags ...string) engine.Container {
	t.Helper()
	name := e.Name("whose")
	c := e.Run(t, engine.Busybox, append(flags, "-e", "WHOSE="+name, "--label", "whose="+name)...)
	return c
}

// population starts containers, and processes in them by all ways.
func population(t *testing.T, e *engine.Engine) (containers []engine.Container, list []owned) {
	t.Helper()
	web := named(t, e, sandboxing...)
	host := named(t, e, "--pid", "host")
	guest := named(t, e, "--pid", "container:"+web.Name)
	containers = []engine.Container{web, host, guest}
	for _, c := range containers {
		list = append(list, owned{"init", c.PID, c, true})
		s := seconds()
		e.MustDocker(t, "exec", "-d", c.Name, "sleep", s)
		list = append(list, owned{"docker exec", inside(t, "sleep "+s), c, true})
		s = seconds()
		if r := e.Dx(t, "exec", "-d", c.Name, "sleep", s); r.Code != 0 {
			t.Fatalf("dx exec -d: %v", r)
		}
		// In the host's PID namespace no shim is above it, and its cgroup alone is no proof.
		list = append(list, owned{"dx exec", inside(t, "sleep "+s), c, c != host})
		list = append(list, owned{"nsenter -m", joined(t, c, "-m"), c, false})
	}
	list = append(list,
		owned{"nsenter -m -p", joined(t, web, "-m", "-p"), web, false},
		owned{"nsenter -p", joined(t, web, "-p"), web, false},
		owned{"nsenter -m -p into a guest", joined(t, guest, "-m", "-p"), guest, false},
	)
	s := seconds()
	e.MustDocker(t, "exec", "-d", web.Name, "unshare", "-p", "-m", "-f", "sleep", s)
	list = append(list, owned{"unshare -p -m in it", inside(t, "sleep "+s), web, false})
	if base, ok := ownV1Cgroup(t, web); ok {
		nested := named(t, e, "--cgroup-parent", base) // v2 allows no processes in an inner cgroup
		containers = append(containers, nested)
		list = append(list, owned{"init of one in its cgroup", nested.PID, nested, true})
	}
	sleep := exec.Command("sleep", seconds())
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sleep.Process.Kill(); _ = sleep.Wait() })
	return containers, append(list, owned{how: "of the host", pid: sleep.Process.Pid})
}

// ownV1Cgroup is a container's cgroup, the same in each hierarchy of v1.
func ownV1Cgroup(t *testing.T, c engine.Container) (string, bool) {
	t.Helper()
	for _, line := range cgroupLines(t, c.PID, c.ID) {
		if f := strings.SplitN(line, ":", 3); f[1] == "memory" {
			return f[2], true
		}
	}
	return "", false
}

// whoAgrees also asks each way to find the containers.
func whoAgrees(t *testing.T, e *engine.Engine, list []owned) {
	t.Helper()
	var args []string
	for _, o := range list {
		args = append(args, fmt.Sprintf("pid:%d", o.pid))
	}
	for _, source := range []string{"engine", "host"} {
		got, r := dxWho(t, e, append([]string{"--source", source}, args...)...)
		ids := map[string]string{}
		for _, l := range got {
			ids[l.Arg] += l.ID
		}
		for i, o := range list {
			if ids[args[i]] != o.owner.ID {
				t.Errorf("who, source %s: %s (pid %d) is of %q, want %s %q\n%s", source, o.how, o.pid, ids[args[i]], o.owner.Name, o.owner.ID, r.Stderr)
			}
		}
	}
}

// topAgrees: a container's processes are its own, and those of one within its cgroup, as
// docker top has them too.
func topAgrees(t *testing.T, e *engine.Engine, containers []engine.Container, list []owned) {
	t.Helper()
	for _, c := range containers {
		got := dxTop(t, e, c.ID)
		for _, row := range lines(e.MustDocker(t, "top", c.Name, "-o", "pid").Stdout)[1:] {
			if pid, _ := strconv.Atoi(strings.TrimSpace(row)); got[pid].Pid == 0 {
				t.Errorf("top %s lacks %d, which docker top has", c.Name, pid)
			}
		}
		for _, o := range list {
			_, shown := got[o.pid]
			within := o.owner.ID != "" && slices.ContainsFunc(cgroupsOf(t, o.pid), func(path string) bool { return strings.Contains(path, c.ID) })
			if want := o.owner.ID == c.ID || within; shown != want {
				t.Errorf("top %s: %s (pid %d) of %q is shown: %v, want %v", c.Name, o.how, o.pid, o.owner.Name, shown, want)
			}
		}
	}
}

func cgroupsOf(t *testing.T, pid int) []string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		t.Fatal(err)
	}
	return lines(string(b))
}

func nsAgrees(t *testing.T, e *engine.Engine, list []owned) {
	t.Helper()
	names := map[int]string{}
	for _, s := range dxSpaces(t, e, "--procs") {
		for _, p := range s.Processes {
			if was, ok := names[p.Pid]; ok && was != p.Container {
				t.Errorf("ns: %d is of %q and of %q", p.Pid, was, p.Container)
			}
			names[p.Pid] = p.Container
		}
	}
	for _, o := range list {
		if names[o.pid] != o.owner.Name {
			t.Errorf("ns: %s (pid %d) is of %q, want %q", o.how, o.pid, names[o.pid], o.owner.Name)
		}
	}
}

// execAgrees: exec of pid:N has the environment of that container, and of no other. A
// process that has a posture of its own gives that, and no container's environment.
func execAgrees(t *testing.T, e *engine.Engine, list []owned) {
	t.Helper()
	for _, o := range list {
		if o.owner.ID == "" {
			continue // of the host's mount namespace: refused
		}
		r := e.Dx(t, "exec", fmt.Sprintf("pid:%d", o.pid), "sh", "-c", `echo "$WHOSE"`)
		got, want := strings.TrimSpace(r.Stdout), ""
		if o.joins {
			want = labelled(t, e, o.owner)
		}
		if got != want {
			t.Errorf("exec pid:%d (%s of %s): WHOSE=%q, want %q: %+v", o.pid, o.how, o.owner.Name, got, want, r)
		}
	}
}

func labelled(t *testing.T, e *engine.Engine, c engine.Container) string {
	t.Helper()
	return inspected(t, e, c.ID, `{{index .Config.Labels "whose"}}`)
}

// doctorAgrees: doctor asks whose a process is where Docker's files name it as the init of a
// container that has none. Here they name each in turn, while dockerd is stopped.
func doctorAgrees(t *testing.T, e *engine.Engine, list []owned) {
	t.Helper()
	claims := map[string]owned{}
	for _, o := range list {
		claims[e.Create(t, engine.Busybox).ID] = o
	}
	stop(t, e.PID)
	undo := map[string][]byte{}
	for id, o := range claims {
		file := e.Dir + "/data/containers/" + id + "/config.v2.json"
		undo[file] = claimPID(t, file, o.pid)
	}
	report, _ := examine(t, e, "--timeout", "10s")
	for file, b := range undo {
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for id, o := range claims {
		want := fmt.Sprintf(`pid %d is "[^"]*" of the host`, o.pid)
		if o.owner.ID != "" {
			want = fmt.Sprintf(`pid %d is "[^"]*" of container %s`, o.pid, o.owner.ID)
		}
		if !slices.ContainsFunc(report.Findings, func(f doctorFinding) bool {
			return f.ID == id && regexp.MustCompile(want).MatchString(strings.Join(f.Evidence, "\n"))
		}) {
			t.Errorf("doctor of %s (pid %d): no evidence %q in %+v", o.how, o.pid, want, findingsOf(report, id))
		}
	}
}

func findingsOf(r doctorReport, id string) (out []doctorFinding) {
	for _, f := range r.Findings {
		if f.ID == id {
			out = append(out, f)
		}
	}
	return out
}

// claimPID makes Docker's file of a container call it running, as that process, and returns
// what it was.
func claimPID(t *testing.T, file string, pid int) []byte {
	t.Helper()
	was, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var config map[string]any
	if err := json.Unmarshal(was, &config); err != nil {
		t.Fatal(err)
	}
	state, ok := config["State"].(map[string]any)
	if !ok {
		t.Fatalf("%s has no State", file)
	}
	state["Running"], state["Pid"] = true, pid
	b, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return was
}
