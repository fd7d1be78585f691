package cgroup

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

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
		cgroups, err := proc.ParseCgroups(cgroup)
		if err != nil {
			return
		}
		infos, err := parseMounts(bytes.NewReader(mounts), hierarchies(cgroups))
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
	mounts, err := parseMounts(bytes.NewReader(testdata(t, "host-mountinfo")), hierarchies(cgroups))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, d := range locateIn(cgroups, mounts) {
		got[d.Controller] = d.Path
	}
	// runc found the same directories.
	if diff := cmp.Diff(runcPaths(t), got); diff != "" {
		t.Errorf("directories by controller (-runc +got):\n%s", diff)
	}
}

// The table of a host with many containers is long, and cgroups are at its beginning.
func TestMountsAreReadNoFurtherThanNeeded(t *testing.T) {
	const mounts = `1 0 0:1 / / rw - ext4 /dev/vda rw
2 1 0:2 /part /elsewhere rw - cgroup cgroup rw,memory
3 1 0:2 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
4 1 0:3 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
`
	wanted := []string{"memory", ""}
	unread := iotest.ErrReader(errors.New("read on"))
	got, err := parseMounts(io.MultiReader(strings.NewReader(mounts), unread), wanted)
	if err != nil || len(got) != 3 {
		t.Errorf("%d mounts, %v; want the three of cgroups", len(got), err)
	}
	wanted = append(wanted, "pids")
	if got, err := parseMounts(strings.NewReader(mounts), wanted); err != nil || len(got) != 3 {
		t.Errorf("%d mounts, %v, where one hierarchy is not mounted", len(got), err)
	}
}

func TestCgroupDirBehindANamespace(t *testing.T) {
	mounts, err := parseMounts(strings.NewReader("1 0 0:1 /../.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"), nil)
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
	root, err := parseMounts(strings.NewReader("1 0 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if dir, _, ok := locateOne("/../other", "", root); ok {
		t.Errorf("/../other is outside of the mount, not %s", dir)
	}
}

// TestWhetherACgroupCanBeJoined: as the kernel's files say.
func TestWhetherACgroupCanBeJoined(t *testing.T) {
	for name, c := range map[string]struct {
		files            map[string]string
		exists, children bool
	}{
		"gone":               {nil, false, false},
		"a leaf":             {map[string]string{"cgroup.procs": "", "cgroup.subtree_control": "\n"}, true, false},
		"passes controllers": {map[string]string{"cgroup.procs": "", "cgroup.subtree_control": "memory pids\n"}, true, true},
		"v1":                 {map[string]string{"cgroup.procs": "1\n"}, true, false},
	} {
		dir := t.TempDir()
		for file, text := range c.files {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if Exists(dir) != c.exists || HasChildren(dir) != c.children {
			t.Errorf("%s: exists %v, passes controllers on %v, want %v, %v", name, Exists(dir), HasChildren(dir), c.exists, c.children)
		}
	}
}
