package main

import (
	"encoding/json"
	"strings"
	"testing"

	"dx/cmd/dx/output"
	"dx/cmd/dx/output/outputtest"
	"dx/cmpdiff"
	"dx/dockerx"
	"dx/nsops/cgroup"
	"dx/nsops/network"
	"dx/nsops/posture"
)

// madePosture is a container whose kernel and whose engine do not agree, and which
// has chosen its names to deceive.
func madePosture(name string) *postureSubject {
	frozen := false
	s := &postureSubject{ref: name, id: strings.Repeat("ab", 32), name: name, pid: 4711, source: dockerx.SourceHost}
	s.posture = &posture.Posture{
		Capabilities: &posture.Capabilities{Bounding: []string{"CAP_KILL", "CAP_CHOWN"}, Effective: []string{"CAP_KILL", "CAP_CHOWN"}},
		Security:     &posture.Security{Seccomp: "filter", SeccompFilters: 1, LSM: "evil\x1b[31m"},
		Cgroup:       &cgroup.Usage{Version: 2, Memory: &cgroup.Memory{Limit: 64 << 20}, Frozen: &frozen},
		Mounts:       &posture.Mounts{List: []posture.Mount{{Destination: "/a\nb", FSType: "ext4", Root: "/x", HostSource: "/c/" + s.id + "/x"}}},
		Network:      &posture.Network{Network: &network.Network{Interfaces: []network.Interface{{Name: "routes", Kind: "veth", Up: true, State: "up", MTU: 1500}}}},
	}
	s.facts = s.posture.Facts(s.pid)
	s.judgements = cmpdiff.Judge(s.facts, []posture.Claim{
		{Fact: posture.Fact{Section: posture.SectionCapabilities, Name: posture.Bounding, Values: []string{"CAP_KILL"}, Set: true}},
		{Fact: posture.Fact{Section: posture.SectionSecurity, Name: posture.Seccomp, Values: []string{"filter"}}},
		{Fact: posture.Fact{Section: posture.SectionCgroup, Name: posture.MemoryLimit, Values: []string{"33554432"}, Unit: posture.Bytes}},
		{Fact: posture.Fact{Section: posture.SectionCgroup, Name: posture.PidsLimit, Values: []string{"20"}}},
	})
	return s
}

func cardOf(t *testing.T, s *postureSubject, o inspectOptions) string {
	t.Helper()
	f := outputtest.File(t)
	out, err := output.New(f, o.Options)
	if err == nil {
		err = renderInspect(out, []inspectRecord{newInspectRecord(s, o.env)}, o)
	}
	if err != nil {
		t.Fatal(err)
	}
	return outputtest.Content(t, f)
}

func TestInspectCard(t *testing.T) {
	text := cardOf(t, madePosture("web"), inspectOptions{})
	for _, want := range []string{
		"web   abababababab   pid 4711   found by host\n! differs from Docker's configuration: bounding, memory limit\n",
		"  bounding              CAP_KILL CAP_CHOWN   ! says nothing of CAP_CHOWN\n",
		"  effective             as bounding\n",
		"  seccomp           filter         same\n",
		`evil\x1b[31m`, `/a\nb`, "/c/abababababab…/x",
		"  memory limit         64MiB    ! says 32MiB\n",
		"  pids limit           ?        says 20\n",
		"NETWORK\n  INTERFACE   KIND",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.ContainsAny(text, "\x1b") {
		t.Errorf("an escape character reaches the terminal: %q", text)
	}
	long := cardOf(t, madePosture("web"), inspectOptions{Options: output.Options{NoTrunc: true}, origins: true})
	if !strings.Contains(long, strings.Repeat("ab", 32)) || !strings.Contains(long, "/proc/4711/status CapBnd") {
		t.Errorf("--no-trunc --origins:\n%s", long)
	}
}

func TestInspectJSON(t *testing.T) {
	var got struct {
		Name    string
		Claims  []claimRecord
		Origins map[string]string
		Cgroup  struct{ Memory struct{ Limit *uint64 } }
	}
	if err := json.Unmarshal([]byte(cardOf(t, madePosture("web"), inspectOptions{Options: output.Options{Format: "json"}})), &got); err != nil {
		t.Fatal(err)
	}
	if got.Name != "web" || len(got.Claims) != 4 || got.Claims[0].Verdict != cmpdiff.Contradicts || *got.Cgroup.Memory.Limit != 64<<20 || got.Origins["security.seccomp"] != "/proc/4711/status Seccomp" {
		t.Errorf("the JSON is %+v, want web with four claims, the first contradicted, a limit of 64 MiB, and origins", got)
	}
}

func TestDiffTable(t *testing.T) {
	a, b := madePosture("web"), madePosture("db")
	b.posture.Capabilities = &posture.Capabilities{Bounding: []string{"CAP_KILL"}, Effective: []string{"CAP_KILL"}}
	b.posture.Cgroup.Memory.Limit++ // too little for a rounded number to show
	b.facts = b.posture.Facts(b.pid)
	v := diffView{report: cmpdiff.ComparePostures(sideOf(a), sideOf(b))}
	want := "WHAT             web           db\n" +
		"CAPABILITIES\n" +
		"  bounding       CAP_CHOWN     -\n" +
		"  effective      as bounding   as bounding\n" +
		"CGROUP\n" +
		"  memory limit   67108864      67108865\n"
	if got := rendered(t, output.Options{}, v.records(), v.table); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	same := diffView{report: cmpdiff.ComparePostures(sideOf(a), sideOf(a))}
	if got := rendered(t, output.Options{}, same.records(), same.table); got != "" {
		t.Errorf("nothing differs: %q", got)
	}
	same.all = true
	if got := rendered(t, output.Options{}, same.records(), same.table); !strings.Contains(got, "DIFFERENCE") || !strings.Contains(got, `evil\x1b[31m`) || strings.Contains(got, "\x1b") {
		t.Errorf("--all: %q", got)
	}
}
