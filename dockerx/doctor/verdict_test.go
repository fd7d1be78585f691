package doctor

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"dx/nsops/escape"
)

// example is a finding of a kind as a probe would make it.
func example(kind Kind) Finding {
	f := found(kind, "it is %s", kind).pid(4242).path("/some/where")
	switch catalogue()[kind].layer {
	case LayerLock, LayerShim, LayerContainer, LayerRuntime, LayerRecords:
		f = f.of(container{ID: strings.Repeat("a1", 32), Name: "web"})
	}
	return f
}

func TestCatalogueIsWhole(t *testing.T) {
	if len(order) != len(catalogue()) {
		t.Errorf("%d kinds are in order, %d in the catalogue", len(order), len(catalogue()))
	}
	for i, k := range order {
		e, ok := catalogue()[k]
		if !ok || e.layer == "" || e.sure == "" {
			t.Errorf("%s has no entry", k)
		}
		if slices.Index(order, k) != i {
			t.Errorf("%s is in order twice", k)
		}
		for _, c := range e.causes {
			if _, ok := catalogue()[c]; !ok || c == k {
				t.Errorf("%s cannot be a cause of %s", c, k)
			}
		}
	}
}

// TestEachKindAlone: its own layer, its own severity, and steps that can be taken.
func TestEachKindAlone(t *testing.T) {
	for _, k := range order {
		f := example(k)
		v, severity := Diagnose([]Finding{f}, Engine{PID: 12, ContainerdPID: 13})
		if severity != f.Severity {
			t.Errorf("%s: severity %s, want %s", k, severity, f.Severity)
		}
		if f.Severity == Note {
			if v.Layer != "" || v.Cause != nil {
				t.Errorf("%s is only a note, and the verdict blames %s", k, v.Layer)
			}
			continue
		}
		if v.Layer != f.Layer || v.Cause == nil || v.Cause.Kind != k || v.Confidence != catalogue()[k].sure || len(v.Also) > 0 {
			t.Errorf("the verdict on %s alone is %+v, want it as the cause, and nothing else", k, v)
		}
		checkSteps(t, string(k), v)
	}
}

// checkSteps: what changes nothing comes first, and no command names pid 0.
func checkSteps(t *testing.T, what string, v Verdict) {
	t.Helper()
	if len(v.Next) == 0 || v.Next[0].Changes {
		t.Errorf("%s: no safe step comes first: %+v", what, v.Next)
	}
	changing := false
	for _, s := range v.Next {
		if changing && !s.Changes {
			t.Errorf("%s: a safe step after one that changes something: %+v", what, v.Next)
		}
		changing = changing || s.Changes
		for _, bad := range []string{"kill 0", "-CONT 0", "-KILL 0", "/proc/0/", "  "} {
			if strings.Contains(s.Command+" ", bad+" ") || strings.Contains(s.Command, "/proc/0/") {
				t.Errorf("%s: the advice %q lacks a number or a name", what, s.Command)
			}
		}
		if s.Why == "" {
			t.Errorf("%s: a step without a reason: %+v", what, s)
		}
	}
}

// TestEachPair: of any two findings, in any order, the gravest counts; the verdict
// blames one of them, and what it does not explain is told beside it.
func TestEachPair(t *testing.T) {
	for _, a := range order {
		for _, b := range order {
			fa, fb := example(a), example(b)
			v, severity := Diagnose([]Finding{fa, fb}, Engine{PID: 12})
			back, severityBack := Diagnose([]Finding{fb, fa}, Engine{PID: 12})
			if severity != severityBack || !reflect.DeepEqual(v, back) {
				t.Errorf("%s and %s: the order of findings matters", a, b)
			}
			if severity != max(fa.Severity, fb.Severity) {
				t.Errorf("%s and %s: %s", a, b, severity)
			}
			if severity == Note {
				continue
			}
			if v.Cause.Kind != a && v.Cause.Kind != b {
				t.Errorf("%s and %s: blames %s", a, b, v.Cause.Kind)
			}
			// The lesser is blamed only as a cause of the graver.
			if v.Cause.Severity < severity {
				graver := a
				if fb.Severity > fa.Severity {
					graver = b
				}
				if !slices.Contains(catalogue()[graver].causes, v.Cause.Kind) {
					t.Errorf("%s and %s: blames %s, which cannot be the cause", a, b, v.Cause.Kind)
				}
			}
			if !slices.ContainsFunc(v.Next, func(s Step) bool { return !s.Changes }) {
				t.Errorf("%s and %s: no safe step", a, b)
			}
		}
	}
}

