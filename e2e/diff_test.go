package e2e

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dx/e2e/engine"
)

// diffLine is what a line of `dx diff --format json` is documented to be.
type diffLine struct {
	Section, Name, Unit, Difference string
	A, B, OnlyA, OnlyB              []string
}

func dxDiff(t *testing.T, e *engine.Engine, code int, args ...string) []diffLine {
	t.Helper()
	r := e.Dx(t, append([]string{"diff", "--format", "json"}, args...)...)
	if r.Code != code {
		t.Fatalf("dx diff %q: %+v, want exit %d", args, r, code)
	}
	var out []diffLine
	for _, line := range lines(r.Stdout) {
		dec := json.NewDecoder(strings.NewReader(line))
		dec.DisallowUnknownFields()
		var l diffLine
		if err := dec.Decode(&l); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		out = append(out, l)
	}
	return out
}

// TestDiffShowsTheOneDifference: containers that docker run was given one flag more
// differ in what that flag is for, and in nothing else.
func TestDiffShowsTheOneDifference(t *testing.T) {
	dir := t.TempDir()
	onBoth(t, func(t *testing.T, e *engine.Engine) {
		plain := e.Run(t, engine.Busybox)
		for _, tc := range []struct {
			flags []string
			want  []string
			limit bool // it takes a controller
		}{
			{},
			{flags: []string{"--cap-drop", "NET_RAW"}, want: []string{"bounding", "effective", "permitted"}},
			{flags: []string{"-u", "1000:1000"}, want: []string{"uid", "gid", "groups", "uid on the host", "gid on the host", "effective", "permitted"}},
			{flags: []string{"--security-opt", "no-new-privileges"}, want: []string{"no_new_privs"}},
			{flags: []string{"--security-opt", "seccomp=unconfined"}, want: []string{"seccomp", "seccomp filters"}},
			{flags: []string{"-m", "64m"}, want: []string{"memory limit", "swap limit"}, limit: true},
			{flags: []string{"--pids-limit", "20"}, want: []string{"pids limit"}, limit: true},
			{flags: []string{"--cpus", "0.5"}, want: []string{"cpu limit"}, limit: true},
			{flags: []string{"--ulimit", "nofile=100:200"}, want: []string{"nofile"}},
			{flags: []string{"--oom-score-adj", "300"}, want: []string{"oom_score_adj"}},
			{flags: []string{"--shm-size", "1m"}, want: []string{"/dev/shm"}},
			{flags: []string{"-v", dir + ":/data"}, want: []string{"/data"}},
			{flags: []string{"--pid", "host"}, want: []string{"pid"}},
			{flags: []string{"--uts", "host"}, want: []string{"uts"}},
		} {
			if tc.limit && !limits(t, e) {
				continue
			}
			code := min(len(tc.want), 1)
			c := e.Run(t, engine.Busybox, tc.flags...)
			var got []string
			for _, l := range dxDiff(t, e, code, plain.Name, c.Name) {
				if l.Difference != "different" {
					t.Errorf("containers with %q and without: %+v, want the difference to be \"different\"", tc.flags, l)
				}
				// Without accounting of swap there is no limit.
				if l.Name == "swap limit" {
					continue
				}
				got = append(got, l.Name)
			}
			want := slices.DeleteFunc(tc.want, func(s string) bool { return s == "swap limit" })
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("what differs with %q (-want +got):\n%s", tc.flags, diff)
			}
		}
	})
}

func TestDiffOfANetwork(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	a, b := e.Run(t, engine.Busybox), e.Run(t, engine.Busybox)
	for _, args := range [][]string{
		{"link", "add", "v0", "type", "veth", "peer", "name", "v1"}, {"addr", "add", "10.77.0.2/24", "dev", "v0"}, {"link", "set", "v0", "up"},
	} {
		run(t, e, slices.Concat([]string{"nsenter", "-t", strconv.Itoa(b.PID), "-n", "ip"}, args)...)
	}
	got := map[string][]string{}
	for _, l := range dxDiff(t, e, 1, a.Name, b.Name) {
		got[l.Name] = l.OnlyB
		if l.Section != "network" || len(l.OnlyA) > 0 {
			t.Errorf("after changes to b's network only: %+v, want network facts that only b has", l)
		}
	}
	if !slices.Equal(got["interface v0 networks"], []string{"10.77.0.0/24"}) || !slices.Contains(got["routes"], "10.77.0.0/24 dev v0") {
		t.Errorf("only b has %q, want its network and its route", got)
	}
	// A third in b's network namespace differs from it in nothing.
	c := e.Run(t, engine.Busybox, "--network", "container:"+b.Name)
	if l := dxDiff(t, e, 0, b.Name, c.Name); len(l) > 0 {
		t.Errorf("two that share a network namespace differ in %+v, want nothing", l)
	}
}

func TestDiffStatus(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox)
	pid := "pid:" + strconv.Itoa(c.PID)
	for _, tc := range []struct {
		code int
		args []string
	}{
		{0, []string{c.Name, c.Name}}, {0, []string{c.Name, pid}}, {1, []string{c.Name, "host"}},
		{125, []string{c.Name, "nosuch"}}, {125, []string{"nosuch", "neither"}}, {125, []string{"pid:4194999", c.Name}},
		{125, nil}, {125, []string{c.Name, pid, "host"}}, {125, []string{"--nosuch", c.Name, pid}}, {125, []string{"--format", "{{", c.Name, pid}},
	} {
		r := e.Dx(t, append([]string{"diff"}, tc.args...)...)
		if r.Code != tc.code || (tc.code == 125) != (r.Stderr != "") || (tc.code == 1) != (r.Stdout != "") {
			t.Errorf("dx diff %q: %+v, want exit %d", tc.args, r, tc.code)
		}
	}
	if r := e.Dx(t, "diff", "-q", c.Name, "host"); r.Code != 1 || r.Stdout != "" {
		t.Errorf("-q: %+v", r)
	}
	all := dxDiff(t, e, 0, "--all", c.Name, e.Run(t, engine.Busybox).Name)
	for _, want := range []string{"pid", "memory used", "net inode", "seccomp"} {
		i := slices.IndexFunc(all, func(l diffLine) bool { return l.Name == want })
		if i < 0 || (all[i].Difference == "same") != (want == "seccomp") && want != "memory used" {
			t.Errorf("--all and %s: %d of %d", want, i, len(all))
		}
	}
}

// TestDiffWithoutRoot: what cannot be read leaves open whether it differs.
func TestDiffWithoutRoot(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	a, b := e.Run(t, engine.Busybox), e.Run(t, engine.Busybox)
	r := e.Do(t, engine.Command{Args: []string{
		"setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups", "--inh-caps=-all",
		e.DxPath(t), "diff", "pid:" + strconv.Itoa(a.PID), "pid:" + strconv.Itoa(b.PID),
	}})
	if r.Code != 125 || r.Stdout != "" || len(lines(r.Stderr)) != 1 {
		t.Errorf("diff of what may not be read: %v, want exit code 125 and one line of stderr", r)
	}
}
