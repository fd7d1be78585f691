package cgroup

import "testing"

func TestFreezer(t *testing.T) {
	top := made(t, map[string]string{
		"freezer/thawed/freezer.state":   "THAWED\n",
		"freezer/freezing/freezer.state": "FREEZING\n",
		"freezer/frozen/freezer.state":   "FROZEN\n",
		"unified/thawed/cgroup.events":   "populated 1\nfrozen 0\n",
		"unified/frozen/cgroup.events":   "populated 1\nfrozen 1\n",
		"unified/old/cgroup.events":      "populated 1\n",
	})
	v1 := func(name string) Dir { return Dir{Controller: "freezer", Path: top + "/freezer/" + name} }
	v2 := func(name string) Dir { return Dir{Path: top + "/unified/" + name} }
	memory := Dir{Controller: "memory", Path: top + "/freezer/frozen"}
	for _, c := range []struct {
		name       string
		dirs       []Dir
		frozen, ok bool
		file       string
	}{
		{"v1", []Dir{v1("thawed")}, false, true, ""},
		{"v1 freezing", []Dir{v1("freezing")}, true, true, "/freezer/freezing/freezer.state"},
		{"v1 frozen", []Dir{memory, v1("frozen")}, true, true, "/freezer/frozen/freezer.state"},
		{"v2", []Dir{v2("thawed")}, false, true, ""},
		{"v2 frozen", []Dir{v2("frozen")}, true, true, "/unified/frozen/cgroup.freeze"},
		{"hybrid, frozen by v2", []Dir{v1("thawed"), v2("frozen")}, true, true, "/unified/frozen/cgroup.freeze"},
		{"hybrid, frozen by v1", []Dir{v1("frozen"), v2("thawed")}, true, true, "/freezer/frozen/freezer.state"},
		{"before Linux 5.2", []Dir{v2("old")}, false, false, ""},
		{"no freezer", []Dir{memory}, false, false, ""},
		{"gone", []Dir{v1("gone"), v2("gone")}, false, false, ""},
	} {
		frozen, file, ok := Freezer(c.dirs)
		if c.file != "" {
			c.file = top + c.file
		}
		if frozen != c.frozen || ok != c.ok || file != c.file {
			t.Errorf("%s: frozen %v by %q, known %v; want %v, %q, %v", c.name, frozen, file, ok, c.frozen, c.file, c.ok)
		}
	}
}