func TestVerdicts(t *testing.T) {
	web, db := container{ID: "w", Name: "web"}, container{ID: "d", Name: "db"}
	for name, test := range map[string]struct {
		findings []Finding
		kind     Kind
		sure     Confidence
		also     int
	}{
		"a lock is held as the shim is stopped": {
			[]Finding{found(containerLock, "lock").of(web), found(shimSilent, "silent").of(web), found(shimRole.is(stopped), "stopped").of(web), found(tasksSilent, "tasks")},
			shimRole.is(stopped), Certain, 0},
		"another container's shim explains no lock": {
			[]Finding{found(containerLock, "lock").of(web), found(shimRole.is(stopped), "stopped").of(db)}, shimRole.is(stopped), Certain, 1},
		"a stopped dockerd explains its silence": {
			[]Finding{found(dockerdSilent, "silent"), found(listSilent, "list"), found(backlogFull, "full"), found(dockerdRole.is(stopped), "stopped")}, dockerdRole.is(stopped), Certain, 0},
		"containerd and its shims": {
			[]Finding{found(containerdSilent, "silent"), found(containerdRole.is(stopped), "stopped"), found(containerLock, "lock").of(web)}, containerdRole.is(stopped), Certain, 0},
		"a full disk may be why dockerd is silent": {
			[]Finding{found(dockerdSilent, "silent"), found(storageFull, "full"), found(containerFrozen, "frozen").of(web)}, storageFull, Likely, 1},
		"a mount below a blocked dockerd": {
			[]Finding{found(dockerdSilent, "silent"), found(dockerdRole.is(blocked), "blocked"), found(mountSilent, "mount")}, mountSilent, Likely, 0},
		"a frozen container explains nothing of dockerd": {
			[]Finding{found(dockerdSilent, "silent"), found(containerFrozen, "frozen").of(web)}, dockerdSilent, Guess, 1},
		"a zombie whose shim is stopped": {
			[]Finding{found(initZombie, "zombie").of(web), found(noProcess, "no process").of(web), found(shimRole.is(stopped), "stopped").of(web)}, shimRole.is(stopped), Certain, 0},
		"two troubles": {
			[]Finding{found(containerFrozen, "frozen").of(web), found(storageFull, "full")}, storageFull, Certain, 1},
	} {
		v, _ := Diagnose(test.findings, Engine{})
		if v.Cause == nil || v.Cause.Kind != test.kind || v.Confidence != test.sure || len(v.Also) != test.also {
			t.Errorf("%s: the verdict is %+v, want %s, %s, and %d more", name, v, test.kind, test.sure, test.also)
		}
	}
}

// TestRestartSaysItsCost: with live-restore, without, under systemd, by hand.
func TestRestartSaysItsCost(t *testing.T) {
	for want, e := range map[string]Engine{
		"restart dockerd: containers live on (--live-restore) systemctl restart docker.service":         {PID: 7, Process: "dockerd", Unit: "docker.service", LiveRestore: true},
		"restart dockerd: all containers are stopped (no --live-restore) systemctl restart snap.docker": {PID: 7, Unit: "snap.docker"},
	} {
		v, _ := Diagnose([]Finding{found(dockerdRole.is(stopped), "stopped").pid(7)}, e)
		if last := v.Next[len(v.Next)-1]; last.Why+" "+last.Command != want {
			t.Errorf("%+v, want %s", last, want)
		}
	}
}

// TestCommandsAreQuoted: whatever a container, a path or a unit is called, no step has
// it in a command but as one word that is no option.
func TestCommandsAreQuoted(t *testing.T) {
	const evil = "web;touch${IFS}/tmp/pwned;#'\n\x1b"
	for kind := range catalogue() {
		for _, f := range []Finding{
			{Kind: kind, Container: evil, ID: evil, PID: 7, Path: "/" + evil, Abort: "/" + evil},
			{Kind: kind, Container: "--" + evil, ID: "-" + evil, PID: 7, Path: "/" + evil, Abort: "/" + evil},
			{Kind: kind, Layer: LayerDockerd, Path: "/" + evil + "freezer.state"},
		} {
			for _, s := range steps(f, Engine{Host: "unix:///" + evil, Unit: evil, ContainerdUnit: evil, PID: 8}) {
				rest := s.Command
				for _, word := range []string{evil, evil[:12], "/" + evil, "/" + evil + "freezer.state", "unix:///" + evil, "host:/" + evil + "freezer.state", evil + ":/" + evil, "--" + evil + ":/" + evil} {
					rest = strings.ReplaceAll(rest, escape.Shell(word), "")
				}
				if strings.Contains(rest, "pwned") || strings.Contains(rest, "-web") || strings.ContainsAny(s.Command, "\n\x1b") {
					t.Errorf("%s: %q", kind, s.Command)
				}
			}
		}
	}
}
