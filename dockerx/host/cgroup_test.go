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
		"/../" + id:                                             "/../" + id,
		"/docker/" + other:                                      "",
		"/kubepods/pod7/crio-" + id + "/x":                      "/kubepods/pod7/crio-" + id,
		"/kubepods/pod7/crio-conmon-" + id:                      "", // who keeps it
		"/machine.slice/libpod-conmon-" + id + ".scope":         "",
		"/docker/" + id + "/crio-conmon-" + other:               "/docker/" + id,
		"/machine.slice/libpod-" + id + ".scope/libpod-conmon-": "/machine.slice/libpod-" + id + ".scope",
		"/": "",
	} {
		if got, ok := CgroupBase(proc.Cgroup{Path: path}, id); got != want || ok != (want != "") {
			t.Errorf("%s: %q %v, want %q", path, got, ok, want)
		}
	}
	for _, path := range []string{"/", "/docker/" + id} {
		if got, ok := CgroupBase(proc.Cgroup{Path: path}, ""); ok || InCgroup([]proc.Cgroup{{Path: path}}, "", "") {
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

// TestInNamespaceOfThatName: a container of a namespace is not in one that is called like
// the namespace.
func TestInNamespaceOfThatName(t *testing.T) {
	for _, c := range []struct {
		path, namespace string
		want            bool
	}{
		{"/default/web", "default", false},
		{"/default/web", "k8s.io", false},
		{"/default/web/default", "default", false},
		{"/../default/web", "default", false},
		{"/default", "default", true},
		{"/default/default", "default", true},
		{"/default/default/part", "default", true},
		{"/k8s.io/default", "k8s.io", true},
		{"/k8s.io/default/part", "k8s.io", true},
		{"/default/init.scope", "", true}, // runc alone has no namespaces: /ID
		{"/web", "default", false},
	} {
		if got := InCgroup([]proc.Cgroup{{Path: "/"}, {Path: c.path}}, c.namespace, "default"); got != c.want {
			t.Errorf("%s is of a container default in namespace %q: %v, want %v", c.path, c.namespace, got, c.want)
		}
	}
}
