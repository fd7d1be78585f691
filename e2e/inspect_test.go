package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dx/e2e/engine"
)

// inspectLine is the part of `dx inspect --format json` that is compared.
type inspectLine struct {
	ID, Name, Source string
	Pid              int
	Identity         *struct {
		User, Group          struct{ Real, Effective, Saved, FS int }
		InsideUID, InsideGID *int
		UIDMap               []struct{ Inside, Outside, Count int }
	}
	Namespaces []struct {
		Type  string
		Inode uint64
		Host  bool
	}
	Capabilities *struct{ Effective, Permitted, Inheritable, Bounding, Ambient []string }
	Security     *struct {
		Seccomp        string
		SeccompFilters int
		NoNewPrivs     bool
	}
	Cgroup *struct {
		Version int
		Memory  *struct{ Limit, Usage *uint64 }
		Pids    *struct{ Limit *uint64 }
		CPU     *struct{ Quota, Period, Shares, Weight *uint64 }
		Frozen  *bool
	}
	Limits *struct {
		Rlimits []struct {
			Name       string
			Soft, Hard *uint64
		}
		OOMScoreAdj int
	}
	Mounts *struct {
		List []struct {
			Destination, HostSource, FSType string
			ReadOnly                        bool
		}
	}
	Network *struct {
		Interfaces []struct {
			Name, MAC string
			Index     int
			MTU       int
			Addresses []string
		}
		Routes []struct {
			Destination, Gateway, Interface, Family string
			Metric                                  int
		}
		Ports []struct{ Protocol, Address string }
	}
	Claims []struct {
		Section, Name   string
		Claimed, Kernel []string
		Verdict, Origin string
	}
	Unread []struct{ Section, Reason string }
}

func dxInspect(t *testing.T, e *engine.Engine, args ...string) inspectLine {
	t.Helper()
	r := e.Dx(t, append([]string{"inspect", "--format", "json"}, args...)...)
	var l inspectLine
	if err := json.Unmarshal([]byte(r.Stdout), &l); err != nil || r.Code != 0 || len(l.Unread) > 0 {
		t.Fatalf("dx inspect %q: %v in %+v", args, err, r)
	}
	return l
}

// run runs a program of the host in the engine's mount namespace.
func run(t *testing.T, e *engine.Engine, args ...string) string {
	t.Helper()
	r := e.Do(t, engine.Command{Args: args})
	if r.Code != 0 {
		t.Fatalf("%q is part of this test, and failed: %v", args, r)
	}
	return r.Stdout
}

