package host

import (
	"strings"
	"testing"

	"dx/nsops/proc"
)

func TestCgroupBase(t *testing.T) {
	id, other := strings.Repeat("a1", 32), strings.Repeat("b2", 32)
	for path, want := range map[string]string{
		"/docker/" + id:                                "/docker/" + id,
		"/docker/" + id + "/init":                      "/docker/" + id,
		"/docker/" + id + "/docker/" + id:              "/docker/" + id,
		"/docker/" + id + "/" + other:                  "/docker/" + id,
		"/system.slice/docker-" + id + ".scope":        "/system.slice/docker-" + id + ".scope",
		"/kube/pod7/cri-containerd-" + id + ".scope/x": "/kube/pod7/cri-containerd-" + id + ".scope",
		"/../" + id:        "/../" + id,
		"/docker/" + other: "",
		"/":                "",
	} {
		if got, ok := CgroupBase(proc.Cgroup{Path: path}, id); got != want || ok != (want != "") {
			t.Errorf("%s: %q %v, want %q", path, got, ok, want)
		}
	}
	for _, path := range []string{"/", "/docker/" + id} {
		if got, ok := CgroupBase(proc.Cgroup{Path: path}, ""); ok || InCgroup([]proc.Cgroup{{Path: path}}, "") {
			t.Errorf("a container without an ID is taken to be in %q (%q)", path, got)
		}
	}
}

// containerd puts a container of its own into /NAMESPACE/ID, and both may be "default".
func TestCgroupBaseBelowItsNamespace(t *testing.T) {
	for path, want := range map[string]string{
		"/default/default":            "/default/default",
		"/default/default/part":       "/default/default",
		"/default/default/default":    "/default/default",
		"/../default/default":         "/../default/default",
		"/default":                    "/default",
		"/default/part":               "/default",
		"/default/defaults":           "/default",
		"/other/default/default":      "/other/default",
		"/x.slice/default.scope/part": "/x.slice/default.scope",
	} {
		if got, ok := CgroupBase(proc.Cgroup{Path: path}, "default"); got != want || !ok {
			t.Errorf("%s: %q %v, want %q", path, got, ok, want)
		}
	}
}
