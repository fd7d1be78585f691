package host

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"dx/dockerx/docker"
	"dx/dockerx/plain/plaintest"
	"dx/nsops/mounts"
	"dx/nsops/proc"
)

// The files in testdata are those of a container that dockerd 20.10.24
// (containerd 1.6.20, runc 1.1.5) was running, started by
//
//	docker run -d --name web --network none -h box -e A=1 -e PATH=/bin
//	  --user app --group-add staff --ulimit nofile=512:1024 --oom-score-adj 300
//	  --security-opt no-new-privileges --label tier=front -w /etc …
//
// The expected values are what docker inspect and ps said of it.
const (
	webID    = "afad590879c4cd1944f2edd85269e2b55fcf4f628585092dd38f52f135895838"
	webPID   = 24445
	webStart = 326093
)

func testdata(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "docker-20.10", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParseState(t *testing.T) {
	s, err := ParseState(testdata(t, "state.json"))
	if err != nil {
		t.Fatal(err)
	}
	if s.ID != webID || s.InitPID != webPID || s.InitStart != webStart {
		t.Errorf("%s pid %d start %d", s.ID, s.InitPID, s.InitStart)
	}
	if s.OOMScoreAdj == nil || *s.OOMScoreAdj != 300 || s.Umask != nil || s.NoNewKeyring || s.SpecVersion != "1.0.2-dev" {
		t.Errorf("the state is %+v, want oom_score_adj 300, no umask, a keyring, version 1.0.2-dev", s)
	}
	if got, want := s.CgroupPaths["memory"], "/sys/fs/cgroup/memory/docker/"+webID; got != want || len(s.CgroupPaths) != 10 {
		t.Errorf("memory: %s of %d, want %s of 10", got, len(s.CgroupPaths), want)
	}
	if s.Personality || s.Scheduler || s.IOPriority {
		t.Error("runc 1.1 knows neither personality nor scheduler nor ioPriority")
	}
}

func TestParseStateHeadReadsOnlyTheHead(t *testing.T) {
	data := testdata(t, "state.json")
	head := data[:bytes.Index(data, []byte(`"config"`))] // the rest is missing
	s, err := ParseStateHead(bytes.NewReader(head))
	if err != nil {
		t.Fatal(err)
	}
	if s.ID != webID || s.InitPID != webPID || s.InitStart != webStart {
		t.Errorf("%s pid %d start %d", s.ID, s.InitPID, s.InitStart)
	}
}

func TestParseNewerState(t *testing.T) {
	s, err := ParseState([]byte(`{"id":"x","init_process_pid":7,"config":{"umask":23,"no_new_keyring":true,
		"oom_score_adj":null,"version":"1.2.1","personality":{"domain":8},"scheduler":{"policy":"SCHED_BATCH"},"io_priority":null}}`))
	if err != nil {
		t.Fatal(err)
	}
	if s.Umask == nil || *s.Umask != 0o27 || !s.NoNewKeyring || s.OOMScoreAdj != nil {
		t.Errorf("the state is %+v, want umask 027, no keyring, no oom_score_adj", s)
	}
	if !s.Personality || !s.Scheduler || s.IOPriority {
		t.Errorf("the state is %+v, want personality and scheduler, and no I/O priority", s)
	}
}

func TestParseSpec(t *testing.T) {
	s, err := ParseSpec(testdata(t, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	want := specs.User{UID: 1000, GID: 1000, AdditionalGids: []uint32{1000, 10, 1000, 50, 50}}
	if diff := cmp.Diff(want, s.Process.User); diff != "" {
		t.Errorf("the user (-want +got):\n%s", diff)
	}
	if s.Linux.Seccomp == nil || s.Linux.Seccomp.DefaultAction != specs.ActErrno || !s.Process.NoNewPrivileges {
		t.Error("docker's default profile and no-new-privileges are missing")
	}
	dir, ok := containersDir(s.Mounts)
	if want := "/srv/engine/data/containers"; !ok || dir != want {
		t.Errorf("containers: %q, want %q", dir, want)
	}
}

func TestParseOptionsAndInitPID(t *testing.T) {
	root, err := ParseOptions(testdata(t, "options.json"))
	if want := "/srv/engine/exec/runtime-runc"; err != nil || root != want {
		t.Errorf("%q, %v, want %q", root, err, want)
	}
	if root, err := ParseOptions([]byte("")); root != "" || err != nil {
		t.Errorf("empty options.json: %q, %v", root, err)
	}
	pid, err := ParseInitPID(testdata(t, "init.pid"))
	if err != nil || pid != webPID {
		t.Errorf("init.pid says %d, %v, want %d", pid, err, webPID)
	}
	for _, bad := range []string{"", "0", "-1", "x", "99999999999999999999", "1 2"} {
		if pid, err := ParseInitPID([]byte(bad)); err == nil {
			t.Errorf("%q: pid %d", bad, pid)
		}
	}
}

func TestParseDocker(t *testing.T) {
	d, err := docker.Parse(testdata(t, "config.v2.json"))
	if err != nil {
		t.Fatal(err)
	}
	if d.HostConfig, err = docker.ParseHostConfig(testdata(t, "hostconfig.json")); err != nil {
		t.Fatal(err)
	}
	if d.ID != webID || d.Name != "web" || d.State.Pid != webPID || !d.State.Running {
		t.Errorf("the container is %+v, want web, running as pid %d", d, webPID)
	}
	c := d.Config
	if c.Hostname != "box" || c.User != "app" || !slices.Equal(c.Env, []string{"A=1", "PATH=/bin"}) || c.WorkingDir != "/etc" ||
		c.Tty || c.Image != "dx-test" || c.Labels["tier"] != "front" {
		t.Errorf("its configuration is %+v, want what testdata/config.v2.json has", c)
	}
	if !slices.Equal(d.HostConfig.GroupAdd, []string{"staff"}) || d.HostConfig.Privileged {
		t.Errorf("its host configuration is %+v, want the group staff and no privileges", d.HostConfig)
	}
}

func TestParseRefuses(t *testing.T) {
	garbage := []string{"", "null", "[]", "{", `{"id":1}`, `{"id":"x","init_process_pid":-1,"init_process_start":1}`, "\x00", strings.Repeat("[", 100000)}
	for _, g := range garbage {
		if s, err := ParseState([]byte(g)); err == nil {
			t.Errorf("state %.40q: %+v", g, s)
		}
		if s, err := ParseStateHead(strings.NewReader(g)); err == nil {
			t.Errorf("head of state %.40q: %+v", g, s)
		}
		if s, err := ParseSpec([]byte(g)); err == nil {
			t.Errorf("spec %.40q: %+v", g, s)
		}
		if d, err := docker.Parse([]byte(g)); err == nil {
			t.Errorf("config.v2.json %.40q: %+v", g, d)
		}
		if s, err := ParseCrunStatus([]byte(g)); err == nil {
			t.Errorf("status %.40q: %+v", g, s)
		}
	}
}

func TestParseStateHeadIsBounded(t *testing.T) {
	huge := `{"id":"` + strings.Repeat("x", maxFile) + `","init_process_pid":1,"init_process_start":1}`
	if s, err := ParseStateHead(strings.NewReader(huge)); err == nil {
		t.Errorf("read %d bytes", len(s.ID))
	}
}

func TestParseLimits(t *testing.T) {
	l, err := proc.ParseLimits(bytes.NewReader(testdata(t, "limits")))
	if err != nil {
		t.Fatal(err)
	}
	if len(l) != 16 {
		t.Errorf("%d limits, want 16 (getrlimit(2))", len(l))
	}
	for _, want := range []specs.POSIXRlimit{
		{Type: "RLIMIT_NOFILE", Soft: 512, Hard: 1024},
		{Type: "RLIMIT_CPU", Soft: math.MaxUint64, Hard: math.MaxUint64},
		{Type: "RLIMIT_STACK", Soft: 8 << 20, Hard: math.MaxUint64},
		{Type: "RLIMIT_RTTIME", Soft: math.MaxUint64, Hard: math.MaxUint64},
	} {
		if !slices.Contains(l, want) {
			t.Errorf("%+v is not in %+v", want, l)
		}
	}
}

func TestContainersDirOf(t *testing.T) {
	id := strings.Repeat("ab", 32)
	for file, want := range map[string]string{
		"/var/lib/docker/containers/" + id + "/hostname":               "/var/lib/docker/containers",
		"/containers/" + id + "/hosts":                                 "/containers",
		"/x/containers/1/containers/" + id + "/mounts/shm":             "/x/containers/1/containers",
		"/var/lib/docker/containers/short/hostname":                    "",
		"containers/" + id + "/hostname":                               "",
		"/etc/hostname":                                                "",
		"/var/lib/docker/containers/" + strings.ToUpper(id) + "/hosts": "",
	} {
		dir, ok := containersDirOf(file)
		if dir != want || ok != (want != "") {
			t.Errorf("%s: %q, want %q", file, dir, want)
		}
	}
}

func parseMounts(t testing.TB, b []byte) []*mounts.Info {
	t.Helper()
	list, err := mounts.Parse(b, false)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestContainersDirInMountinfo(t *testing.T) {
	dir, err := containersDirIn(parseMounts(t, testdata(t, "mountinfo")), parseMounts(t, testdata(t, "host-mountinfo")))
	if want := "/srv/engine/data/containers"; err != nil || dir != want {
		t.Errorf("%q, %v, want %q", dir, err, want)
	}
	// A data root on a file system of its own, mounted elsewhere.
	id := strings.Repeat("ab", 32)
	init := "9 1 8:1 /docker/containers/" + id + "/hostname /etc/hostname rw - ext4 /dev/sda1 rw\n"
	self := "1 0 8:0 / / rw - ext4 /dev/sda rw\n2 1 8:1 /docker /big\\040disk rw - ext4 /dev/sda1 rw\n"
	dir, err = containersDirIn(parseMounts(t, []byte(init)), parseMounts(t, []byte(self)))
	if want := "/big disk/containers"; err != nil || dir != want {
		t.Errorf("%q, %v, want %q", dir, err, want)
	}
}

func TestSplitBundlePath(t *testing.T) {
	ns, id, ok := splitBundlePath("/srv/engine/exec/containerd/daemon/io.containerd.runtime.v2.task/moby/" + webID)
	if ns != "moby" || id != webID || !ok {
		t.Errorf("the path splits into %q and %q (%v), want moby and %s", ns, id, ok, webID)
	}
	for _, text := range []string{"/", "", "/root", "/run/io.containerd.runtime.v2.task/moby", "/io.containerd.runtime.v2.task//x", "/a/b/c"} {
		if _, _, ok := splitBundlePath(text); ok {
			t.Errorf("%q is no bundle", text)
		}
	}
}

func TestInCgroup(t *testing.T) {
	id, other := strings.Repeat("ab", 32), strings.Repeat("cd", 32)
	for path, want := range map[string]bool{
		"/docker/" + id:                                  true,
		"/system.slice/docker-" + id + ".scope":          true,
		"/kubepods/cri-containerd-" + id + ".scope/init": true,
		"/../../docker/" + id:                            true,
		"/docker/" + other + "/docker/" + id:             true,
		"/docker/" + other:                               false,
		"/docker/" + id + "0":                            false,
		"/docker/0" + id:                                 false,
		"/user.slice":                                    false,
		"/":                                              false,
	} {
		if got := InCgroup([]proc.Cgroup{{Path: "/"}, {Path: path}}, "moby", id); got != want {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
	if got, ok := CgroupID([]proc.Cgroup{{Path: "/"}, {Path: "/docker/" + other + "/docker/" + id}}); got != id || !ok {
		t.Errorf("innermost container: %s", got)
	}
}

// TestParsersAreEncodingJSONs: no field is forgotten, and what runtimes write is plain.
func TestParsersAreEncodingJSONs(t *testing.T) {
	for _, text := range [][]byte{plaintest.Filled[bundleSpec](t), testdata(t, "config.json"), detachedData(t, "config.json")} {
		if !plaintest.Same(t, text, (*bundleSpec).read) {
			t.Errorf("%s is left to encoding/json", text)
		}
	}
	for _, text := range [][]byte{plaintest.Filled[runcState](t), testdata(t, "state.json"), detachedData(t, "state.json")} {
		if !plaintest.Same(t, text, (*runcState).read) {
			t.Errorf("%s is left to encoding/json", text)
		}
	}
}