// statusOf reads a field of /proc/PID/status.
func statusOf(t *testing.T, pid int, field string) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^` + field + `:\s*(.*)$`).FindSubmatch(b)
	if m == nil {
		t.Fatalf("no %s in %s", field, b)
	}
	return string(m[1])
}

// TestInspectSaysWhatTheKernelSays compares with /proc, capsh, prlimit and findmnt,
// whatever the container was started with; nothing that Docker says is contradicted.
func TestInspectSaysWhatTheKernelSays(t *testing.T) {
	engine.Require(t, engine.Capsh)
	dir := t.TempDir()
	onBoth(t, func(t *testing.T, e *engine.Engine) {
		for _, flags := range [][]string{
			nil,
			{"--cap-drop", "ALL", "--security-opt", "no-new-privileges"},
			{"--cap-add", "SYS_PTRACE", "--cap-drop", "NET_RAW", "-u", "1000:1000", "--security-opt", "seccomp=unconfined"},
			{"--read-only", "-v", dir + ":/data:ro", "--shm-size", "1m", "--network", "host"},
			{"-m", "64m", "--pids-limit", "20", "--cpus", "0.5", "--cpu-shares", "512", "--memory-reservation", "32m", "--ulimit", "nofile=512:1024", "--oom-score-adj", "300"},
		} {
			if slices.Contains(flags, "--cpus") && !limits(t, e) {
				continue // Docker refuses
			}
			c := e.Run(t, engine.Busybox, flags...)
			for _, source := range []string{"engine", "host"} {
				l := dxInspect(t, e, "--source", source, c.ID)
				if l.ID != c.ID || l.Name != c.Name || l.Pid != c.PID || l.Source != source {
					t.Errorf("%q: %s %s %d of %s", flags, l.ID, l.Name, l.Pid, l.Source)
				}
				l.identityIs(t, c.PID)
				l.capabilitiesAre(t, e, c.PID)
				l.securityIs(t, c.PID)
				l.limitsAre(t, e, c.PID)
				l.mountsAre(t, e, c.PID)
				l.cgroupIs(t, e, c)
				l.agrees(t, e, fmt.Sprintf("%q by %s", flags, source))
			}
		}
	})
}

func (l inspectLine) identityIs(t *testing.T, pid int) {
	t.Helper()
	u, g := l.Identity.User, l.Identity.Group
	for field, got := range map[string]string{
		"Uid": fmt.Sprintf("%d\t%d\t%d\t%d", u.Real, u.Effective, u.Saved, u.FS),
		"Gid": fmt.Sprintf("%d\t%d\t%d\t%d", g.Real, g.Effective, g.Saved, g.FS),
	} {
		if want := statusOf(t, pid, field); got != want {
			t.Errorf("%s %q, want %q", field, got, want)
		}
	}
	if *l.Identity.InsideUID != u.Effective {
		t.Errorf("uid inside %d, outside %d", *l.Identity.InsideUID, u.Effective)
	}
	if len(l.Namespaces) != len(nsTypes) {
		t.Errorf("namespaces %+v, want one of each of %v", l.Namespaces, nsTypes)
	}
	for _, ns := range l.Namespaces {
		own, host := kernelInode(t, pid, ns.Type), kernelInode(t, 1, ns.Type)
		if ns.Inode != own || ns.Host != (own == host) {
			t.Errorf("%+v, but the kernel has %d and %d for the host", ns, own, host)
		}
	}
}

func (l inspectLine) capabilitiesAre(t *testing.T, e *engine.Engine, pid int) {
	t.Helper()
	c := l.Capabilities
	for field, got := range map[string][]string{
		"CapEff": c.Effective, "CapPrm": c.Permitted, "CapInh": c.Inheritable, "CapBnd": c.Bounding, "CapAmb": c.Ambient,
	} {
		_, names, _ := strings.Cut(run(t, e, "capsh", "--decode="+statusOf(t, pid, field)), "=")
		want := strings.ToUpper(strings.TrimSpace(names))
		if strings.Join(got, ",") != want {
			t.Errorf("%s %v, capsh %s", field, got, want)
		}
	}
}

func (l inspectLine) securityIs(t *testing.T, pid int) {
	t.Helper()
	mode := map[string]string{"disabled": "0", "strict": "1", "filter": "2"}[l.Security.Seccomp]
	nnp := map[bool]string{true: "1", false: "0"}[l.Security.NoNewPrivs]
	for field, got := range map[string]string{"Seccomp": mode, "Seccomp_filters": strconv.Itoa(l.Security.SeccompFilters), "NoNewPrivs": nnp} {
		if want := statusOf(t, pid, field); got != want {
			t.Errorf("%s %s, want %s", field, got, want)
		}
	}
}

func (l inspectLine) limitsAre(t *testing.T, e *engine.Engine, pid int) {
	t.Helper()
	want := map[string]string{}
	// Without CAP_SYS_RESOURCE prlimit(2) answers only the process's own user.
	uid, gid := strconv.Itoa(l.Identity.User.Real), strconv.Itoa(l.Identity.Group.Real)
	for _, line := range lines(run(t, e, "setpriv", "--reuid", uid, "--regid", gid, "--clear-groups", "prlimit", "--pid", strconv.Itoa(pid), "--noheadings", "--raw", "-o", "RESOURCE,SOFT,HARD")) {
		name, values, _ := strings.Cut(line, " ")
		want[strings.ToLower(name)] = values
	}
	got := map[string]string{}
	for _, r := range l.Limits.Rlimits {
		got[r.Name] = limitOf(r.Soft) + " " + limitOf(r.Hard)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("prlimit: %s", diff)
	}
	if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid)); err != nil || strings.TrimSpace(string(b)) != strconv.Itoa(l.Limits.OOMScoreAdj) {
		t.Errorf("oom_score_adj %d, want %s", l.Limits.OOMScoreAdj, b)
	}
}

func limitOf(n *uint64) string {
	if n == nil {
		return "unlimited"
	}
	return strconv.FormatUint(*n, 10)
}

func (l inspectLine) mountsAre(t *testing.T, e *engine.Engine, pid int) {
	t.Helper()
	var want, got []string
	want = append(want, lines(run(t, e, "findmnt", "-N", strconv.Itoa(pid), "--noheadings", "--raw", "-o", "TARGET,FSTYPE"))...)
	for _, m := range l.Mounts.List {
		got = append(got, m.Destination+" "+m.FSType)
		switch m.Destination {
		case "/data":
			if fi, err := os.Stat(m.HostSource); err != nil || !fi.IsDir() || !m.ReadOnly {
				t.Errorf("/data comes from %q, %v", m.HostSource, err)
			}
		case "/etc/hostname":
			if want := filepath.Join(e.Dir, "data/containers", l.ID, "hostname"); m.HostSource != want {
				t.Errorf("/etc/hostname comes from %q, want %s", m.HostSource, want)
			}
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("findmnt: %s", diff)
	}
}

// cgroupIs reads the container's own view of its cgroup.
func (l inspectLine) cgroupIs(t *testing.T, e *engine.Engine, c engine.Container) {
	t.Helper()
	if want := map[engine.Cgroup]int{engine.V1: 1, engine.V2: 2}[e.Cgroup]; l.Cgroup.Version != want || *l.Cgroup.Frozen {
		t.Errorf("version %d, want %d; frozen %v", l.Cgroup.Version, want, *l.Cgroup.Frozen)
	}
	if !limits(t, e) {
		if l.Cgroup.Memory != nil || l.Cgroup.Pids != nil || l.Cgroup.CPU != nil {
			t.Errorf("no controllers, but %+v", l.Cgroup)
		}
		return
	}
	memory, pids := "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/pids.max"
	if e.Cgroup == engine.V1 {
		memory, pids = "/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/pids/pids.max"
	}
	for file, got := range map[string]*uint64{memory: l.Cgroup.Memory.Limit, pids: l.Cgroup.Pids.Limit} {
		want := strings.TrimSpace(e.MustDocker(t, "exec", c.Name, "cat", file).Stdout)
		if want == "max" || want == "9223372036854771712" {
			want = "unlimited"
		}
		if limitOf(got) != want {
			t.Errorf("%s is %s, not %s", file, want, limitOf(got))
		}
	}
}

// limits reports whether the engine's hierarchy has controllers: v2 beside a v1 host,
// which keeps them, has none.
func limits(t *testing.T, e *engine.Engine) bool {
	t.Helper()
	return e.Cgroup == engine.V1 || strings.Contains(run(t, e, "cat", "/sys/fs/cgroup/cgroup.controllers"), "memory")
}

// agrees: each claim is about something that the kernel tells, and is true.
func (l inspectLine) agrees(t *testing.T, e *engine.Engine, what string) {
	t.Helper()
	if len(l.Claims) < 20 {
		t.Errorf("%s: only %d claims", what, len(l.Claims))
	}
	silent := e.Cgroup == engine.V2 && !limits(t, e)
	for _, c := range l.Claims {
		// Neither swap nor its limit is there on every kernel.
		unknown := c.Name == "swap limit" || silent && c.Section == "cgroup"
		if c.Verdict != "agrees" && (!unknown || c.Verdict != "unknown") {
			t.Errorf("%s: the claim %+v, want that the kernel agrees", what, c)
		}
	}
}

// TestInspectMarksContradictions: the kernel's limit is changed behind Docker's back.
func TestInspectMarksContradictions(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine.Engine) {
		c := e.Run(t, engine.Busybox, "-m", "64m")
		e.MustDocker(t, "pause", c.Name)
		for _, source := range []string{"engine", "host"} {
			l := dxInspect(t, e, "--source", source, c.ID)
			l.agrees(t, e, "paused")
			if !*l.Cgroup.Frozen {
				t.Error("not frozen")
			}
		}
		e.MustDocker(t, "unpause", c.Name)
		if !limits(t, e) {
			if card := e.Dx(t, "inspect", c.Name).Stdout; !regexp.MustCompile(`(?m)^  pids limit +\? +says unlimited$`).MatchString(card) {
				t.Errorf("no controllers:\n%s", card)
			}
			return
		}
		file := "/sys/fs/cgroup/docker/" + c.ID + "/memory.max"
		if e.Cgroup == engine.V1 {
			file = "/sys/fs/cgroup/memory/docker/" + c.ID + "/memory.limit_in_bytes"
		}
		run(t, e, "sh", "-c", "echo 33554432 > "+file)
		for _, claim := range dxInspect(t, e, c.Name).Claims {
			want := "agrees"
			if claim.Name == "memory limit" {
				want = "contradicts"
			}
			if claim.Verdict != want && claim.Verdict != "unknown" {
				t.Errorf("%+v, want %s", claim, want)
			}
		}
		card := e.Dx(t, "inspect", c.Name).Stdout
		if !strings.Contains(card, "! differs from Docker's configuration: memory limit\n") || !regexp.MustCompile(`(?m)^  memory limit +32MiB +! says 64MiB$`).MatchString(card) {
			t.Errorf("the card:\n%s", card)
		}
	})
}

// TestInspectUsernsRemap: ids inside and out, and the maps.
func TestInspectUsernsRemap(t *testing.T) {
	e := suite.Start(t, engine.Options{UsernsRemap: true})
	c := e.Run(t, engine.Busybox, "-u", "1000")
	for _, source := range []string{"engine", "host"} {
		l := dxInspect(t, e, "--source", source, c.ID)
		l.agrees(t, e, "remapped")
		if id := l.Identity; *id.InsideUID != 1000 || id.User.Effective != engine.RemapBase+1000 || len(id.UIDMap) != 1 || id.UIDMap[0].Outside != engine.RemapBase {
			t.Errorf("by the %s: identity %+v, want uid 1000 inside and %d outside, by one line of map", source, id, engine.RemapBase+1000)
		}
		l.capabilitiesAre(t, e, c.PID)
	}
}

// TestInspectWithoutDocker: dockerd hangs, and answers nobody.
func TestInspectWithoutDocker(t *testing.T) {
	e := suite.Start(t, engine.Options{})
	a, b := e.Run(t, engine.Busybox), e.Run(t, engine.Busybox, "--cap-drop", "NET_RAW")
	stop(t, e.PID)
	r := timely(t, e, "inspect", "--format", "{{.Name}} {{len .Claims}} {{.Capabilities.Complete}}", a.ID, "pid:"+strconv.Itoa(b.PID), "host")
	if got := lines(r.Stdout); r.Code != 0 || len(got) != 3 || strings.Contains(got[0], " 0 ") || !strings.HasPrefix(got[2], "host 0 ") {
		t.Errorf("inspect of a container, a process and the host without an engine: %v, want three lines, and claims for the container only", r)
	}
	if r := timely(t, e, "diff", a.ID, b.ID); r.Code != 1 || strings.Count(r.Stdout, "CAP_NET_RAW") != 1 {
		t.Errorf("diff of two that differ by NET_RAW, without an engine: %v, want exit code 1 and CAP_NET_RAW once", r)
	}
}
