package cgroup

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dx/nsops/proc"
)

// testdata is of a container of docker 20.10 on cgroup v1.
func testdata(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// runcPaths are the cgroup_paths of runc's state.json.
func runcPaths(t *testing.T) map[string]string {
	t.Helper()
	var paths map[string]string
	if err := json.Unmarshal(testdata(t, "cgroup_paths.json"), &paths); err != nil {
		t.Fatal(err)
	}
	return paths
}

func FuzzLocate(f *testing.F) {
	f.Add(testdata(f, "host-mountinfo"), testdata(f, "cgroup"))
	f.Fuzz(func(t *testing.T, mounts, cgroup []byte) {
		infos, err := parseMounts(bytes.NewReader(mounts))
		if err != nil {
			return
		}
		cgroups, err := proc.ParseCgroups(cgroup)
		if err != nil {
			return
		}
		locateIn(cgroups, infos)
	})
}

func TestCgroupDirs(t *testing.T) {
	cgroups, err := proc.ParseCgroups(testdata(t, "cgroup"))
	if err != nil {
		t.Fatal(err)
	}
	mounts, err := parseMounts(bytes.NewReader(testdata(t, "host-mountinfo")))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, d := range locateIn(cgroups, mounts) {
		got[d.Controller] = d.Path
	}
	// runc found the same directories.
	if diff := cmp.Diff(runcPaths(t), got); diff != "" {
		t.Error(diff)
	}
}

func TestCgroupDirBehindANamespace(t *testing.T) {
	mounts, err := parseMounts(strings.NewReader("1 0 0:1 /../.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"))
	if err != nil {
		t.Fatal(err)
	}
	for cgroup, want := range map[string]string{
		"/../../docker/x": "/sys/fs/cgroup/docker/x",
		"/../..":          "/sys/fs/cgroup",
		"/own":            "",
	} {
		if dir, _, ok := locateOne(cgroup, "", mounts); dir != want || ok != (want != "") {
			t.Errorf("%s: %q, want %q", cgroup, dir, want)
		}
	}
	root, err := parseMounts(strings.NewReader("1 0 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"))
	if err != nil {
		t.Fatal(err)
	}
	if dir, _, ok := locateOne("/../other", "", root); ok {
		t.Errorf("/../other is outside of the mount, not %s", dir)
	}
}
