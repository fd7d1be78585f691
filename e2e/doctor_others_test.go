package e2e

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"dx/e2e/engine"
)

// TestDoctorOthers: daemons of other engines that are stopped, and conmons, are found and
// named with what resumes them; the engine that was asked is not blamed. While they work,
// nothing is said of them.
func TestDoctorOthers(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	p := podmanHere(t, e)
	name, dir := e.Name("other"), t.TempDir()
	_, pid := p.run(t, name)
	conmon := parentOf(t, pid)
	config := "version = 2\nroot = \"" + dir + "/root\"\nstate = \"" + dir + "/state\"\n[grpc]\naddress = \"" + dir + "/containerd.sock\"\n[ttrpc]\naddress = \"" + dir + "/containerd.sock.ttrpc\"\n"
	if err := os.WriteFile(dir+"/config.toml", []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	containerd := e.Spawn(t, "containerd", "-c", dir+"/config.toml")
	service := e.Spawn(t, append(append([]string{"env"}, append(p.env, p.args...)...), "system", "service", "--time=0", "unix://"+dir+"/podman.sock")...)
	for what, socket := range map[string]string{"containerd": "/containerd.sock", "podman": "/podman.sock"} {
		eventually(t, what+" listens", func() bool { _, err := os.Stat(dir + socket); return err == nil })
	}
	t.Cleanup(func() {
		for _, pid := range []int{containerd, service} {
			_ = syscall.Kill(pid, syscall.SIGCONT)
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	report := func() (kinds map[string]doctorFinding, r doctorReport) {
		t.Helper()
		r, _ = reportOf(t, e, e.DxPath(t), "doctor", "--timeout", "20s", "--format", "json")
		kinds = map[string]doctorFinding{}
		for _, f := range r.Findings {
			if f.Layer == "another engine" {
				kinds[f.Kind] = f
			}
		}
		return kinds, r
	}
	if kinds, r := report(); len(kinds) != 0 || r.Status != "healthy" {
		t.Fatalf("all of them work: %+v", r)
	}
	want := map[string]int{"conmon-stopped": conmon, "other-containerd-stopped": containerd, "podman-service-stopped": service}
	for _, pid := range want {
		stop(t, pid)
	}
	kinds, r := report()
	for kind, pid := range want {
		if f, ok := kinds[kind]; !ok || f.PID != pid {
			t.Errorf("%s: %+v, want pid %d", kind, kinds, pid)
		}
	}
	resumes := false
	for _, s := range r.Verdict.Next {
		resumes = resumes || strings.HasPrefix(s.Command, "kill -CONT ")
	}
	if r.Status != "degraded" || len(kinds) != len(want) || !resumes {
		t.Errorf("the verdict is %+v", r.Verdict)
	}
	for _, pid := range want {
		if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
	kill(t, conmon)
	if kinds, r := report(); len(kinds) != 1 || kinds["conmon-missing"].PID != pid || kinds["conmon-missing"].Container != "podman:"+name {
		t.Errorf("conmon is dead: %+v", r)
	}
}
