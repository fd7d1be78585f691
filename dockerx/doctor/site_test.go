package doctor

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"dx/dockerx/docker"
	"dx/dockerx/engine"
	"dx/dockerx/host"
	"dx/e2e/fakeengine"
)

// fakeContainer is one that an engine says has run for an hour.
func fakeContainer(digits, name string, pid int) fakeengine.Container {
	c := fakeengine.Running(strings.Repeat(digits, 32), name, pid)
	c.State["StartedAt"] = time.Now().Add(-time.Hour).Format(time.RFC3339)
	return c
}

// instead is an engine that answers when it is asked about one container.
func instead(answer http.HandlerFunc) *fakeengine.Engine {
	return &fakeengine.Engine{
		Containers: []fakeengine.Container{fakeContainer("a1", "web", 0)},
		Instead: func(w http.ResponseWriter, r *http.Request) bool {
			if strings.HasSuffix(r.URL.Path, "/containers/json") || !strings.HasSuffix(r.URL.Path, "/json") {
				return false
			}
			answer(w, r)
			return true
		},
	}
}

// served is the socket of an engine that this process serves: its PIDs are whatever a
// test wants.
func served(t *testing.T, e *fakeengine.Engine) (socket string) {
	t.Helper()
	return strings.TrimPrefix(fakeengine.Serve(t, e), "unix://")
}

// TestExamineAnotherKernelsEngine: what passes on the answers of an engine elsewhere
// names processes that mean nothing here. Nothing is called missing.
func TestExamineAnotherKernelsEngine(t *testing.T) {
	e := &fakeengine.Engine{Containers: []fakeengine.Container{fakeContainer("a1", "web", os.Getpid()), fakeContainer("b2", "db", 1<<22)}}
	_, r := examine(t, served(t, e), answers)
	if r.Status != "healthy" || r.Engine.Doubt == "" || r.Engine.Running != 2 || !has(r, unchecked, 0) {
		t.Errorf("%s, %+v, %+v", r.Status, r.Engine, r.Findings)
	}
	for _, s := range r.Verdict.Next {
		if s.Changes {
			t.Errorf("advice without a fault: %+v", s)
		}
	}
}

// TestExamineDockerd: a dockerd of this host is held against the kernel.
func TestExamineDockerd(t *testing.T) {
	somebody := startSleep(t)
	gone, other := fakeContainer("a1", "gone", 1<<22), fakeContainer("b2", "other", somebody.Pid)
	socket, execRoot, dockerd := startDockerd(t, gone, other)
	p, r := examine(t, socket, answers)
	if r.Engine.Doubt != "" {
		t.Skipf("this test's processes do not count here: %s", r.Engine.Doubt)
	}
	if r.Engine.ExecRoot != execRoot || r.Engine.Process != "dockerd" || r.Engine.PID != dockerd.Pid {
		t.Errorf("%+v, want dockerd with exec root %s", r.Engine, execRoot)
	}
	if !has(r, noProcess, 0) || !has(r, pidRecycled, somebody.Pid) {
		t.Errorf("%+v, want a container without a process, and a PID that is somebody else's", r.Findings)
	}
	if dumps := p.Dump(t.Context()); len(dumps) != 1 || dumps[0].Error != "" || dumps[0].Goroutines == 0 {
		t.Errorf("%+v, want the goroutines of dockerd", dumps)
	}
}

// TestExamineLock: an inspect that never returns is a held lock, unless the container is
// being started again.
func TestExamineLock(t *testing.T) {
	for name, test := range map[string]struct {
		states []string
		want   Kind
	}{
		"held":       {nil, containerLock},
		"restarting": {[]string{"restarting"}, restartLoop},
		"between":    {[]string{"running", "exited"}, restartLoop},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // each waits as long as doctor waits for a late answer
			e := instead(fakeengine.Hung)
			e.States = test.states
			_, r := examine(t, served(t, e), mute)
			i := slices.IndexFunc(r.Findings, func(g Finding) bool { return g.Severity > Note && g.Container != "" })
			if i < 0 || r.Findings[i].Kind != test.want {
				t.Errorf("%+v, want %s", r.Findings, test.want)
			}
		})
	}
}

// TestExamineFailingInspect: an answer that is none is no held lock.
func TestExamineFailingInspect(t *testing.T) {
	for body, code := range map[string]int{"{": 200, `{"message":"broken"}`: 500} {
		e := instead(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			fmt.Fprint(w, body)
		})
		_, r := examine(t, served(t, e), answers)
		if !has(r, engineRefuses, 0) || has(r, containerLock, 0) {
			t.Errorf("%q: %+v, want a refusal", body, r.Findings)
		}
	}
}

