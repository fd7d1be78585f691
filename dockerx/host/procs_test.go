package host

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestCgroupIsCutAtTheContainer(t *testing.T) {
	id := strings.Repeat("a", 64)
	for dir, want := range map[string]string{
		"/sys/fs/cgroup/docker/" + id:                              "/sys/fs/cgroup/docker/" + id,
		"/sys/fs/cgroup/docker/" + id + "/init.scope":              "/sys/fs/cgroup/docker/" + id,
		"/sys/fs/cgroup/system.slice/docker-" + id + ".scope/a/b":  "/sys/fs/cgroup/system.slice/docker-" + id + ".scope",
		"/sys/fs/cgroup/docker/" + id + "/docker-" + id + ".scope": "/sys/fs/cgroup/docker/" + id,
		"/sys/fs/cgroup/user.slice":                                "",
		"/sys/fs/cgroup/docker/" + strings.Repeat("b", 64):         "",
	} {
		got, ok := cutAt(dir, id)
		if got != want || ok != (want != "") {
			t.Errorf("of %s the container's cgroup is %q (%v), want %q", dir, got, ok, want)
		}
	}
}

func TestProcsBelow(t *testing.T) {
	top := t.TempDir()
	for name, text := range map[string]string{"": "12\n0\n7\n", "a": "9\n", "a/b": "10\n11\n", "empty": ""} {
		dir := filepath.Join(top, name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got := procsBelow(top, 100)
	slices.Sort(got)
	if want := []int{7, 9, 10, 11, 12}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := procsBelow(top, 3); len(got) != 3 {
		t.Errorf("%v, want 3", got)
	}
	if got := procsBelow(top+"/nosuch", 3); len(got) != 0 {
		t.Errorf("%v, want none", got)
	}
}