func TestLifeFindings(t *testing.T) {
	now := time.Now()
	for name, test := range map[string]struct {
		change func(*docker.Container)
		want   []Kind
	}{
		"it has always run": {func(*docker.Container) {}, nil},
		"24 restarts, and up for a moment": {func(d *docker.Container) {
			d.RestartCount, d.State.StartedAt = 24, now.Add(-time.Second)
		}, []Kind{restartLoop}},
		"24 restarts, between two":       {func(d *docker.Container) { d.RestartCount, d.State.Restarting = 24, true }, []Kind{restartLoop}},
		"24 restarts, and up for a week": {func(d *docker.Container) { d.RestartCount, d.State.StartedAt = 24, now.Add(-168*time.Hour) }, []Kind{info}},
		"given up":                       {func(d *docker.Container) { d.RestartCount, d.State.Running = 5, false }, []Kind{info}},
		"two restarts":                   {func(d *docker.Container) { d.RestartCount, d.State.StartedAt = 2, now }, nil},
		"killed for memory, and ended":   {func(d *docker.Container) { d.State.OOMKilled, d.State.Running = true, false }, []Kind{info}},
		"killed for memory, again and again": {func(d *docker.Container) {
			d.State.OOMKilled, d.State.Restarting, d.RestartCount = true, true, 4
		}, []Kind{restartLoop, oomKilled}},
	} {
		d := &docker.Container{ID: "w", Name: "web"}
		d.State.Running = true
		test.change(d)
		var got []Kind
		for _, f := range lifeFindings(d, now) {
			got = append(got, f.Kind)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

func TestTraceOfDocker(t *testing.T) {
	program := &fstest.MapFile{Mode: 0o755}
	for want, root := range map[string]fstest.MapFS{
		"":                           {"usr/bin/podman": program, "var/lib/containers/storage": {Mode: os.ModeDir | 0o700}},
		"/usr/sbin/dockerd":          {"usr/sbin/dockerd": program},
		"/snap/bin/dockerd":          {"snap/bin/dockerd": program},
		"/var/lib/docker/containers": {"var/lib/docker/containers": {Mode: os.ModeDir | 0o700}},
	} {
		if got := traceOfDocker(root); got != want {
			t.Errorf("%v: %q, want %q", root, got, want)
		}
	}
	if got := traceOfDocker(fstest.MapFS{"usr/bin/dockerd": {Mode: os.ModeDevice | 0o777}}); got != "" {
		t.Errorf("a device is taken for a program: %q", got)
	}
}

func TestOtherManagers(t *testing.T) {
	of := func(ns string) container {
		return container{found: host.FoundBy(host.Engine{Namespace: ns}, "x", nil, 1)}
	}
	dockers := container{found: host.FoundBy(host.Engine{Docker: true}, "x", nil, 1)}
	podmans := container{found: host.FoundBy(host.Engine{Manager: "podman"}, "x", nil, 1)}
	for want, test := range map[string]struct {
		list     []container
		monitors int
	}{
		"no other engine's containers were found":                                  {nil, 0},
		"containerd:default runs 1 container, containerd:k8s.io runs 2 containers": {[]container{of("k8s.io"), of("default"), of("k8s.io")}, 0},
		"podman or CRI-O runs 3 containers (conmon)":                               {[]container{dockers}, 3},
		"podman runs 1 container":                                                  {[]container{podmans}, 1},
		"podman runs 1 container, podman or CRI-O runs 1 container (conmon)":       {[]container{podmans}, 2},
	} {
		if got := otherManagers(test.list, test.monitors); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestHealthyIsOneLine: and claims no more than was looked at.
func TestHealthyIsOneLine(t *testing.T) {
	for want, findings := range map[string][]Finding{
		"nothing is stuck: the engine answers, 2 containers run":                          nil,
		"nothing is stuck: the engine answers, 2 containers run, as far as dx could look": {found(unchecked, "x")},
		"no dockerd here: nothing": {found(noDocker, "no dockerd here: nothing")},
	} {
		v, severity := Diagnose(findings, Engine{Running: 2, root: true})
		if v.Sentence != want || severity != Note || len(v.Next) > 0 {
			t.Errorf("%+v, want %q and no steps for root", v, want)
		}
	}
	v, _ := Diagnose([]Finding{found(unchecked, "x")}, Engine{Host: "unix:///a b"})
	if len(v.Next) != 1 || v.Next[0].Command != "sudo dx doctor -H 'unix:///a b'" {
		t.Errorf("a plain user is advised %+v", v.Next)
	}
}

// TestAdviceNamesTheEngine: a command of docker's asks the engine that was examined.
func TestAdviceNamesTheEngine(t *testing.T) {
	for _, k := range order {
		v, _ := Diagnose([]Finding{example(k)}, Engine{Host: "unix:///run/other.sock", PID: 12})
		for _, s := range v.Next {
			if strings.HasPrefix(s.Command, "docker ") && !strings.HasPrefix(s.Command, "docker -H unix:///run/other.sock ") {
				t.Errorf("%s: %q asks the usual engine", k, s.Command)
			}
			if strings.Contains(s.Command, "rm -f") {
				t.Errorf("%s: %q removes what its user may want back", k, s.Command)
			}
		}
	}
}

func TestRunnableIn(t *testing.T) {
	for text, want := range map[string]int{"0.31 0.40 0.22 5/812 12345\n": 5, "": 0, "a b c d": 0} {
		if got, ok := runnableIn(text); got != want || ok != (want > 0) {
			t.Errorf("%q: %d %v, want %d", text, got, ok, want)
		}
	}
}

// TestAbsenceOfNamedEngine: only the default socket's absence means that there may be no Docker.
func TestAbsenceOfNamedEngine(t *testing.T) {
	p := &Examination{address: engine.Address{Host: "unix:///nosuch.sock", Origin: "--host"}}
	if f := p.socket(t.Context()); len(f) != 1 || f[0].Kind != dockerdAbsent {
		t.Errorf("%+v, want an absent dockerd", f)
	}
}
